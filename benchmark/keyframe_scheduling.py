"""Compare in which order keyframes are asked about: how much of the final map is there after some time.

A generated home is walked through; a model of fixed latency answers one question at a time with the true masks; the
answers are fused as always. Three instructions are given at the start and one after 60 % of the walk. The share of the
final result is that of the voxels that conform at the end when every keyframe is answered, of the instructions given.
The clock is simulated: the load of the machine does not matter.

Run it from the repository root: python benchmark/keyframe_scheduling.py [--picture docs/images/keyframe_scheduling.png]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lira_ros.datasets.rooms import RoomSequence
from lira_ros.evaluation.runner import ground_truth
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap, ReasoningProgress
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.mapper import Mapper
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Role, Task
from lira_ros.reasoning.coverage import SurfaceIndex
from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.oracle import OracleReasoner
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration

SEEDS = (0, 2003, 2005, 2006)
LATENCIES_S = (0.2, 1.0, 5.0)
# Small pictures and coarse voxels: the order of questions is compared, not the masks.
WIDTH_PX, VOXEL_M, RATE_HZ, LONGEST_WALK_S = 160, 0.05, 3.0, 90.0
LATE_SHARE = 0.6
# The robot stands for three times as long as it has walked, so that an order that catches up later is seen to do so.
HORIZON = 4.0
SAMPLES = 60
# What is asked for is in the picture of this many keyframes, so that every room has something to be found.
LEAST_SIGHTINGS = 5
LOOK = Instruction("look", "find a chair", parse("find a chair"))  # the oracle names everything in sight


@dataclass(frozen=True)
class Walk:
    """What happened when: keyframes and fragments by time, the instructions with theirs, and the model's answers."""

    events: list[tuple[float, Keyframe | Fragment]]
    instructions: list[tuple[float, Instruction]]
    answers: dict[tuple[int, str], CandidateSet]
    duration_s: float


