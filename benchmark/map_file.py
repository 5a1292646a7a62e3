"""Measure how long the map of a large house takes to be saved and loaded, and how large it is.

Usage: python benchmark/map_file.py [--area 100] [--rate 2] [--width 640] [--file FILE] [--method votes]

Generated homes are walked through one after another, each set beside the last, until their floors add up to the area.
Every frame is mapped; every keyframe is answered by the true masks for two instructions and fused; keyframes are kept
as they would be sent. What is measured is what the nodes do: the states of reasoning and fusion, the snapshot (for
which mapping stands still), and writing the file to the disk; then reading and checking it, taking over the map, and
taking up the states. Seconds on the clock and of the processor, best of three. The peer, in the same run, is
numpy.savez_compressed and numpy.load of the same arrays.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from lira_ros.datasets.rooms import RoomSequence
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.fusion.engine import create_fusion
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.geometry.packed_keyframe import PackedKeyframe
from lira_ros.mapping import storage
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.kept_keyframes import KeptKeyframes
from lira_ros.mapping.mapper import Mapper
from lira_ros.reasoning import saved_state
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration

REPEATS = 3
LEAST_PIXELS = 200  # of a mask that a model would draw
KEPT_BYTES = 128 << 20  # the default of map_keyframe_mib


class House:
    """The nodes' state after a walk through generated homes."""

    def __init__(self, method: str) -> None:
        self.mapper = Mapper(MappingConfiguration(up="+z"))
        relevance = Relevance(None)
        self.map = ConformingMap(create_fusion(FusionConfiguration(method=method)), TargetInference(relevance))
        self.book = InstructionBook(InstructionConfiguration())
        self.scheduler = ReasoningScheduler(SchedulerConfiguration())
        self.kept = KeptKeyframes(KEPT_BYTES)
        self.area_m2 = 0.0

    def ask(self, *texts: str) -> None:
        """Give instructions."""
        for text in texts:
            self.scheduler.add_instruction(self.book.submit(text))
        self.map.set_instructions(self.book.active)

    def walk(self, seed: int, rate_hz: float, width_px: int) -> None:
        """Walk through one more home, beside those that are known."""
        sequence = RoomSequence(seed, rate_hz=rate_hz, width_px=width_px)
        things = {item.id: item.label for item in sequence.objects()}
        for index in range(len(sequence)):
            frame = sequence.frame(index)
            pose = frame.T_map_camera.copy()
            pose[0, 3] += 20.0 * seed  # no home is as wide
            update = self.mapper.add_frame(replace(frame, stamp_ns=frame.stamp_ns + seed * 10**12, T_map_camera=pose))
            if update.fragment is not None:
                self.map.add_fragment(update.fragment)
            if update.keyframe is None:
                continue
            self.kept.add(PackedKeyframe.of(update.keyframe))
            self.map.add_keyframe(update.keyframe)
            self.scheduler.add_keyframe(update.keyframe)
            ids = sequence.instance_image(index)
            while tasks := self.scheduler.next_tasks(1):
                self.map.add_candidates(_answer(tasks[0], ids, things))
                self.scheduler.report_answered(tasks[0])
        self.area_m2 += _floor_m2(sequence)


def _answer(task: Any, ids: np.ndarray, things: dict[int, str]) -> CandidateSet:
    found = []
    for number in np.unique(ids):
        mask = ids == number
        if int(number) in things and np.count_nonzero(mask) >= LEAST_PIXELS:
            label = things[int(number)]
            found.append(Candidate(len(found) + 1, mask, label, 0.9, 0.9, Role.TARGET, Attributes()))
    stamp_ns = task.keyframe.frame.stamp_ns
    return CandidateSet(task.keyframe.id, stamp_ns, task.instruction.id, "truth", 0.0, tuple(found))


def _floor_m2(sequence: RoomSequence) -> float:
    return sum(area.size_m[0] * area.size_m[1] for area in sequence.room.areas)


