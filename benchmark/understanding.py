"""How well sentences are understood: instructions of generated homes answered over their true objects.

No picture is drawn and no map is built, so that what is missed here is missed by the parser or the target inference
alone. Each object becomes an instance with its true label and colour and points of its whole surface, measured as the
map measures; the answer is compared with the ids that conform. The same arguments give the same table.

Run: python benchmark/understanding.py [--seeds 1000 1020] [--count 60] [--wrong KIND]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.rooms.home import RoomObject
from lira_ros.datasets.rooms.instructions import instructions
from lira_ros.datasets.rooms.questions.proposals import KINDS
from lira_ros.datasets.rooms.questions.scene import surface_points
from lira_ros.datasets.rooms.room import Room
from lira_ros.datasets.rooms.textures import PATTERNS, build_atlas
from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.contracts import Conformity, Instance
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.color import COLORS
from lira_ros.reasoning.constraint import Constraint
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import InstructionError, describe, parse
from lira_ros.reasoning.measurement import measure
from lira_ros.reasoning.relevance import LanguageConfiguration, create_relevance

# That of the instance map (fusion.configuration).
VOXEL_M = 0.03
UP = np.array([0.0, 0.0, 1.0])
# A standing person, in the middle of the first room: where the newest keyframe was taken.
EYE_HEIGHT_M = 1.5
# The search is over: every keyframe was asked.
KEYFRAMES = 50


@dataclasses.dataclass
class Score:
    """What was counted of one kind."""

    asked: int = 0
    exact: int = 0
    f1: float = 0.0

    def add(self, found: set[int], truth: set[int]) -> bool:
        """Count one answer; tell whether it was exactly right."""
        self.asked += 1
        right = found == truth
        self.exact += right
        either = len(found) + len(truth)
        self.f1 += 2 * len(found & truth) / either if either else 1.0
        return right


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, nargs=2, default=(1000, 1020), help="the first home and the one after")
    arguments.add_argument("--count", type=int, default=60, help="instructions for each home")
    arguments.add_argument("--wrong", metavar="KIND", help='print the wrong answers of a kind, "all" for all kinds')
    options = arguments.parse_args()
    inference = TargetInference(create_relevance(LanguageConfiguration()))
    means = pattern_means()
    scores: dict[str, Score] = {kind: Score() for kind in KINDS}
    parsing_s = judging_s = 0.0
    for seed in range(*options.seeds):
        room = Room(seed)
        instances = [instance_of(item, means) for item in room.objects]
        viewpoint = np.array([*room.areas[0].center, EYE_HEIGHT_M])
        for entry in instructions(room, None, options.count):
            start = time.perf_counter()
            constraint = understood(entry.text)
            parsing_s += time.perf_counter() - start
            start = time.perf_counter()
            found = answer(inference, instances, constraint, entry.text, viewpoint)
            judging_s += time.perf_counter() - start
            score = scores.setdefault(entry.kind, Score())  # the showroom has kinds of its own
            if not score.add(found, set(entry.ids)) and options.wrong in (entry.kind, "all"):
                print(
                    f"{seed} {entry.kind}: {entry.text}\n    understood: {describe(constraint) if constraint else '-'}"
                )
                print(f"    wanted: {names(room, entry.ids)}\n    got:    {names(room, found)}")
    report(scores, parsing_s, judging_s, len(range(*options.seeds)))


def report(scores: Mapping[str, Score], parsing_s: float, judging_s: float, homes: int) -> None:
    """Print the table."""
    asked = {kind: score for kind, score in scores.items() if score.asked}
    total = sum(score.asked for score in asked.values())
    print(f"\n{homes} homes, {total} instructions\n{'kind':18}{'asked':>6}{'exact %':>9}{'F1':>7}")
    for kind, score in asked.items():
        print(f"{kind:18}{score.asked:6d}{100 * score.exact / score.asked:9.1f}{score.f1 / score.asked:7.3f}")
    exact, f1 = (sum(getattr(score, name) for score in asked.values()) / max(1, total) for name in ("exact", "f1"))
    print(f"{'all':18}{total:6d}{100 * exact:9.1f}{f1:7.3f}")
    print(
        f"parsing {1e3 * parsing_s / max(1, total):.2f} ms, judging {1e3 * judging_s / max(1, total):.1f} ms a sentence"
    )


def understood(text: str) -> Constraint | None:
    """Return the constraint of a text, None where it is refused."""
    try:
        return parse(text)
    except InstructionError:
        return None


def answer(
    inference: TargetInference,
    instances: list[Instance],
    constraint: Constraint | None,
    text: str,
    viewpoint: NDArray[np.float64],
) -> set[int]:
    """Return the ids of what conforms."""
    if constraint is None:
        return set()
    judgement = inference.judge(
        instances,
        Instruction("asked", text, constraint),
        up=UP,
        camera_position=viewpoint,
        keyframes_answered=KEYFRAMES,
        keyframes_pending=0,
    )
    return {key for key, verdict in judgement.verdicts.items() if verdict.conformity is Conformity.CONFORMS}


def pattern_means() -> dict[str, NDArray[np.float64]]:
    """Return the mean colour of each pattern, (3,) RGB from 0 to 1."""
    atlas = build_atlas(0)
    means = atlas.pixels[atlas.starts[:, -1]].astype(np.float64) / 255.0
    return dict(zip(PATTERNS, means, strict=True))


def instance_of(item: RoomObject, means: Mapping[str, NDArray[np.float64]]) -> Instance:
    """Return an object as a perfect map would hold it."""
    points, colors = [], []
    for part in item.parts:
        surface = surface_points([part], VOXEL_M)
        points.append(surface)
        color = np.clip(np.rint(255.0 * means[part.material.pattern] * part.material.color), 0, 255)
        colors.append(np.broadcast_to(color.astype(np.uint8), surface.shape))
    voxels, first = np.unique(np.rint(np.concatenate(points) / VOXEL_M).astype(np.int32), axis=0, return_index=True)
    voxel_colors = np.concatenate(colors)[first]
    centers = voxels.astype(np.float32) * np.float32(VOXEL_M)
    supported_by = item.supported_by if item.supported_by in ("floor", "wall") else "surface"
    measured = measure(centers, voxel_colors, UP, 0.0, supported_by)
    color = next((word for word in reversed(item.color.split()) if word in COLORS), measured.color)
    return Instance(
        id=item.id,
        label=item.label,
        label_confidence=1.0,
        existence=1.0,
        attributes=dataclasses.replace(measured, color=color),
        box=oriented_box(centers, UP, 0.5 * VOXEL_M),
        voxel_size_m=VOXEL_M,
        voxels=voxels,
        voxel_colors=voxel_colors,
        first_seen_ns=0,
        last_seen_ns=0,
        observations=KEYFRAMES,
        names={item.label: 1.0},
    )


def names(room: Room, ids: Iterable[int]) -> str:
    """Return the objects of some ids in words."""
    known = {item.id: f"{item.color} {item.label}#{item.id}" for item in room.objects}
    return ", ".join(known[key] for key in sorted(ids)) or "nothing"


if __name__ == "__main__":
    main()
