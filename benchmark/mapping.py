"""Compare the mapping core with Open3D's VoxelBlockGrid: the same frames, one run, interleaved.

Usage: python benchmark/mapping.py [--scenes kitchen generated] [--voxels 0.04 0.02 0.01] [--frames 100]
       [--parts one all growth mapper]

one: both on one core and one thread. all: both on all cores, ours with as many threads. growth: a walk through rooms
at 2 cm until the map has 100,000 blocks, computing on one thread each. mapper: the whole mapper, frame by frame.

Open3D gets its favourable case: blocks allocated ahead, images wrapped without a copy, float attributes; in `growth`
also as it comes, with room for 10,000 blocks. Both integrate depth to 4 m (ours from 0.3 m) with a truncation of 4
voxels and with colour. Ours does so with the defaults of the mapper, and once in the mode that gives the map of Open3D.
Chunks of frames alternate between the methods in rotating order; a ratio is the median over chunks of the chunk
medians. On a machine that is busy with other work the ratio of processor times is the one to read. Memory is what the
process grew by during the chunks of a method.
The kitchen recording (540 x 360) is used where ../shared holds it; the generated walk is 640 x 480.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

KITCHEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "hololens_kitchen"
CHUNK_FRAMES = 20
FARTHEST_M, NEAREST_M, TRUNCATION_VOXELS = 4.0, 0.3, 4.0
PARTS = ("one", "all", "growth", "mapper")
GROWN_BLOCKS = 100_000
# Rooms of the growth lie so far apart that none sees the other; each is walked through in so many frames, 8 degrees and
# 20 cm from one to the next: at 10 Hz a camera in a hurry.
ROOM_DISTANCE_M, ROOM_FRAMES = 12.8, 48
KNOWN_FRAMES = 2  # they make a map of about 1,000 blocks
OPEN3D_BLOCKS = 10_000  # what its examples reserve


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voxels", type=float, nargs="+", default=[0.04, 0.02, 0.01], help="voxel sizes [m]")
    parser.add_argument("--frames", type=int, default=100, help="frames of a scene that are used")
    parser.add_argument("--scenes", choices=("kitchen", "generated"), nargs="+", default=["kitchen", "generated"])
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def kitchen_frames(count: int) -> list:
    import cv2
    import numpy as np

    from lira_ros.geometry.camera import Camera
    from lira_ros.geometry.depth import meters_from_millimeters
    from lira_ros.geometry.frame import Frame

    matrix = np.loadtxt(KITCHEN / "K.txt")
    poses = np.loadtxt(KITCHEN / "poses.txt").reshape(-1, 4, 4)
    frames = []
    for i, name in enumerate((KITCHEN / "frames.txt").read_text().split()[:count]):
        color = cv2.imread(str(KITCHEN / "images" / f"{Path(name).stem}.png"))[:, :, ::-1].copy()
        depth = cv2.imread(str(KITCHEN / "depth" / f"{Path(name).stem}.png"), cv2.IMREAD_UNCHANGED)
        camera = Camera(color.shape[1], color.shape[0], matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        frames.append(Frame(i * 100_000_000, color, meters_from_millimeters(depth), camera, poses[i]))
    return frames


def generated_frames(count: int) -> list:
    """Walk around a box room of 5 x 4 x 2.6 m with boxes in it, with the noise of a depth camera."""
    import numpy as np
    from scipy.spatial.transform import Rotation

    from lira_ros.geometry.camera import Camera
    from lira_ros.geometry.frame import Frame

    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
    half = np.array([2.5, 2.0, 1.3])
    rng = np.random.default_rng(0)
    boxes = [(c, s) for c, s in zip(rng.uniform(-1.8, 1.8, (8, 3)), rng.uniform(0.1, 0.5, (8, 3)), strict=True)]
    for centre, size in boxes:
        centre[2] = -1.3 + size[2]
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones((480, 640))], axis=-1)
    optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)
    frames = []
    for i in range(count):
        turn = 2 * np.pi * i / count
        T = np.eye(4)
        look = Rotation.from_euler("zy", [np.degrees(turn) + 150, 20], degrees=True).as_matrix()
        T[:3, :3] = look @ optical
        T[:3, 3] = (1.6 * np.cos(turn), 1.2 * np.sin(turn), 0.3)
        rays = local @ T[:3, :3].T
        depth = ((np.sign(rays) * half - T[:3, 3]) / rays).min(axis=-1)
        for centre, size in boxes:
            a, b = (centre - size - T[:3, 3]) / rays, (centre + size - T[:3, 3]) / rays
            near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
            depth = np.where((near < far) & (near > 0.1) & (near < depth), near, depth)
        depth += rng.normal(0, 1, depth.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
        points = rays * depth[..., None] + T[:3, 3]
        color = (127 + 120 * np.sin(points * 6)).astype(np.uint8)
        frames.append(Frame(i * 100_000_000, color, (np.rint(depth * 1000) / 1000).astype(np.float32), camera, T))
    return frames


class Open3dMethod:
    """VoxelBlockGrid with float attributes."""

    def __init__(self, voxel_m: float, block_count: int, name: str = "Open3D VoxelBlockGrid") -> None:
        """Reserve the blocks."""
        import open3d

        self.name = name
        self.o3d = open3d
        core = open3d.core
        self.grid = open3d.t.geometry.VoxelBlockGrid(
            ("tsdf", "weight", "color"),
            (core.float32, core.float32, core.float32),
            ((1), (1), (3)),
            voxel_m,
            8,
            block_count,
            core.Device("CPU:0"),
        )
        self.inputs: dict[int, tuple] = {}

    def prepare(self, index: int, frame) -> None:
        """Bring a frame into the form that integrate() takes, outside of the timing."""
        import numpy as np

        core, image = self.o3d.core, self.o3d.t.geometry.Image
        self.inputs[index] = (
            image(core.Tensor.from_numpy(np.rint(frame.depth_m * 1000).astype(np.uint16))),
            image(core.Tensor.from_numpy(np.ascontiguousarray(frame.color))),
            core.Tensor(frame.camera.matrix),
            core.Tensor(np.linalg.inv(frame.T_map_camera)),
        )

    def integrate(self, index: int) -> None:
        """Integrate a prepared frame."""
        depth, color, intrinsic, extrinsic = self.inputs[index]
        scale, reach = 1000.0, FARTHEST_M
        blocks = self.grid.compute_unique_block_coordinates(
            depth, intrinsic, extrinsic, scale, reach, TRUNCATION_VOXELS
        )
        self.grid.integrate(blocks, depth, color, intrinsic, extrinsic, scale, reach, TRUNCATION_VOXELS)

    def blocks(self) -> int:
        """Return the number of blocks in the map."""
        return self.grid.hashmap().size()


class OwnMethod:
    """The volume of this project with the defaults of the mapper, with or without the label channel."""

    def __init__(self, voxel_m: float, threads: int = 1, with_labels: bool = False, as_open3d: bool = False) -> None:
        """Start empty; nothing is reserved but address space."""
        from lira_ros.mapping.configuration import MappingConfiguration
        from lira_ros.mapping.tsdf import Volume

        self.name = "lira_ros" + " with labels" * with_labels + " as Open3D" * as_open3d
        self.volume = Volume(voxel_m, TRUNCATION_VOXELS * voxel_m, threads=threads)
        self.with_labels, self.as_open3d = with_labels, as_open3d
        self.configuration = MappingConfiguration()
        self.inputs: dict[int, tuple] = {}

    def prepare(self, index: int, frame) -> None:
        """Bring a frame into the form that integrate() takes, outside of the timing."""
        import numpy as np

        labels = None
        if self.with_labels:
            columns = np.arange(frame.camera.width_px) // 64 + 1
            labels = np.tile(columns.astype(np.uint16), (frame.camera.height_px, 1))
        self.inputs[index] = (frame, labels)

    def integrate(self, index: int) -> None:
        """Integrate a prepared frame."""
        frame, labels = self.inputs[index]
        if self.as_open3d:
            self.volume.integrate_as_open3d(frame.depth_m, frame.color, frame.camera, frame.T_map_camera, FARTHEST_M)
            return
        c = self.configuration
        smooth = c.depth_filter == "surface_mean"
        self.volume.select(frame.depth_m, NEAREST_M, FARTHEST_M, not c.drop_discontinuities, smooth=smooth)
        self.volume.integrate(
            frame.color,
            frame.camera,
            frame.T_map_camera,
            FARTHEST_M,
            constant_weight=c.weighting == "constant",
            weight_cap=c.weight_cap,
            fading=c.behind_surface == "fading",
            labels=labels,
        )

    def blocks(self) -> int:
        """Return the number of blocks in the map."""
        return self.volume.block_count


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wall_and_cpu_ms(work: Callable[[], object]) -> tuple[float, float]:
    # Processor time is that of all threads: what ours prepares in another one counts.
    started, started_cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - started), 1e3 * (time.process_time() - started_cpu)


def chunk_medians(chunks: list[list[tuple[float, float]]]):
    """Return the (chunks, 2) medians of wall and processor time."""
    import numpy as np

    return np.array([np.median(chunk, axis=0) for chunk in chunks])


def compare(frames: list, voxel_m: float, with_open3d: bool, threads: int) -> None:
    """Print one table: all methods on the same frames."""
    import numpy as np

    makers: list[Callable[[], object]] = [
        lambda: OwnMethod(voxel_m, threads),
        lambda: OwnMethod(voxel_m, threads, with_labels=True),
        lambda: OwnMethod(voxel_m, threads, as_open3d=True),
    ]
    if with_open3d:
        makers.insert(0, lambda: Open3dMethod(voxel_m, round(800 / voxel_m)))
    methods: list = []
    grown: dict[str, int] = {}
    for maker in makers:
        before = resident_bytes()
        methods.append(maker())
        grown[methods[-1].name] = resident_bytes() - before
        for i, frame in enumerate(frames):
            methods[-1].prepare(i, frame)
    times: dict[str, list[list[tuple[float, float]]]] = {method.name: [] for method in methods}
    for chunk, start in enumerate(range(0, len(frames), CHUNK_FRAMES)):
        turn = chunk % len(methods)
        for method in methods[turn:] + methods[:turn]:
            before = resident_bytes()
            part = range(start, min(start + CHUNK_FRAMES, len(frames)))
            times[method.name].append([wall_and_cpu_ms(lambda m=method, i=i: m.integrate(i)) for i in part])
            grown[method.name] += resident_bytes() - before
    print(
        f"\nvoxel {100 * voxel_m:g} cm, {len(frames)} frames of {frames[0].camera.width_px} x "
        f"{frames[0].camera.height_px}, {threads} thread{'s' if threads > 1 else ''}\n"
        f"{'integration, ms per frame':<28}{'median':>8}{'p99':>8}{'max':>8}{'ratio':>8}"
        f"{'cpu':>8}{'ratio':>8}{'blocks':>9}{'MB':>8}"
    )
    reference = chunk_medians(times[methods[0].name])
    for method in methods:
        wall, cpu = np.concatenate(times[method.name]).T
        ratio_wall, ratio_cpu = np.median(reference / chunk_medians(times[method.name]), axis=0)
        print(
            f"{method.name:<28}{np.median(wall):>8.2f}{np.percentile(wall, 99):>8.2f}{wall.max():>8.2f}"
            f"{ratio_wall:>7.1f}x{np.median(cpu):>8.2f}{ratio_cpu:>7.1f}x{method.blocks():>9}"
            f"{grown[method.name] / 1e6:>8.0f}",
            flush=True,
        )


def grow(with_open3d: bool) -> None:
    """Print the times of frames while the map grows to 100,000 blocks, and of the same frames before and after."""
    import dataclasses

    import numpy as np

    voxel_m = 0.02
    room = generated_frames(ROOM_FRAMES)
    methods: list = [OwnMethod(voxel_m)]
    if with_open3d:
        methods.append(Open3dMethod(voxel_m, int(1.2 * GROWN_BLOCKS), "Open3D, room for 120,000"))
        methods.append(Open3dMethod(voxel_m, OPEN3D_BLOCKS, "Open3D, room for 10,000"))
    growing: dict[str, list[tuple[float, float]]] = {method.name: [] for method in methods}
    again: dict[str, list] = {method.name: [] for method in methods}

    def revisit() -> None:
        # The first frames of the first room, where nothing is new: what a frame costs by itself.
        for method in methods:
            for index in range(KNOWN_FRAMES):
                method.prepare(index, room[index])
                method.integrate(index)
            known = [wall_and_cpu_ms(lambda m=method, k=k: m.integrate(k % KNOWN_FRAMES)) for k in range(100)]
            again[method.name].append(np.median(known, axis=0))

    revisit()
    small = methods[0].blocks()
    rooms = 0
    while methods[0].blocks() < GROWN_BLOCKS:
        for method in methods[rooms % len(methods) :] + methods[: rooms % len(methods)]:
            for frame in room:
                T = frame.T_map_camera.copy()
                T[:3, 3] += ROOM_DISTANCE_M * np.array([rooms % 8, rooms // 8, 0])
                method.prepare(-1, dataclasses.replace(frame, T_map_camera=T))
                growing[method.name].append(wall_and_cpu_ms(lambda m=method: m.integrate(-1)))
        rooms += 1
    revisit()
    large = methods[0].blocks()
    print(
        f"\n--- growth at 2 cm: {rooms} rooms of {ROOM_FRAMES} frames of 640 x 480, {(large - small) // rooms} blocks "
        f"each, one thread, load {os.getloadavg()[0]:.1f} ---\n"
        f"{'integration, ms per frame':<28}{'growing':>8}{'p99':>8}{'max':>10}{'cpu max':>10}"
        f"   same frames in {small} and {large} blocks"
    )
    for method in methods:
        wall, cpu = np.array(growing[method.name]).T
        before, after = again[method.name]
        print(
            f"{method.name:<28}{np.median(wall):>8.2f}{np.percentile(wall, 99):>8.2f}{wall.max():>10.2f}"
            f"{cpu.max():>10.2f}   {before[0]:.2f} and {after[0]:.2f}: {after[0] / before[0]:.2f}x"
            f" (processor time {after[1] / before[1]:.2f}x)",
            flush=True,
        )


def run_mapper(frames: list, voxel_m: float) -> None:
    """Print the times of the whole mapper, from the frame to the keyframe."""
    import numpy as np

    from lira_ros.mapping.configuration import MappingConfiguration
    from lira_ros.mapping.mapper import Mapper

    mapper = Mapper(MappingConfiguration(voxel_size_m=voxel_m))
    whole = [wall_and_cpu_ms(lambda f=frame: mapper.add_frame(f))[0] for frame in frames]
    statistics = mapper.statistics()
    name = f"whole mapper, {100 * voxel_m:g} cm"
    print(
        f"{name:<28}{np.median(whole):>8.2f}{np.percentile(whole, 99):>8.2f}{max(whole):>8.2f}"
        f"   ({statistics['keyframes']} keyframes, {statistics['fragments']} fragments)",
        flush=True,
    )


def run_part(part: str, options: argparse.Namespace) -> None:
    """Run one part in this process, whose threads were chosen by its parent."""
    threads = os.cpu_count() or 1
    if part == "one":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if part != "all":
        threads = 1
    try:
        import open3d  # noqa: F401

        with_open3d = True
    except (ImportError, OSError) as error:
        print(f"Open3D cannot be loaded ({error}): only this project's times are shown")
        with_open3d = False
    from lira_ros.mapping.precompile import warm_up

    warm_up()
    if part == "growth":
        grow(with_open3d)
        return
    title = {"one": "one core and one thread each", "all": f"all {threads} cores", "mapper": "one thread"}[part]
    for scene in options.scenes:
        if scene == "kitchen" and not KITCHEN.is_dir():
            print(f"no recording of the kitchen in {KITCHEN}")
            continue
        print(f"\n--- {scene}, {title}, load {os.getloadavg()[0]:.1f} ---")
        frames = kitchen_frames(options.frames) if scene == "kitchen" else generated_frames(options.frames)
        for voxel_m in options.voxels:
            if part == "mapper":
                run_mapper(frames, voxel_m)
            else:
                compare(frames, voxel_m, with_open3d, threads)


def main() -> None:
    options = arguments()
    if options.in_this_process:
        run_part(options.parts[0], options)
        return
    for part in options.parts:
        # Libraries choose their threads when they are loaded: each part gets a process of its own.
        environment = dict(os.environ)
        if part != "all":
            names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")
            environment.update(dict.fromkeys(names, "1"))
        command = [sys.executable, __file__, "--in-this-process", "--parts", part, "--frames", str(options.frames)]
        command += ["--voxels", *map(str, options.voxels), "--scenes", *options.scenes]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
