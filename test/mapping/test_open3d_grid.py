import sys

import numpy as np
import pytest
from analytic_scene import CAMERA, walk
from scipy.spatial import cKDTree

from lira_ros.mapping import voxel
from lira_ros.mapping.composition import add_to_volume
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.open3d_grid import (
    Open3DError,
    fragment_of_grid,
    grid_of_fragment,
    grid_of_map,
    read_grid,
    write_grid,
)
from lira_ros.mapping.tsdf import Volume

NONE = np.zeros(3, np.int64)


def empty():
    return Volume(0.04, 0.16, 1)


@pytest.fixture(scope="module")
def open3d():
    return pytest.importorskip("open3d", reason="Open3D is not installed here")


@pytest.fixture(scope="module")
def mapper():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, fragment_keyframes=4, max_depth_m=6.0, up="+z"))
    for frame in walk(10):
        mapper.add_frame(frame)
    return mapper


def by_block(blocks, *arrays):
    order = np.lexsort(np.asarray(blocks).T[::-1])
    return [np.asarray(array)[order] for array in (blocks, *arrays)]


def test_a_fragment_comes_back_as_it_was(open3d, mapper, tmp_path):
    fragment = mapper.fragments()[0]
    write_grid(tmp_path / "grid.npz", grid_of_fragment(fragment))
    read = fragment_of_grid(read_grid(tmp_path / "grid.npz"), fragment.truncation_m)
    assert read.voxel_size_m == fragment.voxel_size_m
    assert read.truncation_m == fragment.truncation_m
    expected = by_block(fragment.block_coordinates, fragment.tsdf, fragment.weight, fragment.color)
    for array, wanted in zip((read.block_coordinates, read.tsdf, read.weight, read.color), expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_a_map_is_the_sum_of_its_volumes_in_open3d_as_well(open3d, mapper):
    base, part, offset = mapper.volumes()
    assert part.block_count
    read = fragment_of_grid(grid_of_map(base, part, offset), base.truncation_m)
    volume = Volume(base.voxel_size_m, base.truncation_m, len(read.block_coordinates) + 1)
    add_to_volume(volume, read, np.arange(len(read.block_coordinates)), NONE)
    for source, shift in ((base, NONE), (part, offset)):
        other, other_shift = (part, offset) if source is base else (base, NONE)
        blocks = source.block_coordinates + shift.astype(np.int32)
        alone = other.find((blocks - other_shift).astype(np.int32)) < 0
        known = (source.records[: source.block_count, voxel.WEIGHT] > 0).any(axis=1)
        here = np.nonzero(alone & known)[0]
        there = volume.find(blocks[here])
        assert (there >= 0).all()
        assert len(here)
        for channel in (voxel.TSDF, voxel.WEIGHT):
            np.testing.assert_array_equal(volume.records[there, channel], source.records[here, channel])
        colors = slice(voxel.RED, voxel.BLUE + 1)
        np.testing.assert_allclose(volume.records[there, colors], source.records[here, colors], atol=0.5001)
    total = sum(float(v.records[: v.block_count, voxel.WEIGHT].sum(dtype=np.float64)) for v in (base, part))
    assert float(read.weight.sum(dtype=np.float64)) == pytest.approx(total, rel=1e-6)


def test_open3d_extracts_our_mesh(open3d, mapper):
    grid = grid_of_map(*mapper.volumes())
    theirs = grid.extract_triangle_mesh(weight_threshold=0.999 * mapper.configuration.mesh_weight)
    ours = mapper.mesh()
    # It wants more than its threshold, we at least ours. Its triangles of a cell may be cut another way, but the
    # vertices are on the same edges at the same places, and so are their colours.
    vertices = theirs.vertex.positions.numpy()
    assert len(vertices) == pytest.approx(len(ours.vertices), rel=0.002)
    assert len(theirs.triangle.indices.numpy()) == pytest.approx(len(ours.triangles), rel=0.01)
    distance, nearest = cKDTree(ours.vertices).query(vertices)
    assert np.quantile(distance, 0.999) < 1e-5
    close = distance < 1e-5
    colors = 255 * theirs.vertex.colors.numpy()[close]
    np.testing.assert_allclose(colors, ours.colors[nearest[close]], atol=1.5)


def test_a_grid_that_open3d_integrated_is_taken_over(open3d):
    core, image = open3d.core, open3d.t.geometry.Image
    frame = walk(1)[0]
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"),
        (core.float32, core.uint16, core.uint16),
        ((1,), (1,), (3,)),
        voxel_size=0.04,
        block_resolution=8,
        block_count=5000,
        device=core.Device("CPU:0"),
    )
    depth, color = image(core.Tensor(np.rint(1000 * frame.depth_m).astype(np.uint16))), image(core.Tensor(frame.color))
    K = core.Tensor(np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]]))
    extrinsic = core.Tensor(np.linalg.inv(frame.T_map_camera))
    blocks = grid.compute_unique_block_coordinates(depth, K, extrinsic, 1000.0, 6.0, 8.0)
    grid.integrate(blocks, depth, color, K, K, extrinsic, 1000.0, 6.0, 8.0)
    fragment = fragment_of_grid(grid)
    assert fragment.truncation_m == pytest.approx(8 * 0.04)
    points = grid.extract_point_cloud(weight_threshold=0.5).point.positions.numpy()
    assert len(points) > 100
    volume = Volume(0.04, 0.32, len(fragment.block_coordinates))
    add_to_volume(volume, fragment, np.arange(len(fragment.block_coordinates)), NONE)
    nearest = np.rint(points / 0.04).astype(int)
    index = volume.find((nearest >> 3).astype(np.int32))
    local = (nearest & 7) @ (1, 8, 64)
    # Near their surface our voxels have a small distance and their colour.
    records = volume.records[index, :, local]
    assert (index >= 0).all()
    assert np.median(np.abs(records[:, voxel.TSDF])) * 8.0 < 1.0  # voxels
    assert (records[:, voxel.RED : voxel.BLUE + 1] == frame.color[0, 0]).mean() > 0.95