class EveryKeyframe:
    """The plain orders: every keyframe for every instruction in turn, the oldest or the newest first."""

    def __init__(self, *, newest_first: bool) -> None:
        self._newest_first = newest_first
        self._keyframes: list[Keyframe] = []
        self._instructions: list[Instruction] = []
        self._waiting: list[Task] = []

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Queue a keyframe for all instructions."""
        self._keyframes.append(keyframe)
        self._waiting += [Task(keyframe, instruction) for instruction in self._instructions]

    def add_instruction(self, instruction: Instruction) -> None:
        """Queue an instruction for all keyframes."""
        self._instructions.append(instruction)
        self._waiting += [Task(keyframe, instruction) for keyframe in self._keyframes]

    def next_tasks(self) -> Sequence[Task]:
        """Return the next question."""
        if not self._waiting:
            return ()
        chosen = self._waiting[0]
        if self._newest_first:
            turns = [item.id for item in self._instructions]
            chosen = min(self._waiting, key=lambda task: (-task.keyframe.id, turns.index(task.instruction.id)))
            self._instructions.append(self._instructions.pop(turns.index(chosen.instruction.id)))
        self._waiting.remove(chosen)
        return (chosen,)

    def report_answered(self, task: Task) -> bool:
        """Do nothing: every keyframe is asked whatever was answered."""
        return True


Order = EveryKeyframe | ReasoningScheduler


def scheduler(min_new_surface: float) -> ReasoningScheduler:
    """Return the order of the suite."""
    return ReasoningScheduler(SchedulerConfiguration(min_new_surface=min_new_surface))


ORDERS: dict[str, Callable[[], Order]] = {
    "every keyframe, oldest first": lambda: EveryKeyframe(newest_first=False),
    "every keyframe, newest first": lambda: EveryKeyframe(newest_first=True),
    "new surface first, all": lambda: scheduler(0.0),
    "new surface of 2 % or more": lambda: scheduler(0.02),
    "new surface of 5 % or more": lambda: scheduler(0.05),
    "new surface of 10 % or more": lambda: scheduler(0.1),
    "new surface of 20 % or more": lambda: scheduler(0.2),
    "new surface of 30 % or more": lambda: scheduler(0.3),
}
PLAIN = "every keyframe, oldest first"
DRAWN = (PLAIN, "every keyframe, newest first", "new surface first, all", "new surface of 10 % or more")


def walk(seed: int) -> Walk:
    """Walk through a home and let the model answer everything in advance."""
    room = RoomSequence(seed, rate_hz=RATE_HZ, width_px=WIDTH_PX, duration_s=LONGEST_WALK_S)
    mapper = Mapper(MappingConfiguration(voxel_size_m=VOXEL_M, up="+z"))
    start_ns = room.stamp_ns(0)
    events: list[tuple[float, Keyframe | Fragment]] = []
    now_s = 0.0
    for frame in room:
        now_s = (frame.stamp_ns - start_ns) * 1e-9
        update = mapper.add_frame(frame)
        events += [(now_s, item) for item in (update.keyframe, update.fragment) if item is not None]
    events += [(now_s, fragment) for fragment in mapper.flush()]
    truth = ground_truth(room)
    assert truth is not None
    oracle = OracleReasoner(truth.instance_image, truth.objects, Relevance(None))
    keyframes = [item for _, item in events if isinstance(item, Keyframe)]
    seen = Counter(candidate.label for key in keyframes for candidate in oracle.propose(key, LOOK).candidates)
    labels = sorted(label for label, count in seen.items() if count >= LEAST_SIGHTINGS)
    book = InstructionBook(InstructionConfiguration())
    # Four kinds of things, spread over the alphabet; the last one is asked for late.
    chosen = [labels[int(i)] for i in np.linspace(0, len(labels) - 1, 4)]
    given = [book.submit(f"Find every {label}.", f"q{number}") for number, label in enumerate(chosen)]
    times_s = [0.0, 0.0, 0.0, LATE_SHARE * now_s]
    # A model that reads the sentence draws what is asked for, and not everything in sight as the oracle does.
    answers = {}
    for key, item in ((key, item) for key in keyframes for item in given):
        answer = oracle.propose(key, item)
        wanted = tuple(candidate for candidate in answer.candidates if candidate.role == Role.TARGET)
        answers[key.id, item.id] = replace(answer, candidates=wanted)
    return Walk(events, list(zip(times_s, given, strict=True)), answers, now_s)


def voxels(conforming: ConformingMap, instruction_id: str) -> set[tuple[int, int, int]]:
    """Return the voxels of all instances that conform to an instruction."""
    instances = conforming.view(instruction_id).instances
    return {tuple(voxel) for instance in instances for voxel in instance.voxels.tolist()}


def simulate(
    scene: Walk, order: Order, latency_s: float, times_s: NDArray[np.float64]
) -> tuple[list[dict[str, set[tuple[int, int, int]]]], int]:
    """Return what conforms to each instruction at some times, and how many questions were asked until the last."""
    relevance = Relevance(None)
    mapped = ConformingMap(InstanceFusion(FusionConfiguration(voxel_size_m=VOXEL_M)), TargetInference(relevance))
    arriving = sorted([*scene.instructions, *scene.events], key=lambda event: event[0])
    given: list[Instruction] = []
    in_hand: Task | None = None
    done_s, questions = 0.0, 0
    found: list[dict[str, set[tuple[int, int, int]]]] = []
    for until_s in times_s:
        while True:
            event_s = arriving[0][0] if arriving else np.inf
            if min(event_s, done_s if in_hand is not None else np.inf) > until_s:
                break
            if in_hand is not None and done_s <= event_s:
                now_s = done_s
                mapped.add_candidates(scene.answers[in_hand.keyframe.id, in_hand.instruction.id])
                order.report_answered(in_hand)
                in_hand = None
            else:
                now_s, item = arriving.pop(0)
                if isinstance(item, Keyframe):
                    mapped.add_keyframe(item)
                    order.add_keyframe(item)
                elif isinstance(item, Fragment):
                    mapped.add_fragment(item)
                else:
                    given.append(item)
                    mapped.set_instructions(given)
                    order.add_instruction(item)
            if in_hand is None and (tasks := order.next_tasks()):
                in_hand, done_s, questions = tasks[0], now_s + latency_s, questions + 1
        for instruction in given:
            mapped.note_progress(instruction.id, ReasoningProgress(0, 0))
        mapped.refresh()
        found.append({instruction.id: voxels(mapped, instruction.id) for instruction in given})
    return found, questions


def shares(
    found: Sequence[dict[str, set[tuple[int, int, int]]]], final: dict[str, set[tuple[int, int, int]]]
) -> NDArray[np.float64]:
    """Return which part of the final voxels was there at each time, the mean over the instructions given by then."""
    wanted = {name for name in final if final[name]}
    return np.array(
        [np.mean([len(now[name] & final[name]) / len(final[name]) for name in now if name in wanted]) for now in found]
    )


def draw(path: Path, times: NDArray[np.float64], curves: dict[float, dict[str, NDArray[np.float64]]]) -> None:
    """Draw a panel for each latency."""
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True)
    styles = dict(zip(DRAWN, ("#9aa0a8", "#d6863b", "#2f6fbe", "#26a05c"), strict=True))
    for axes, (latency_s, by_order) in zip(panels, curves.items(), strict=True):
        axes.axvline(100, color="#dcdfe4", linewidth=1)
        axes.axvline(100 * LATE_SHARE, color="#dcdfe4", linewidth=1, linestyle=":")
        for name, color in styles.items():
            # The last one runs along the one before it, which stays to be seen.
            style = "--" if name == DRAWN[-1] else "-"
            axes.plot(100 * times, 100 * by_order[name], style, color=color, linewidth=1.8, label=name)
        axes.set_title(f"a model that takes {latency_s:g} s", fontsize=10)
        axes.set_xlabel("time, % of the walk", fontsize=9)
        axes.set_xlim(0, 100 * HORIZON)
        axes.set_ylim(0, 102)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.annotate(
            "a late instruction", (100 * LATE_SHARE - 2, 3), ha="right", rotation=90, fontsize=7, color="#696e76"
        )
        axes.annotate("end of\nthe walk", (103, 3), fontsize=7, color="#696e76")
    panels[0].set_ylabel("share of the final map, %", fontsize=9)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def time_coverage(keyframe: Keyframe) -> float:
    """Return the processor time [ms] of finding the voxels of a keyframe of 640 x 480."""
    index = SurfaceIndex()
    began_s = time.process_time()
    for _ in range(20):
        index.add(keyframe)
    return (time.process_time() - began_s) / 20 * 1e3


def main() -> None:
    """Print a table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="homes to walk through")
    parser.add_argument("--picture", type=Path, help="file of the picture (PNG); without it none is drawn")
    options = parser.parse_args()
    began_s = time.monotonic()
    times = np.linspace(HORIZON / SAMPLES, HORIZON, SAMPLES)
    curves: dict[float, dict[str, list[NDArray[np.float64]]]] = {s: {} for s in LATENCIES_S}
    asked: dict[float, dict[str, int]] = {s: dict.fromkeys(ORDERS, 0) for s in LATENCIES_S}
    for seed in options.seeds:
        scene = walk(seed)
        keyframes = sum(isinstance(item, Keyframe) for _, item in scene.events)
        print(
            f"room {seed}: {scene.duration_s:.0f} s, {keyframes} keyframes; "
            + ", ".join(item.text for _, item in scene.instructions),
            flush=True,
        )
        everything, _ = simulate(scene, ORDERS[PLAIN](), 1e-6, np.array([scene.duration_s + 1.0]))
        for latency_s in LATENCIES_S:
            for name, make in ORDERS.items():
                found, questions = simulate(scene, make(), latency_s, times * scene.duration_s)
                curves[latency_s].setdefault(name, []).append(shares(found, everything[0]))
                asked[latency_s][name] += questions
    means = {s: {name: np.mean(each, axis=0) for name, each in by.items()} for s, by in curves.items()}
    walked = times <= 1.0 + 1e-9
    for latency_s, by_order in means.items():
        print(
            f"\na model that takes {latency_s:g} s   mean share of the final map [%], ratio to oldest first, questions"
        )
        print(f"{'':32}{'walk':>7}{'ratio':>7}{'all':>7}{'ratio':>7}{'end':>7}{'asked':>7}")
        plain = by_order[PLAIN]
        for name, curve in by_order.items():
            print(
                f"{name:32}{100 * curve[walked].mean():7.1f}{curve[walked].mean() / plain[walked].mean():7.2f}"
                f"{100 * curve.mean():7.1f}{curve.mean() / plain.mean():7.2f}{100 * curve[-1]:7.1f}"
                f"{asked[latency_s][name]:7d}"
            )
    large = next(frame for frame in RoomSequence(0, rate_hz=1.0, duration_s=1.0))
    print(
        f"\nvoxels of a keyframe of 640 x 480: {time_coverage(Keyframe(1, large, np.array([0.0, 0, 1]), 0.0)):.1f} ms"
    )
    if options.picture:
        draw(options.picture, times, means)
    print(f"took {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
