"""Follow the one thing that is moved or taken away in generated homes, and how soon the map tells the same.

Masks are perfect, so that what is measured is the life of instances: when the old place is forgotten after it is seen
again, when the new place is confirmed, for how many seconds two ids stand for the thing, and whether it keeps its id.

Run: OMP_NUM_THREADS=1 python benchmark/changed_things.py [--change moved] [--seeds 1000 1001 1002]
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.rooms import Room, RoomSequence
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance, InstanceState
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.keyframes import KeyframeSelector
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role

UP = np.array([0.0, 0.0, 1.0])
SMALLEST_PX = 30
# A place is seen when this share of the thing's vertices is (or would be) in view and nothing is before them.
SEEN_SHARE = 0.5
FARTHEST_M = 4.5
# An instance stands at a place when its centroid is within the box of the thing there, this much larger [m].
ROOM_M = 0.1


def vertices_of(mesh: object, object_id: int) -> NDArray[np.float64]:
    triangles = mesh.triangles[mesh.object_ids == object_id]  # type: ignore[attr-defined]
    return np.asarray(mesh.vertices[triangles].reshape(-1, 3), dtype=np.float64)  # type: ignore[attr-defined]


def is_seen(vertices: NDArray[np.float64], frame: Frame) -> bool:
    pixels, z = frame.camera.project((vertices - frame.T_map_camera[:3, 3]) @ frame.T_map_camera[:3, :3])
    near = np.flatnonzero((z > 0.1) & (z < FARTHEST_M))
    u, v = np.rint(pixels[near]).astype(int).T
    inside = (u >= 0) & (v >= 0) & (u < frame.camera.width_px) & (v < frame.camera.height_px)
    near, u, v = near[inside], u[inside], v[inside]
    free = np.zeros(len(z), dtype=bool)
    free[near] = frame.depth_m[v, u] > z[near] - 0.1
    return bool(free.mean() >= SEEN_SHARE)


def stands_at(instance: Instance, vertices: NDArray[np.float64], label: str) -> bool:
    low, high = vertices.min(axis=0) - ROOM_M, vertices.max(axis=0) + ROOM_M
    return instance.label == label and bool(((instance.centroid >= low) & (instance.centroid <= high)).all())


def candidates_of(keyframe: Keyframe, image: NDArray[np.uint16], labels: dict[int, str]) -> CandidateSet:
    ids, counts = np.unique(image[image > 0], return_counts=True)
    found = [int(identity) for identity, count in zip(ids, counts, strict=True) if count >= SMALLEST_PX]
    return CandidateSet(
        keyframe.id,
        keyframe.frame.stamp_ns,
        "all",
        "truth",
        0.0,
        tuple(
            Candidate(number, image == identity, labels[identity], 0.9, 0.9, Role.TARGET, Attributes())
            for number, identity in enumerate(found, 1)
        ),
    )


def follow(seed: int, change: str, width_px: int) -> str:
    sequence = RoomSequence(seed, change=change, width_px=width_px)
    room = sequence.room
    assert room.change is not None
    object_id = room.change.object_id
    labels = {item.id: item.label for item in Room(seed).objects}
    old, new = vertices_of(room.initial_mesh, object_id), vertices_of(room.mesh, object_id)
    mapping = MappingConfiguration()
    selector = KeyframeSelector(mapping.keyframe_angle_deg, mapping.keyframe_distance_m)
    fusion = InstanceFusion(FusionConfiguration())
    changed_s = sequence.walk.change_s
    # Seconds of the walk; nan: never.
    looked = arrived = confirmed = forgotten = math.nan
    before: set[int] = set()
    after: set[int] = set()
    last_s, two_s, two_seen_s = 0.0, 0.0, 0.0
    for index in range(len(sequence)):
        number = selector.select(sequence.reported_pose(index))
        if number is None:
            continue
        frame, now_s = sequence.frame(index), index / sequence.rate_hz
        image = sequence.instance_image(index)
        assert image is not None
        keyframe = Keyframe(number, frame, UP, 0.0)
        fusion.add_keyframe(keyframe)
        fusion.add_candidates(candidates_of(keyframe, image, labels))
        instances = fusion.instances()
        here = {item.id for item in instances if stands_at(item, old, labels[object_id])}
        if now_s < changed_s:
            before, last_s = here or before, now_s
            continue
        there = {item.id: item for item in instances if len(new) and stands_at(item, new, labels[object_id])}
        looked = now_s if math.isnan(looked) and is_seen(old, frame) else looked
        arrived = now_s if math.isnan(arrived) and there else arrived
        if math.isnan(confirmed) and any(item.state == InstanceState.CONFIRMED for item in there.values()):
            confirmed = now_s
        if here and there:
            two_s += now_s - last_s
            two_seen_s += 0.0 if math.isnan(looked) else now_s - last_s
        forgotten = now_s if math.isnan(forgotten) and before and not here & before else forgotten
        after, last_s = set(there) or after, now_s
    merged = fusion.merged_into()
    kept = before and {merged.get(number, number) for number in after} == {
        merged.get(number, number) for number in before
    }
    columns = (
        f"{seed}",
        f"{change} {labels[object_id]}",
        "yes" if before else "no",
        f"{forgotten - looked:.1f}",
        f"{confirmed - arrived:.1f}",
        f"{two_seen_s:.1f}",
        f"{two_s:.1f}",
        ("yes" if kept else "no") if after else "-",
        str(fusion.statistics().instances_moved),
    )
    return "| " + " | ".join(columns) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--change", choices=("moved", "removed"), default="moved")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000, 1001, 1002, 1003])
    parser.add_argument("--width-px", type=int, default=320)
    options = parser.parse_args()
    print("| seed | thing | was in the map | old place forgotten after it is seen [s] | new one confirmed after it is "
          "found [s] | two ids since the old place is seen [s] | two ids [s] | id kept | reunited |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in options.seeds:
        print(follow(seed, options.change, options.width_px), flush=True)


if __name__ == "__main__":
    main()