def test_a_grid_without_colors_is_grey_and_one_without_weights_is_refused(open3d):
    def grid_with(names, resolution=8):
        grid = open3d.t.geometry.VoxelBlockGrid(
            names,
            (open3d.core.float32,) * len(names),
            ((1,),) * len(names),
            voxel_size=0.02,
            block_resolution=resolution,
            block_count=4,
            device=open3d.core.Device("CPU:0"),
        )
        grid.hashmap().activate(open3d.core.Tensor(np.array([[-3, 2, 7]], np.int32)))
        return grid

    fragment = fragment_of_grid(grid_with(("tsdf", "weight")))
    assert (fragment.color == 128).all()
    assert fragment.voxel_size_m == 0.02
    np.testing.assert_array_equal(fragment.block_coordinates, [(-3, 2, 7)])
    with pytest.raises(Open3DError, match="no attribute 'weight'"):
        fragment_of_grid(grid_with(("tsdf",)))
    with pytest.raises(Open3DError, match=r"expected \(8, 8, 8, 1\) a block, got \(16, 16, 16, 1\)"):
        fragment_of_grid(grid_with(("tsdf", "weight"), 16))
    with pytest.raises(Open3DError, match="the voxel block grid is empty"):
        fragment_of_grid(grid_of_map(empty(), empty(), NONE))


def test_files_that_are_no_grids_are_refused(open3d, tmp_path):
    with pytest.raises(Open3DError, match="not a voxel block grid"):
        read_grid(tmp_path / "nothing.npz")
    (tmp_path / "noise.npz").write_bytes(b"PK not a zip")
    with pytest.raises(Open3DError, match=r"noise\.npz: not a voxel block grid"):
        read_grid(tmp_path / "noise.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(Open3DError, match="it has no block_resolution, key, voxel_size"):
        read_grid(tmp_path / "other.npz")
    grid = grid_of_map(empty(), empty(), NONE)
    with pytest.raises(Open3DError, match=r"end with \.npz"):
        write_grid(tmp_path / "grid.ply", grid)
    with pytest.raises(FileNotFoundError):
        write_grid(tmp_path / "nowhere" / "grid.npz", grid)


def test_without_open3d_there_is_one_sentence(monkeypatch, mapper):
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(Open3DError, match=r"Open3D cannot be imported: .*pip install open3d-cpu"):
        grid_of_fragment(mapper.fragments()[0])
    with pytest.raises(Open3DError, match="cannot be imported"):
        read_grid("grid.npz")
