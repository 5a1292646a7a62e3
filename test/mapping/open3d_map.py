"""The same frames through Open3D's VoxelBlockGrid, the peer that the tests of accuracy compare with."""

import numpy as np
import pytest


def open3d_mesh(frames, voxel_m, weight=3.0, shift_px=0.0, farthest_m=4.0):
    """Return vertices and triangles of Open3D's map; the test is skipped where Open3D is not installed.

    weight: a surface is drawn above it (Open3D's own choice: 3). shift_px: Open3D takes the pixel of a point by cutting
    off, so its pixel centres lie at +0.5; 0.5 gives it the intrinsics in that convention, 0 those of ROS as they are.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:
        pytest.skip(f"Open3D cannot be loaded here, so there is nothing to compare with ({error})")
    core, image = open3d.core, open3d.t.geometry.Image
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"),
        (core.float32, core.float32, core.float32),
        ((1), (1), (3)),
        voxel_m,
        8,
        10_000,
        core.Device("CPU:0"),
    )
    for frame in frames:
        matrix = frame.camera.matrix
        matrix[:2, 2] += shift_px
        depth = image(core.Tensor.from_numpy(frame.depth_m * np.float32(1000)))
        color = image(core.Tensor.from_numpy(frame.color.astype(np.float32) / np.float32(255)))
        intrinsic, extrinsic = core.Tensor(matrix), core.Tensor(np.linalg.inv(frame.T_map_camera))
        reach = 1000.0, farthest_m, 4.0  # millimetres in a metre, farthest depth, truncation in voxels
        blocks = grid.compute_unique_block_coordinates(depth, intrinsic, extrinsic, *reach)
        grid.integrate(blocks, depth, color, intrinsic, extrinsic, *reach)
    mesh = grid.extract_triangle_mesh(weight)
    return mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy()
