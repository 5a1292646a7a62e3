"""The CUDA kernels in numba's simulator, beside the processor; run by test_cuda.py in a process of its own.

The simulator runs each thread of a kernel as a thread of Python: a CUDA block of 512 threads takes a tenth of a second,
so images are tiny, voxels large, and most frames touch a single block of voxels.
"""

import inspect

import numpy as np
import pytest
from numba.cuda.cudadrv.driver import CudaAPIError

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.mapping import cuda_casting, cuda_kernels, cuda_views, cuda_volume, surface_kernels, tsdf, views, voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.cuda_surface import draw_blocks
from lira_ros.mapping.cuda_volume import CudaVolume
from lira_ros.mapping.devices import cuda_state, simulated
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.tsdf import MapLimit, Volume

CAMERA = Camera(32, 24, 24.0, 24.0, 15.5, 11.5)
VOXEL_M, TRUNCATION_M = 0.1, 0.2
COLOR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
LABELS = np.where(np.arange(32) < 16, 3, 0)[None].repeat(24, axis=0).astype(np.uint16)


# Compiled before hundreds of threads want them at the same time.
voxel.slot_of(voxel.pack_key(1, 2, 3), 8)
voxel.larger(np.float32(1.0), np.float32(2.0))
voxel.smaller(np.float32(1.0), np.float32(2.0))
voxel.vote(np.float32(1.0), np.float32(1.0), np.float32(2.0), np.float32(1.0))


def depth_image():
    u, v = np.meshgrid(np.arange(32), np.arange(24))
    depth = (0.45 + 0.04 * np.sin(u / 5) + 0.003 * v).astype(np.float32)
    depth[:3] = 0.0
    depth[5, 5] = np.nan
    return depth


def integrate(volume, x_m=0.0, offset=(0, 0, 0), beyond_m=0.0, incidence=False, **options):
    T = np.eye(4)
    # The middle of the image is the middle of a block.
    T[:3, 3] = np.array([0.4 + x_m, 0.4, 0.0]) - np.array(offset) * 8 * VOXEL_M
    depth = depth_image()
    if beyond_m > 0:
        depth[:8], depth[16:], depth[:, :12], depth[:, 20:] = 0.0, 0.0, 0.0, 0.0
        depth += np.float32(beyond_m) * (depth > 0)
    assert volume.select(depth, 0.3, 4.0, True, incidence_camera=CAMERA if incidence else None) > 0
    return volume.integrate(COLOR, CAMERA, T, 4.0, **options)


def assert_equal(volume, expected):
    assert volume.block_count == expected.block_count > 0
    at = volume.find(expected.block_coordinates)
    np.testing.assert_allclose(volume.records[at], expected.records[: expected.block_count], rtol=1e-6, atol=1e-5)
    assert expected.records[: expected.block_count, voxel.WEIGHT].max() > 0


def key_set(blocks):
    return {tuple(block) for block in np.asarray(blocks).tolist()}


def test_the_simulator_is_the_device():
    assert simulated()
    assert cuda_state().problem is None


def test_integration_equals_the_processor():
    host, device = Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    confidence = np.full((24, 32), 0.5, np.float32)
    frames = (
        {"labels": LABELS, "weight_cap": 3.0, "fading": True, "stamp_s": 5.0, "half_life_s": 2.0},
        {"labels": LABELS + np.uint16(1), "label_confidence": confidence, "stamp_s": 8.0, "half_life_s": 2.0},
    )
    for i, options in enumerate(frames):
        updated = [integrate(volume, 0.02 * i, incidence=i > 0, **options)[0] for volume in (host, device)]
        assert updated[0] == updated[1] > 0
    assert key_set(device.take_dirty()) == key_set(host.take_dirty())
    assert len(device.take_dirty()) == 0
    assert_equal(device, host)
    records = device.records[: device.block_count]
    assert set(np.unique(records[:, voxel.LABEL])) >= {1.0, 3.0}
    assert records[:, voxel.RED].max() > 100
    # Blocks are numbered in the order of their keys, whatever order the threads came in.
    assert (np.diff(voxel.block_keys(device.block_coordinates)[: updated[1]]) > 0).all()


