"""Compare the mapping core with Open3D's VoxelBlockGrid: the same frames, one run, interleaved.

Usage: python benchmark/mapping.py [--voxels 0.04 0.02] [--frames 120] [--scene kitchen|generated] [--threads 1]

Open3D gets its favourable case: blocks allocated ahead, images wrapped without a copy, float attributes. Chunks of
frames alternate between the methods in rotating order; a ratio is the median over chunks of the chunk medians. On a
machine that is busy with other work the ratio of processor times is the one to read.
The kitchen recording is used where ../shared holds it, otherwise a generated walk through a room of 640 x 480.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

KITCHEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "hololens_kitchen"
CHUNK_FRAMES = 25
FARTHEST_M, NEAREST_M, TRUNCATION_VOXELS = 4.0, 0.3, 4.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voxels", type=float, nargs="+", default=[0.04, 0.02], help="voxel sizes [m]")
    parser.add_argument("--frames", type=int, default=125, help="frames of the scene that are used")
    parser.add_argument("--scene", choices=("kitchen", "generated"), help="default: kitchen where it is found")
    parser.add_argument("--threads", type=int, default=1, help="threads of Open3D; this project's core uses one")
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
    """VoxelBlockGrid with blocks allocated ahead."""

    name = "Open3D VoxelBlockGrid"

    def __init__(self, voxel_m: float, block_count: int) -> None:
        """Reserve all blocks."""
        import open3d

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

    def mesh(self) -> int:
        """Extract the whole mesh and return its number of triangles."""
        return len(self.grid.extract_triangle_mesh(1.5).triangle.indices)

    def blocks(self) -> int:
        """Return the number of blocks in the map."""
        return self.grid.hashmap().size()

    def bytes_per_block(self) -> int:
        """Return the memory of a block [bytes]."""
        return 512 * 20 + 12


class OwnMethod:
    """The volume of this project, with or without the label channel."""

    def __init__(self, voxel_m: float, with_labels: bool) -> None:
        """Start empty; nothing is reserved but address space."""
        from lira_ros.mapping.tsdf import Volume

        self.name = "lira_ros with labels" if with_labels else "lira_ros"
        self.volume = Volume(voxel_m, TRUNCATION_VOXELS * voxel_m)
        self.with_labels = with_labels
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
        self.volume.select(frame.depth_m, NEAREST_M, FARTHEST_M)
        self.volume.integrate(frame.color, frame.camera, frame.T_map_camera, FARTHEST_M, labels=labels)

    def blocks(self) -> int:
        """Return the number of blocks in the map."""
        return self.volume.block_count

    def bytes_per_block(self) -> int:
        """Return the memory of a block [bytes]."""
        from lira_ros.mapping.tsdf import BYTES_PER_BLOCK

        return BYTES_PER_BLOCK + 25


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def wall_and_cpu_ms(work: Callable[[], object]) -> tuple[float, float]:
    started, started_cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - started), 1e3 * (time.process_time() - started_cpu)


def chunk_medians(chunks: list[list[tuple[float, float]]]):
    """Return the (chunks, 2) medians of wall and processor time."""
    import numpy as np

    return np.array([np.median(chunk, axis=0) for chunk in chunks])


def compare(frames: list, voxel_m: float, with_open3d: bool) -> None:
    import numpy as np

    from lira_ros.mapping.configuration import MappingConfiguration
    from lira_ros.mapping.mapper import Mapper

    own = [OwnMethod(voxel_m, False), OwnMethod(voxel_m, True)]
    methods: list = list(own)
    if with_open3d:
        methods.insert(0, Open3dMethod(voxel_m, int(4e6 * 0.02 / voxel_m) // 80))
    for method in methods:
        for i, frame in enumerate(frames):
            method.prepare(i, frame)
    times: dict[str, list[list[tuple[float, float]]]] = {method.name: [] for method in methods}
    for chunk, start in enumerate(range(0, len(frames), CHUNK_FRAMES)):
        turn = chunk % len(methods)
        for method in methods[turn:] + methods[:turn]:
            part = range(start, min(start + CHUNK_FRAMES, len(frames)))
            times[method.name].append([wall_and_cpu_ms(lambda m=method, i=i: m.integrate(i)) for i in part])
    print(
        f"\nvoxel {100 * voxel_m:g} cm, {len(frames)} frames of {frames[0].camera.width_px} x "
        f"{frames[0].camera.height_px}"
    )
    print(
        f"{'integration, ms per frame':<28}{'median':>8}{'p99':>8}{'max':>8}{'ratio':>8}"
        f"{'cpu':>8}{'ratio':>8}{'blocks':>9}{'MB':>8}"
    )
    reference = chunk_medians(times[methods[0].name])
    for method in methods:
        wall, cpu = np.concatenate(times[method.name]).T
        ratio_wall, ratio_cpu = np.median(reference / chunk_medians(times[method.name]), axis=0)
        megabytes = method.blocks() * method.bytes_per_block() / 1e6
        print(
            f"{method.name:<28}{np.median(wall):>8.2f}{np.percentile(wall, 99):>8.2f}{wall.max():>8.2f}"
            f"{ratio_wall:>7.1f}x{np.median(cpu):>8.2f}{ratio_cpu:>7.1f}x{method.blocks():>9}{megabytes:>8.0f}"
        )
    mapper = Mapper(MappingConfiguration(voxel_size_m=voxel_m))
    whole, publication, revision = [], [], 0
    for i, frame in enumerate(frames):
        whole.append(milliseconds(lambda f=frame: mapper.add_frame(f)))
        if i % 5 == 4:
            started = time.perf_counter()
            revision, _ = mapper.mesh_blocks(revision)
            publication.append(1e3 * (time.perf_counter() - started))
    statistics = mapper.statistics()
    print(
        f"whole mapper, each frame    {np.median(whole):>8.2f}{np.percentile(whole, 99):>8.2f}{max(whole):>8.2f}"
        f"   (of it integration {statistics['integrate_ms_p50']:.2f}; "
        f"{statistics['keyframes']} keyframes, {statistics['fragments']} fragments)"
    )
    settled = publication[len(publication) // 2 :]
    print(
        f"mesh update after 5 frames  {np.median(settled):>8.2f}{np.percentile(settled, 99):>8.2f}{max(settled):>8.2f}"
    )
    full = Mapper(mapper.configuration)
    for frame in frames:
        full.add_frame(frame)
    print(f"full mesh                   {milliseconds(full.mesh):>8.2f}", end="")
    if with_open3d:
        extraction = min(milliseconds(methods[0].mesh) for _ in range(3))
        print(
            f"   Open3D's full extraction {extraction:.2f}: an update is {extraction / np.median(settled):.1f}x faster",
            end="",
        )
    print()


def main() -> None:
    options = arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    try:
        import open3d  # noqa: F401

        with_open3d = True
    except (ImportError, OSError) as error:
        print(f"Open3D cannot be loaded ({error}): only this project's times are shown")
        with_open3d = False
    from lira_ros.mapping.precompile import warm_up

    print(f"loops compiled or loaded in {warm_up():.1f} s")
    scene = options.scene or ("kitchen" if KITCHEN.is_dir() else "generated")
    frames = kitchen_frames(options.frames) if scene == "kitchen" else generated_frames(options.frames)
    print(f"scene: {scene}")
    for voxel_m in options.voxels:
        compare(frames, voxel_m, with_open3d)


if __name__ == "__main__":
    main()
