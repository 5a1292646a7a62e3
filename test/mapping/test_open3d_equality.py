"""The mode that is equal to Open3D's VoxelBlockGrid: blocks, weights and distances of the same frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from analytic_scene import walk

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.mapping import voxel
from lira_ros.mapping.tsdf import Volume

open3d = pytest.importorskip("open3d", reason="Open3D cannot be loaded here, so there is nothing to compare with")
FARTHEST_M, TRUNCATION_VOXELS = 3.5, 4.0


def kitchen_frames(folder, count):
    matrix = np.loadtxt(folder / "K.txt")
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)
    frames = []
    for i, name in enumerate((folder / "frames.txt").read_text().split()[:count]):
        color = cv2.imread(str(folder / "images" / f"{Path(name).stem}.png"))[:, :, ::-1].copy()
        depth = cv2.imread(str(folder / "depth" / f"{Path(name).stem}.png"), cv2.IMREAD_UNCHANGED)
        camera = Camera(color.shape[1], color.shape[0], matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        frames.append((depth, Frame(i, color, depth.astype(np.float32) / 1000, camera, poses[i])))
    return frames


def generated_frames(count):
    return [(np.rint(frame.depth_m * 1000).astype(np.uint16), frame) for frame in walk(count)]


def compare(frames, voxel_m, in_millimetres):
    core, image = open3d.core, open3d.t.geometry.Image
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"),
        (core.float32, core.float32, core.float32),
        ((1), (1), (3)),
        voxel_m,
        8,
        20_000,
        core.Device("CPU:0"),
    )
    volume = Volume(voxel_m, TRUNCATION_VOXELS * voxel_m)
    for millimetres, frame in frames:
        # Open3D takes whole millimetres with colours of 8 bits, or floats with floats.
        depth = millimetres if in_millimetres else frame.depth_m
        color = frame.color if in_millimetres else frame.color.astype(np.float32) / np.float32(255)
        scale = 1000.0 if in_millimetres else 1.0
        T_camera_map = np.eye(4)
        T_camera_map[:3, :3] = frame.T_map_camera[:3, :3].T
        T_camera_map[:3, 3] = -frame.T_map_camera[:3, :3].T @ frame.T_map_camera[:3, 3]
        theirs = image(core.Tensor.from_numpy(depth)), image(core.Tensor.from_numpy(np.ascontiguousarray(color)))
        intrinsic, extrinsic = core.Tensor(frame.camera.matrix), core.Tensor(T_camera_map)
        reach = scale, FARTHEST_M, TRUNCATION_VOXELS
        blocks = grid.compute_unique_block_coordinates(theirs[0], intrinsic, extrinsic, *reach)
        grid.integrate(blocks, *theirs, intrinsic, extrinsic, *reach)
        volume.take_dirty()
        touched, refused = volume.integrate_as_open3d(
            depth, frame.color, frame.camera, frame.T_map_camera, FARTHEST_M, depth_scale=scale
        )
        assert touched == len(blocks)
        assert refused == 0
        known = volume.find(blocks.numpy())
        assert (known >= 0).all()
    rows = grid.hashmap().active_buf_indices().numpy().astype(np.int64)
    indices = volume.find(grid.hashmap().key_tensor().numpy()[rows])
    assert sorted(indices.tolist()) == list(range(volume.block_count))
    records = volume.records[indices]
    tsdf = grid.attribute("tsdf").numpy()[rows].reshape(-1, 512)
    weight = grid.attribute("weight").numpy()[rows].reshape(-1, 512)
    color = grid.attribute("color").numpy()[rows].reshape(-1, 512, 3)
    np.testing.assert_array_equal(records[:, voxel.WEIGHT], weight)
    np.testing.assert_allclose(records[:, voxel.TSDF], tsdf, rtol=0, atol=1e-6)
    difference = np.abs(records[:, [voxel.RED, voxel.GREEN, voxel.BLUE]].transpose(0, 2, 1) - color).max(axis=-1)
    # Open3D takes no colour from the first column of the image.
    assert (difference > 1e-2).mean() < 2e-3
    assert (weight > 1).sum() > 10_000


@pytest.mark.parametrize("in_millimetres", [True, False])
@pytest.mark.parametrize("voxel_m", [0.04, 0.02])
def test_generated_frames(voxel_m, in_millimetres):
    compare(generated_frames(12), voxel_m, in_millimetres)


@pytest.mark.parametrize("in_millimetres", [True, False])
def test_kitchen(shared_data, in_millimetres):
    folder = shared_data / "hololens_kitchen"
    if not folder.is_dir():
        pytest.skip(f"no recording of the kitchen in {folder}")
    compare(kitchen_frames(folder, 8), 0.02, in_millimetres)