def test_both_volumes_are_used_alike():
    for name in ("integrate", "select", "discard", "merge", "allocate", "find", "take_dirty"):
        assert inspect.signature(getattr(CudaVolume, name)) == inspect.signature(getattr(Volume, name))


def test_what_is_seen_through_is_carved():
    base = Volume(VOXEL_M, TRUNCATION_M)
    near = np.array([[0, 0, 0], [1, 0, 0], [0, 0, -1], [7, 7, 7]], np.int32)
    base.allocate(near)
    found = []
    for volume in (Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)):
        limit = MapLimit(base.keys, base.values, np.zeros(3, np.int64), base.capacity, base.block_count)
        integrate(volume, beyond_m=0.8, carve_from_m=0.3, limit=limit)
        found.append(volume)
        assert volume.find(near)[0] >= 0 > volume.find(near)[3]
        assert limit.map_blocks == base.block_count + (base.find(volume.block_coordinates) < 0).sum()
    assert_equal(found[1], found[0])


def test_discarded_blocks_make_room_on_the_device():
    host, device = Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    for volume in (host, device):
        volume.allocate(np.array([[9, 9, 9], [8, 8, 8]], np.int32))
        integrate(volume, labels=LABELS)
        volume.discard(np.array([[9, 9, 9], [5, 5, 5]], np.int32))
        assert volume.find(np.array([[9, 9, 9]], np.int32))[0] == -1
        integrate(volume, 0.02)
    assert_equal(device, host)


def test_pool_table_and_lists_grow(monkeypatch):
    monkeypatch.setattr(cuda_volume, "_FIRST_BLOCKS", 1)
    monkeypatch.setattr(cuda_volume, "_NEW_BLOCKS", 1)
    monkeypatch.setattr(cuda_volume, "_PACK_BLOCKS", 2)
    monkeypatch.setattr(tsdf, "_FIRST_TABLE_SLOTS", 2)
    host, device = Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    for x_m in (0.4, 1.2):
        integrate(host, x_m)
        integrate(device, x_m)
    assert len(device.keys) >= 2 * device.block_count
    assert_equal(device, host)


def test_a_full_map_refuses_new_blocks_and_keeps_the_old():
    base = Volume(VOXEL_M, TRUNCATION_M)
    base.allocate(np.array([[1, 0, 0], [50, 0, 0]], np.int32))
    offset = np.array([2, 0, -1], np.int64)
    volumes = Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    for volume in volumes:
        # The camera sees blocks 0 and 1 of the map, of which it has only one, and may have no more.
        limit = MapLimit(base.keys, base.values, offset, base.block_count, base.block_count)
        touched, refused = integrate(volume, 0.4, offset, limit=limit)
        assert touched == volume.block_count == 1
        assert refused > 0
        assert limit.map_blocks == base.block_count
        assert (volume.block_coordinates + offset).tolist() == [[1, 0, 0]]
        # What was refused stays out, what is known is updated again.
        assert integrate(volume, 0.4, offset, limit=limit)[0] == volume.block_count == 1
    assert_equal(volumes[1], volumes[0])
    full = CudaVolume(VOXEL_M, TRUNCATION_M, maximum_blocks=1)
    touched, refused = integrate(full, 0.4)
    assert touched == full.block_count == full.capacity == 1
    assert refused == 1
    assert full.find(full.block_coordinates).tolist() == [0]


def test_cleared_and_released_volumes_start_anew():
    host, device = Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    integrate(device, 0.3, labels=LABELS)
    device.clear()
    assert device.block_count == 0
    assert len(device.take_dirty()) == 0
    integrate(host)
    integrate(device)
    assert_equal(device, host)
    device.release()
    assert device.block_count == 0
    assert device.find(host.block_coordinates).max() == -1


def test_merged_and_allocated_blocks_reach_the_device():
    host, device, part = (kind(VOXEL_M, TRUNCATION_M) for kind in (Volume, CudaVolume, Volume))
    integrate(part, 0.05, labels=LABELS)
    offset = np.array([0, 0, 0], np.int64)
    for volume in (host, device):
        volume.allocate(part.block_coordinates[:1])
        assert volume.merge(part, offset) == 0
        integrate(volume, labels=LABELS)
    assert_equal(device, host)


