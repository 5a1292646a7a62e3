"""Walk for half an hour through generated rooms and see whether the map keeps within its memory budget.

Usage: python benchmark/memory.py [--budget 512] [--rooms 15] [--rate 5] [--voxel 0.02]

Each minute goes through one generated room, a different one each time, out to the last and back again, at 160 x 120.
Another process draws the pictures, so that the memory of this one is that of the map: what is printed is what the
system counts as its resident memory, less what it was before the first frame, and the peak of that. The surface is
brought up to date every second, as the mapping node does it for a display.
Before that a shorter walk is mapped with and without a budget, and the meshes are compared.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from lira_ros.datasets.rooms import RoomSequence
from lira_ros.geometry.frame import Frame
from lira_ros.mapping import pages, precompile
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper

# Generated rooms are less than this long, so they do not touch.
ROOM_DISTANCE_M = 12.0
MINUTE_NS = 60_000_000_000
WIDTH_PX = 160


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", type=int, default=512, help="memory_budget_mib of the map, 0 = none")
    parser.add_argument("--rooms", type=int, default=15, help="rooms, a minute each, visited twice")
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second of the walk")
    parser.add_argument("--voxel", type=float, default=0.02, help="edge of a voxel [m]")
    return parser.parse_args()


def visits(rooms: int) -> list[int]:
    """Return the seeds of the rooms in the order of the walk: out, and back again."""
    return [*range(rooms), *reversed(range(rooms))]


def draw(connection: Connection, order: list[int], rate_hz: float, duration_s: float) -> None:
    """Send the frames of a walk, in a process of its own."""
    for minute, seed in enumerate(order):
        sequence = RoomSequence(seed, rate_hz=rate_hz, width_px=WIDTH_PX, duration_s=duration_s)
        for frame in sequence:
            pose = frame.T_map_camera.copy()
            pose[0, 3] += seed * ROOM_DISTANCE_M
            connection.send((minute, frame.stamp_ns, frame.color, frame.depth_m, frame.camera, pose))
    connection.send(None)


def walk(order: list[int], rate_hz: float, duration_s: float = 60.0) -> Iterator[tuple[int, Frame]]:
    """Yield the minute and the frame of a walk through rooms."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=draw, args=(sending, order, rate_hz, duration_s), daemon=True)
    process.start()
    sending.close()
    try:
        while (item := receiving.recv()) is not None:
            minute, stamp_ns, color, depth_m, camera, pose = item
            yield minute, Frame(minute * MINUTE_NS + stamp_ns, color, depth_m, camera, pose)
    finally:
        process.terminate()
        process.join()


def memory_mib(*names: str) -> list[float]:
    """Return values of /proc/self/status: VmRSS, RssAnon, VmHWM (the peak) and the like."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return [int(status[name].split()[0]) / 1024 for name in names]


def reset_peak() -> None:
    """Let VmHWM start again from the memory of now (Linux, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def compare_meshes(voxel_size_m: float) -> None:
    """Map a shorter walk, to the next room and back, with and without a budget and compare the meshes."""
    frames = [frame for _, frame in walk(visits(2), 2.0, 30.0)]
    meshes = []
    for budget_mib in (0, 128):
        mapper = Mapper(MappingConfiguration(voxel_size_m=voxel_size_m, memory_budget_mib=budget_mib))
        on_disk = 0
        for index, frame in enumerate(frames):
            mapper.add_frame(frame)
            if index % 4 == 0:
                mapper.mesh_blocks()
                on_disk = max(on_disk, mapper.statistics()["fragments_on_disk"])
        meshes.append(mapper.mesh())
        statistics = mapper.statistics()
        on_disk = max(on_disk, statistics["fragments_on_disk"])
    print(
        f"a walk of 2 minutes with {budget_mib} MiB: of {statistics['fragments']} fragments up to {on_disk} on disk, "
        f"{statistics['fragments_on_disk']} at its end"
    )
    a, b = (mesh.vertices[np.lexsort(mesh.vertices.T)] for mesh in meshes)
    largest = float(np.abs(a - b).max()) if a.shape == b.shape else float("nan")
    print(
        f"its mesh has {len(a)} vertices and {len(meshes[0].triangles)} triangles without a budget, {len(b)} and "
        f"{len(meshes[1].triangles)} with it; largest difference of a vertex {largest:.2g} m",
        flush=True,
    )


def main() -> None:
    options = arguments()
    precompile.warm_up()
    compare_meshes(options.voxel)
    gc.collect()
    pages.trim()
    frames = walk(visits(options.rooms), options.rate)
    first = next(frames)
    mapper = Mapper(MappingConfiguration(voxel_size_m=options.voxel, memory_budget_mib=options.budget))
    (start_mib,) = memory_mib("VmRSS")
    reset_peak()
    print(f"budget {options.budget} MiB; memory of the process before the first frame {start_mib:.0f} MiB")
    print("minute room  frame ms p50   p99   max  surface ms p50   max  memory MiB  fragments in memory / on disk")
    times: list[float] = []
    surface_times: list[float] = []
    every: list[float] = []
    cpu_times: list[float] = []
    revision = 0
    minute = 0
    order = visits(options.rooms)
    per_second = max(1, round(options.rate))

    def report() -> None:
        statistics = mapper.statistics()
        (now_mib,) = memory_mib("VmRSS")
        p50, p99 = np.percentile(times, (50, 99))
        print(
            f"{minute + 1:6d} {order[minute]:4d}  {p50:12.1f} {p99:5.1f} {max(times):5.1f}"
            f"  {np.median(surface_times):14.1f} {max(surface_times):5.1f}  {now_mib - start_mib:10.0f}"
            f"  {statistics['fragments_in_memory']:9d} / {statistics['fragments_on_disk']}",
            flush=True,
        )

    begun = time.perf_counter()
    warnings = set()
    for index, (in_minute, frame) in enumerate(itertools.chain([first], frames)):
        if in_minute != minute:
            report()
            every += times
            times, surface_times, minute = [], [], in_minute
        started, started_cpu = time.perf_counter(), time.thread_time()
        update = mapper.add_frame(frame)
        times.append(1e3 * (time.perf_counter() - started))
        cpu_times.append(1e3 * (time.thread_time() - started_cpu))
        if update.warning:
            warnings.add(update.warning)
        if index % per_second == 0:
            started = time.perf_counter()
            revision, _ = mapper.mesh_blocks(revision)
            surface_times.append(1e3 * (time.perf_counter() - started))
    report()
    every += times
    peak_mib, anonymous_mib = memory_mib("VmHWM", "RssAnon")
    print(f"{index + 1} frames of {minute + 1} minutes in {time.perf_counter() - begun:.0f} s")
    for name, values in (("frame ms", every), ("processor time of a frame, ms", cpu_times)):
        print(f"{name}: median {np.median(values):.1f}, p99 {np.percentile(values, 99):.1f}, max {max(values):.1f}")
    print(
        f"peak of the process {peak_mib - start_mib:.0f} MiB above the start, budget {options.budget} MiB"
        f" (not mapped from files: {anonymous_mib:.0f} MiB in all)"
    )
    for warning in sorted(warnings):
        print("warning:", warning)


if __name__ == "__main__":
    main()
