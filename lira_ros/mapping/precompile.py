"""Compile the loops of mapping and geometry before the first frame comes.

``python -m lira_ros.mapping.precompile`` fills the cache on disk; warm_up() loads it into a running process.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.ground import GroundPlane
from lira_ros.geometry.pose import from_quaternion
from lira_ros.geometry.registration import registered_depth
from lira_ros.mapping import marching_cubes, view_arithmetic, voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.devices import choose_device
from lira_ros.mapping.distance_field import Slab, distance_slice
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.surface import SurfaceMesh
from lira_ros.mapping.tsdf import Volume


def forget_outdated_loops() -> int:
    """Remove compiled loops older than the functions and tables that they contain; return how many there were.

    numba looks only at the file in which a loop is written, not at those that it inlines functions from.
    """
    contained = [Path(str(module.__file__)) for module in (voxel, view_arithmetic, marching_cubes)]
    newest_s = max(path.stat().st_mtime for path in contained if path.exists())
    outdated = [
        index
        for index in (Path(__file__).parent / "__pycache__").glob("*.nbi")
        if index.exists() and index.stat().st_mtime < newest_s
    ]
    for index in outdated:
        index.unlink(missing_ok=True)
    return len(outdated)


def warm_up(device: str = "cpu") -> float:
    """Run every compiled loop once on a tiny scene; return the time that it took [s].

    device: of the mapping configuration; the kernels of a GPU are compiled as well when it is used.
    """
    started = time.perf_counter()
    forget_outdated_loops()
    camera = Camera(32, 24, 24.0, 24.0, 15.5, 11.5)
    depth_m = np.full((24, 32), 1.0, dtype=np.float32)
    depth_m[:, 16:] = 1.5
    color = np.full((24, 32, 3), 128, dtype=np.uint8)
    mapper = Mapper(
        MappingConfiguration(
            voxel_size_m=0.1, fragment_keyframes=1, keyframe_distance_m=0.01, max_blocks=4096, device=device
        )
    )
    for stamp_ns in (0, 1):
        T_map_camera = np.eye(4)
        T_map_camera[0, 3] = 0.1 * stamp_ns
        mapper.add_frame(Frame(stamp_ns, color, depth_m, camera, T_map_camera), np.ones((24, 32), np.uint16))
    registered_depth(depth_m, camera, camera, np.eye(4))
    mapper.mesh()
    # Fragments off the grid, the open one too, which this frame without a keyframe belongs to.
    mapper.add_frame(Frame(2, color, depth_m, camera, T_map_camera), np.ones((24, 32), np.uint16))
    mapper.apply_jump(from_quaternion((0.03, 0.0, 0.0), (0.0, 0.0, np.sin(0.1), np.cos(0.1)), "jump"))
    mapper.mesh()
    mapper.mesh_blocks()
    instances = InstanceLayer(0.1)
    instances.set(1, np.zeros((1, 3), np.int32))
    mapper.point_cloud(0.5, instances)
    instances.look_up_depth(depth_m, camera, np.eye(4))
    mapper.labels(np.zeros((1, 3)))
    mapper.depth_labels(depth_m, camera, np.eye(4))
    for exact in (False, True):
        mapper.view(camera, np.eye(4), exact=exact)
    surface = SurfaceMesh(1.5)
    surface.forget(np.zeros((1, 3), np.int32))
    surface.clear()
    # Upright and tilted slabs, each once.
    for up in (np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.6, 0.8])):
        slab = Slab(GroundPlane(up, 0.0), 0.1, 1.0, 0.1, np.zeros(3), 0.5)
        distance_slice(*mapper.volumes(), slab, with_heights=True)
    if choose_device(device) == "cuda":
        from lira_ros.mapping import cuda_volume

        cuda_volume.warm_up()
    # More blocks than the first table holds, so that growing it is compiled too.
    many = np.stack(np.meshgrid(*[np.arange(20)] * 3), axis=-1).reshape(-1, 3).astype(np.int32)
    volume = Volume(0.1, 0.4, len(many))
    volume.allocate(many[:1])
    volume.allocate(many)
    # Update rules that are not the default, those of Open3D, and blocks taken out again.
    volume.discard(many)
    volume.select(depth_m, 0.3, 4.0, incidence_camera=camera)
    for label_confidence in (None, np.ones((24, 32), np.float32)):
        volume.integrate(
            color,
            camera,
            np.eye(4),
            4.0,
            carve_from_m=0.3,
            stamp_s=1.0,
            half_life_s=1.0,
            labels=np.ones((24, 32), np.uint16),
            label_confidence=label_confidence,
        )
    volume.integrate_as_open3d(depth_m, color, camera, np.eye(4), 4.0)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(f"compiled the mapping loops in {warm_up():.1f} s")