def test_marching_cubes_equal_the_processor():
    base, host, part = (kind(VOXEL_M, TRUNCATION_M) for kind in (Volume, Volume, CudaVolume))
    offset = np.array([1, 0, -1], np.int64)
    integrate(base, 0.4, labels=LABELS)
    for volume in (host, part):
        integrate(volume, 0.42, offset, labels=LABELS + np.uint16(2))
    blocks = np.concatenate([base.block_coordinates, part.block_coordinates + offset.astype(np.int32)])
    corners = np.array([[-(i & 1), -(i >> 1 & 1), -(i >> 2)] for i in range(8)], np.int32)
    blocks = voxel.unique_blocks((blocks[:, None] + corners).reshape(-1, 3))
    blocks = blocks[(base.find(blocks) >= 0) | (part.find((blocks - offset).astype(np.int32)) >= 0)]
    room, drawn = 1 << 13, []
    for draw, volumes in (
        (surface_kernels.mesh_blocks, (base.records, base.keys, base.values, host.records, host.keys, host.values)),
        (draw_blocks, (base, part)),
    ):
        arrays = [np.zeros((room, 3), np.float32), np.zeros((room, 3), np.float32), np.zeros((room, 3), np.uint8)]
        arrays += [np.zeros(room, np.uint16), np.zeros(room, np.int16), np.zeros((room, 3), np.uint16)]
        ends = np.zeros((2, len(blocks)), np.int64)
        scale = (offset, VOXEL_M, 0.5) if draw is surface_kernels.mesh_blocks else (offset, 0.5)
        assert draw(blocks, 0, *volumes, *scale, *arrays, *ends) == len(blocks)
        drawn.append((arrays, ends))
    (expected, expected_ends), (found, found_ends) = drawn
    np.testing.assert_array_equal(found_ends, expected_ends)
    assert (np.diff(found_ends[1]) > 0).sum() + (found_ends[1, 0] > 0) > 1  # blocks with triangles
    v_start = t_start = 0
    for v_end, t_end in found_ends.T:
        order = np.argsort(expected[4][v_start:v_end])
        for ours, theirs in zip(found[:5], expected[:5], strict=True):
            np.testing.assert_allclose(ours[v_start:v_end], theirs[v_start:v_end][order], atol=1e-5)
        corners = [codes[v_start:v_end][t[t_start:t_end]] for *_, codes, t in (found, expected)]
        np.testing.assert_array_equal(corners[0], corners[1])
        v_start, t_start = v_end, t_end
    # With room for few vertices it stops in time and goes on from there.
    small = [array[: int(found_ends[0].max()) - 1] for array in found[:5]]
    ends = np.zeros((2, len(blocks)), np.int64)
    stopped = draw_blocks(blocks, 0, base, part, offset, 0.5, *small, found[5], *ends)
    assert 0 < stopped < len(blocks)


def test_views_equal_the_processor():
    base, part = CudaVolume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    offset = np.array([1, 0, -1], np.int64)
    integrate(base, labels=LABELS)
    integrate(part, 0.04, offset, labels=LABELS + np.uint16(2))
    T = np.eye(4)
    T[:3, 3] = (0.42, 0.4, 0.02)
    camera = Camera(16, 12, 12.0, 12.0, 7.5, 5.5)
    expected = views.splat_view(base, part, offset, camera, T)
    found = cuda_views.splat_view(base, part, offset, camera, T)
    assert (found.depth_m > 0).sum() > 100
    np.testing.assert_allclose(found.depth_m, expected.depth_m, atol=1e-5)
    # Where two voxels are equally near, either may be shown.
    same = np.isclose(found.normals, expected.normals, atol=1e-5).all(axis=2)
    assert same.mean() > 0.98
    np.testing.assert_array_equal(found.labels[same], expected.labels[same])
    np.testing.assert_array_equal(found.colors[same], expected.colors[same])
    assert len(np.unique(found.labels)) > 1
    # A base on the processor is brought to the device.
    host = Volume(VOXEL_M, TRUNCATION_M)
    host.merge(base, np.zeros(3, np.int64))
    expected = views.cast_view(base, part, offset, camera, T)
    found = cuda_casting.cast_view(host, part, offset, camera, T)
    assert (found.depth_m > 0).sum() > 80
    np.testing.assert_allclose(found.depth_m, expected.depth_m, atol=1e-4)
    np.testing.assert_allclose(found.normals, expected.normals, atol=1e-3)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.colors, expected.colors)

    points = np.array([[0.42, 0.4, 0.45], [0.3, 0.4, 0.5], [9.0, 9.0, 9.0], [0.5, 0.3, 0.5]])
    for ours, theirs in zip(
        cuda_views.look_up_labels(base, part, offset, points),
        views.look_up_labels(base, part, offset, points),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="nearest_m < farthest_m"):
        cuda_views.splat_view(base, part, offset, camera, T, nearest_m=2.0, farthest_m=1.0)