def best_of(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the last result, and the least seconds on the clock and of the processor."""
    clock, processor = [], []
    for _ in range(REPEATS):
        began_s, cpu_s = time.perf_counter(), time.process_time()
        result = function()
        clock.append(time.perf_counter() - began_s)
        processor.append(time.process_time() - cpu_s)
    return result, min(clock), min(processor)


def _write(path: Path, state: storage.MapState) -> None:
    with path.open("wb") as file:
        storage.write(file, state)
        file.flush()
        os.fsync(file.fileno())


def _arrays(state: storage.MapState) -> dict[str, np.ndarray]:
    arrays = {}
    for fragment in state.fragments:
        for item in fields(fragment):
            value = getattr(fragment, item.name)
            if value is not None:
                arrays[f"{fragment.id}/{item.name}"] = np.asarray(value)
    for keyframe in state.keyframes:
        arrays[f"k{keyframe.id}/color"] = np.frombuffer(keyframe.color, np.uint8)
        arrays[f"k{keyframe.id}/depth"] = np.frombuffer(keyframe.depth, np.uint8)
    return arrays | {name: np.frombuffer(data, np.uint8) for name, data in state.parts.items()}


def _read_all(path: Path) -> int:
    with np.load(path) as arrays:
        return sum(arrays[name].nbytes for name in arrays.files)


def main() -> None:
    """Walk, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", type=float, default=100.0)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--method", default="votes")
    parser.add_argument("--file", type=Path, help="keep the map here")
    options = parser.parse_args()
    house = House(options.method)
    house.ask("find the chair", "what can I sit on?")
    began_s = time.perf_counter()
    seed = 1  # home 0 is a single room
    while house.area_m2 < options.area:
        house.walk(seed, options.rate, options.width)
        seed += 1
    house.mapper.flush()
    house.map.refresh()
    print(f"{seed - 1} homes of {house.area_m2:.0f} m2, walked in {time.perf_counter() - began_s:.0f} s")
    statistics, fusion = house.mapper.statistics(), house.map.fusion.statistics()
    print(
        f"{statistics['fragments']} fragments, {statistics['keyframes']} keyframes ({len(house.kept)} kept, "
        f"{house.kept.nbytes / 2**20:.0f} MiB), {fusion.instances} instances of {fusion.voxels} voxels"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(house, options.file or Path(folder) / "house.liramap", options.method)


def measure(house: House, path: Path, method: str) -> None:
    """Save, load and compare."""
    total = np.zeros(2)

    def row(name: str, result: tuple[Any, float, float], *, more: str = "", counts: bool = True) -> Any:
        nonlocal total
        total = total + counts * np.array(result[1:])
        print(f"  {name:<44} {result[1]:6.2f} s {result[2]:6.2f} s cpu  {more}")
        return result[0]

    print("save")
    result = best_of(lambda: saved_state.export_state(house.book, house.scheduler))
    instructions = row("state of the reasoning", result, more=f"{len(result[0]) / 1e6:.1f} MB")
    result = best_of(lambda: house.map.export_state("map"))
    instances = row("state of the fusion", result, more=f"{len(result[0]) / 1e6:.1f} MB")
    snapshot = row("snapshot, mapping stands still", best_of(house.mapper.snapshot))
    row("surface, drawn anew, for exports only", best_of(house.mapper.mesh), counts=False)
    parts = {"instructions": instructions, "instances": instances}
    state = replace(snapshot, keyframes=house.kept.placed(snapshot.keyframe_poses), parts=parts)
    row("write to the disk", best_of(lambda: _write(path, state)), more=f"{path.stat().st_size / 1e6:.0f} MB")
    print(f"  {'together':<44} {total[0]:6.2f} s {total[1]:6.2f} s cpu")
    total[:] = 0.0
    print("load")
    file = row("read and check", best_of(lambda: storage.MapFile(path)))
    loaded = Mapper(house.mapper.configuration)
    row("take over the map", best_of(lambda: loaded.restore(file.state, path)))
    book, scheduler = InstructionBook(InstructionConfiguration()), ReasoningScheduler(SchedulerConfiguration())
    data = bytes(file.state.parts["instructions"])
    row("state of the reasoning", best_of(lambda: saved_state.import_state(data, book, scheduler)))
    fusion = create_fusion(FusionConfiguration(method=method))
    other = ConformingMap(fusion, TargetInference(Relevance(None)))
    other.set_instructions(house.book.active)
    data = bytes(file.state.parts["instances"])
    row("state of the fusion", best_of(lambda: other.import_state(data)))
    print(f"  {'together':<44} {total[0]:6.2f} s {total[1]:6.2f} s cpu")
    other.refresh()
    same = [item.id for item in other.fusion.instances()] == [item.id for item in house.map.fusion.instances()]
    print(f"instances as before: {same}")
    print("peer, the same arrays")
    arrays = _arrays(state)
    peer = path.with_suffix(".npz")
    began_s, cpu_s = time.perf_counter(), time.process_time()
    np.savez_compressed(peer, **arrays)  # type: ignore[arg-type]
    row("numpy.savez_compressed", (None, time.perf_counter() - began_s, time.process_time() - cpu_s), counts=False,
        more=f"{peer.stat().st_size / 1e6:.0f} MB, not brought to the disk")  # fmt: skip
    row("numpy.load", best_of(lambda: _read_all(peer)), counts=False)
    peer.unlink()


if __name__ == "__main__":
    main()
