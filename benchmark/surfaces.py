"""Compare the surfaces and views of the map with those of Open3D's VoxelBlockGrid, on one core, in one run.

Usage: python benchmark/surfaces.py [--voxels 0.04 0.02] [--frames 120] [--scenes kitchen generated]

Both map the same frames with colour, by Open3D's rules, so that both draw the same surface. After every 5 frames this
project publishes what has changed of its mesh (the whole way through the mapper: composing, drawing, copying the
changed blocks out). Open3D has only the full extraction, which is timed every 20 frames. At the end the full mesh is
made from nothing by both, and the map is looked at from the poses of several frames. Everything alternates; a ratio is
the median of the ratios of neighbours. The process is pinned to one core; on a machine that is busy with other work the
ratio of processor times is the one to read. The kitchen recording is used where ../shared holds it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

# Before numpy, numba and Open3D are imported: they read it when they are.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_variable] = "1"

PUBLISHED_EVERY, EXTRACTED_EVERY, VIEWS = 5, 20, 6
FARTHEST_M, TRUNCATION_VOXELS, LEAST_WEIGHT = 4.0, 4.0, 1.5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voxels", type=float, nargs="+", default=[0.04, 0.02], help="voxel sizes [m]")
    parser.add_argument("--frames", type=int, default=120, help="frames of each scene that are used")
    parser.add_argument("--scenes", nargs="+", choices=("kitchen", "generated"), help="default: all that are found")
    parser.add_argument(
        "--core", type=int, default=max(os.sched_getaffinity(0)), help="core to which the run is pinned"
    )
    return parser.parse_args()


class Open3dGrid:
    """VoxelBlockGrid with blocks allocated ahead and images wrapped without a copy."""

    def __init__(self, voxel_m: float) -> None:
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
            int(1000 / voxel_m),
            core.Device("CPU:0"),
        )

    def _inputs(self, frame) -> tuple:
        import numpy as np

        core, image = self.o3d.core, self.o3d.t.geometry.Image
        return (
            image(core.Tensor.from_numpy(np.rint(frame.depth_m * 1000).astype(np.uint16))),
            image(core.Tensor.from_numpy(np.ascontiguousarray(frame.color))),
            core.Tensor(frame.camera.matrix),
            core.Tensor(np.linalg.inv(frame.T_map_camera)),
        )

    def integrate(self, frame) -> None:
        """Integrate one frame."""
        depth, color, intrinsic, extrinsic = self._inputs(frame)
        blocks = self.grid.compute_unique_block_coordinates(
            depth, intrinsic, extrinsic, 1000.0, FARTHEST_M, TRUNCATION_VOXELS
        )
        self.grid.integrate(blocks, depth, color, intrinsic, extrinsic, 1000.0, FARTHEST_M, TRUNCATION_VOXELS)

    def mesh(self) -> int:
        """Extract the whole mesh with colours and normals; return the number of its triangles."""
        return len(self.grid.extract_triangle_mesh(LEAST_WEIGHT).triangle.indices)

    def points(self) -> int:
        """Extract the surface points with colours and normals; return their number."""
        return len(self.grid.extract_point_cloud(LEAST_WEIGHT).point.positions)

    def cast(self, frame, camera) -> Callable[[], object]:
        """Return what casts rays from the pose of a frame, through the blocks that its depth image touches."""
        depth, _, intrinsic, extrinsic = self._inputs(frame)
        blocks = self.grid.compute_unique_block_coordinates(
            depth, intrinsic, extrinsic, 1000.0, FARTHEST_M, TRUNCATION_VOXELS
        )
        matrix = self.o3d.core.Tensor(camera.matrix)
        # A range map of 8 pixels (the default) crashed in Open3D 0.20 at 4 cm.
        return lambda: self.grid.ray_cast(
            blocks,
            matrix,
            extrinsic,
            camera.width_px,
            camera.height_px,
            ["depth", "normal", "color"],
            1000.0,
            0.1,
            10.0,
            LEAST_WEIGHT,
            TRUNCATION_VOXELS,
            16,
        )


def wall_and_cpu_ms(work: Callable[[], object]) -> tuple[float, float]:
    started, started_cpu = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - started), 1e3 * (time.process_time() - started_cpu)


class Table:
    """Times of ours and of Open3D by name, of which neighbours are compared."""

    def __init__(self) -> None:
        """Start without rows."""
        self.rows: dict[str, tuple[list, list]] = {}

    def add(self, name: str, own: Callable[[], object], peer: Callable[[], object] | None) -> None:
        """Run and time both, in turns who is first."""
        own_times, peer_times = self.rows.setdefault(name, ([], []))
        if peer is not None and len(own_times) % 2:
            peer_times.append(wall_and_cpu_ms(peer))
            own_times.append(wall_and_cpu_ms(own))
        else:
            own_times.append(wall_and_cpu_ms(own))
            if peer is not None:
                peer_times.append(wall_and_cpu_ms(peer))

    def show(self) -> None:
        """Print the medians and the ratios."""
        import numpy as np

        print(f"{'':<46}{'ours':>9}{'p90':>8}{'cpu':>8}{'Open3D':>9}{'cpu':>8}{'ratio':>8}{'cpu':>8}")
        for name, (own_times, peer_times) in self.rows.items():
            own, peer = np.array(own_times), np.array(peer_times)
            wall, cpu = np.median(own, axis=0)
            line = f"{name:<46}{wall:>9.2f}{np.percentile(own[:, 0], 90):>8.2f}{cpu:>8.2f}"
            if len(peer):
                ratio = np.median(peer[-len(own) :] / own[-len(peer) :], axis=0)
                line += f"{np.median(peer[:, 0]):>9.2f}{np.median(peer[:, 1]):>8.2f}{ratio[0]:>7.1f}x{ratio[1]:>7.1f}x"
            print(line)


def compare(name: str, frames: list, voxel_m: float, with_open3d: bool) -> None:
    import numpy as np

    from lira_ros.geometry.camera import Camera
    from lira_ros.mapping.configuration import MappingConfiguration
    from lira_ros.mapping.mapper import Mapper
    from lira_ros.mapping.surface import SurfaceMesh

    # By Open3D's rules of integration, so that both draw the same surface.
    mapper = Mapper(
        MappingConfiguration(
            voxel_size_m=voxel_m,
            truncation_voxels=TRUNCATION_VOXELS,
            max_depth_m=FARTHEST_M,
            min_depth_m=0.01,
            integration="open3d",
            mesh_weight=LEAST_WEIGHT,
        )
    )
    grid = Open3dGrid(voxel_m) if with_open3d else None
    table = Table()
    revision, sent = 0, []

    def publish() -> None:
        nonlocal revision
        revision, blocks = mapper.mesh_blocks(revision)
        sent.append(len(blocks))

    for i, frame in enumerate(frames, 1):
        columns = np.arange(frame.camera.width_px) // 64 + 1
        labels = np.tile(columns.astype(np.uint16), (frame.camera.height_px, 1))
        mapper.add_frame(frame, labels)
        if grid is not None:
            grid.integrate(frame)
        # In the first half of a walk the map is still small.
        if i % PUBLISHED_EVERY == 0 and 2 * i > len(frames):
            extract = grid.mesh if grid is not None and i % EXTRACTED_EVERY == 0 else None
            title = "mesh after 5 frames; Open3D: full extraction" if extract else "  the same between these"
            table.add(title, publish, extract)
        elif i % PUBLISHED_EVERY == 0:
            publish()
    volumes = mapper.volumes()
    base, part, offset = volumes
    blocks = np.concatenate([base.block_coordinates, part.block_coordinates + offset.astype(np.int32)])
    blocks = np.unique(blocks, axis=0).astype(np.int32)
    kept: list[SurfaceMesh] = []

    def from_nothing() -> SurfaceMesh:
        surface = SurfaceMesh(LEAST_WEIGHT)
        surface.update(base, part, offset, blocks)
        kept[:] = [surface]
        return surface

    for _ in range(5):
        table.add("full mesh from nothing", lambda: from_nothing().mesh(), grid and grid.mesh)
        table.add("full mesh, blocks kept", lambda: kept[0].mesh(), grid and grid.mesh)
        table.add("point cloud from nothing", lambda: from_nothing().points(), grid and grid.points)
        table.add("point cloud, blocks kept", lambda: kept[0].points(), grid and grid.points)
    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
    filled = []
    for frame in frames[:: max(1, len(frames) // VIEWS)]:
        T = frame.T_map_camera
        table.add(
            "labels of a depth image, stride 4", lambda f=frame, T=T: mapper.depth_labels(f.depth_m, f.camera, T), None
        )
        cast = grid and grid.cast(frame, camera)
        table.add("view of 640 x 480 by splatting; Open3D: cast", lambda T=T: mapper.view(camera, T), cast)
        table.add("view of 640 x 480 by ray casting", lambda T=T: mapper.view(camera, T, exact=True), cast)
        shares = [(mapper.view(camera, T, exact=exact).depth_m > 0).mean() for exact in (False, True)]
        filled.append([*shares, (cast()["depth"].numpy() > 0).mean() if cast else np.nan])
    mesh = kept[0].mesh()
    print(
        f"\n{name}, voxel {100 * voxel_m:g} cm: {len(blocks)} blocks, {len(mesh.vertices)} vertices, "
        f"{len(mesh.triangles)} triangles" + (f" (Open3D {grid.mesh()})" if grid else "") + f"; {len(frames)} frames; "
        f"{np.median(sent[len(sent) // 2 :]):.0f} blocks sent at a time; times in ms"
    )
    table.show()
    share = 100 * np.mean(filled, axis=0)
    print(f"pixels filled: {share[0]:.0f} % by splatting, {share[1]:.0f} % by ray casting, Open3D {share[2]:.0f} %")


def main() -> None:
    options = arguments()
    os.sched_setaffinity(0, {options.core})
    try:
        import open3d  # noqa: F401

        with_open3d = True
    except (ImportError, OSError) as error:
        print(f"Open3D cannot be loaded ({error}): only this project's times are shown")
        with_open3d = False
    from mapping import KITCHEN, generated_frames, kitchen_frames

    from lira_ros.mapping.precompile import warm_up

    print(f"loops compiled or loaded in {warm_up():.1f} s; core {options.core}; load {os.getloadavg()[0]:.1f}")
    scenes = options.scenes or (["kitchen"] if KITCHEN.is_dir() else []) + ["generated"]
    for scene in scenes:
        frames = (kitchen_frames if scene == "kitchen" else generated_frames)(options.frames)
        for voxel_m in options.voxels:
            compare(scene, frames, voxel_m, with_open3d)


if __name__ == "__main__":
    main()