class Lost:
    """A kernel on a device that has failed."""

    def __getitem__(self, _):
        return self

    def __call__(self, *_):
        raise CudaAPIError(999, "CUDA_ERROR_UNKNOWN")


def test_a_failing_device_is_named_and_mapping_goes_on(monkeypatch):
    host, device = Volume(VOXEL_M, TRUNCATION_M), CudaVolume(VOXEL_M, TRUNCATION_M)
    for volume in (host, device):
        integrate(volume)
    assert device.take_warning() is None
    device.records  # noqa: B018 what has been read is kept

    monkeypatch.setattr(cuda_kernels, "integrate", Lost())
    for volume in (host, device):
        assert integrate(volume, 0.05)[0] > 0
    warning = device.take_warning()
    assert "the CUDA simulator" in warning
    assert "CUDA_ERROR_UNKNOWN" in warning
    assert "goes on with the processor" in warning
    assert device.take_warning() is None
    assert_equal(device, host)
    device.clear()
    integrate(device)
    assert device.block_count > 0


def test_a_camera_of_another_size_is_refused():
    device = CudaVolume(VOXEL_M, TRUNCATION_M)
    device.select(depth_image(), 0.3, 4.0, True)
    with pytest.raises(ValueError, match=r"768 pixels.*16 x 12"):
        device.integrate(COLOR, Camera(16, 12, 24.0, 24.0, 7.5, 5.5), np.eye(4), 4.0)


def test_a_mistake_in_a_program_is_no_failure_of_the_device():
    device = CudaVolume(VOXEL_M, TRUNCATION_M)
    device.select(depth_image(), 0.3, 4.0, True)
    with pytest.raises(ValueError, match="incompatible shape"):
        device.integrate(np.zeros((5, 5), np.uint8), CAMERA, np.eye(4), 4.0)
    assert device.take_warning() is None


def test_a_mapper_on_the_device_gives_the_same_map(monkeypatch):
    maps = []
    for device in ("cpu", "cuda"):
        mapper = Mapper(
            MappingConfiguration(
                voxel_size_m=VOXEL_M,
                truncation_voxels=2.0,
                fragment_keyframes=2,
                keyframe_distance_m=0.02,
                mesh_weight=0.5,
                drop_discontinuities=False,
                device=device,
            )
        )
        assert mapper.statistics()["device"] == device
        for i in range(3):
            T = np.eye(4)
            T[:3, 3] = (0.38 + 0.025 * i, 0.4, 0.0)
            update = mapper.add_frame(Frame(i, COLOR, np.nan_to_num(depth_image()), CAMERA, T), LABELS)
            assert update.rejected is None
            assert update.warning is None
        maps.append((mapper.mesh(), mapper.fragments()))
    (expected, fragments), (found, ours) = maps
    assert len(fragments) == len(ours) == 1
    order = [voxel.block_keys(f.block_coordinates).argsort() for f in (fragments[0], ours[0])]
    np.testing.assert_allclose(ours[0].tsdf[order[1]], fragments[0].tsdf[order[0]], atol=1e-5)
    assert len(found.triangles) == len(expected.triangles) > 30
    order = [np.lexsort(mesh.vertices.round(4).T) for mesh in (found, expected)]
    np.testing.assert_allclose(found.vertices[order[0]], expected.vertices[order[1]], atol=1e-4)
    # The mapper of the device outlives it.
    monkeypatch.setattr(cuda_kernels, "integrate", Lost())
    T[0, 3] += 0.01
    update = mapper.add_frame(Frame(3, COLOR, np.nan_to_num(depth_image()), CAMERA, T))
    assert update.rejected is None
    assert "goes on with the processor" in update.warning
    assert mapper.statistics()["device"] == "cpu"
    assert len(mapper.mesh().triangles) > 30
