import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import (
    DepthUnitCheck,
    discontinuities,
    meters_from_float,
    meters_from_millimeters,
    noise_m,
    normals_camera,
)

CAMERA = Camera(80, 60, 60.0, 62.0, 39.0, 30.5)


def plane(camera, normal, offset):
    """Depth of normal . X = offset in the camera frame, 0 where the ray misses it or it is beyond 8 m."""
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    across = normal[0] * (u - camera.cx) / camera.fx + normal[1] * (v - camera.cy) / camera.fy + normal[2]
    with np.errstate(divide="ignore"):
        depth = offset / across
    return np.where((depth > 0.1) & (depth < 8.0), depth, 0.0).astype(np.float32)


def test_millimetres_and_both_marks_of_invalid_depth():
    depth = meters_from_millimeters(np.array([[0, 1, 1234, 65534, 65535]], np.uint16))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [[0, 0.001, 1.234, 65.534, 0]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_that_are_no_depth_become_zero(dtype):
    image = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 2.5]], dtype)
    depth = meters_from_float(image)
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, [[0, 0, 0, 0, 0, 2.5]])
    assert np.isnan(image[0, 0])  # the message's own buffer is left alone


def test_noise_grows_with_the_distance():
    assert noise_m.py_func(0.4) == pytest.approx(0.0012)
    assert noise_m.py_func(4.0) == pytest.approx(0.0258, abs=1e-4)


def test_both_sides_of_a_step_are_marked_and_nothing_else():
    depth = np.full((20, 30), 1.0, np.float32)
    depth[:, 12:] = 1.3
    depth[15:, :] = 0.8
    edge = discontinuities(depth)
    expected = np.zeros_like(edge)
    expected[:15, 11:13] = True
    expected[14:16, :] = True
    np.testing.assert_array_equal(edge, expected)


def test_steps_within_the_noise_are_no_edges():
    depth = np.full((20, 30), 3.0, np.float32)
    depth[:, 15:] += 0.05
    assert not discontinuities(depth).any()
    near = np.full((20, 30), 0.5, np.float32)
    near[:, 15:] += 0.05
    assert discontinuities(near).sum() == 40


def test_invalid_pixels_are_no_edges():
    depth = np.full((20, 30), 1.0, np.float32)
    depth[5:9, 5:9] = 0.0
    assert not discontinuities(depth).any()
    assert not discontinuities(np.zeros((20, 30), np.float32)).any()


@settings(deadline=None, max_examples=60)
@given(st.floats(-75, 75), st.floats(0, 360), st.floats(0.5, 3.0))
def test_slanted_planes_have_no_edges_and_exact_normals(slant_deg, turn_deg, offset):
    slant, turn = np.radians([slant_deg, turn_deg])
    normal = np.array([np.sin(slant) * np.cos(turn), np.sin(slant) * np.sin(turn), np.cos(slant)])
    depth = plane(CAMERA, normal, offset)
    # Where a steep plane leaves the picture far away, two pixels may stand alone: nothing tells a slope from a step.
    assert not discontinuities(depth)[depth < 5.0].any()
    normals = normals_camera(depth, CAMERA)
    found = (normals != 0).any(axis=2)
    assert found.sum() > 0.5 * (depth > 0).sum()
    assert not found[depth == 0].any()
    np.testing.assert_allclose(normals[found], np.broadcast_to(-normal, normals[found].shape), atol=2e-3)


def test_normals_keep_the_edge_between_wall_and_floor():
    wall = plane(CAMERA, np.array([0.0, 0.0, 1.0]), 2.0)
    floor = plane(CAMERA, np.array([0.0, 1.0, 0.0]), 0.5)
    depth = np.where((floor > 0) & (floor < wall), floor, wall)
    normals = normals_camera(depth, CAMERA)
    corner = int(np.argmax((floor > 0).any(axis=1) & (np.where(floor > 0, floor, 9).min(axis=1) < 2.0)))
    rows = np.arange(60)
    up, ahead = -normals[:, 20:60, 1], -normals[:, 20:60, 2]
    assert (up[(rows > corner + 3)] > 0.98).all()
    assert (ahead[(rows < corner - 3)] > 0.98).all()


def test_noise_turns_normals_little():
    rng = np.random.default_rng(0)
    camera = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)
    depth = plane(camera, np.array([0.3, -0.2, 0.93]), 1.4)
    valid = depth > 0
    depth[valid] += rng.normal(0, 1, valid.sum()).astype(np.float32) * 0.002
    normals = normals_camera(depth, camera)
    expected = -np.array([0.3, -0.2, 0.93]) / np.linalg.norm([0.3, -0.2, 0.93])
    angle = np.degrees(np.arccos(np.clip(normals[valid] @ expected, -1, 1)))
    assert np.median(angle) < 8.0


def test_other_sizes_than_the_camera_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(60, 80\), got \(6, 8\)"):
        normals_camera(np.ones((6, 8), np.float32), CAMERA)


def messages_about(frames):
    check = DepthUnitCheck()
    return [check.add(np.asarray(frame, np.float32)) for frame in frames]


def room_depth(size=(120, 160), farthest=4.0, seed=0):
    """A floor that runs to a wall, with holes."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0.6, farthest, size[0])[::-1, None]
    depth = np.broadcast_to(rows, size) + rng.normal(0, 0.002, size)
    depth[rng.random(size) < 0.1] = 0.0
    return depth.astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.3, 30.0), st.sampled_from([(24, 32), (480, 640), (7, 5)]), st.floats(0.0, 0.9))
def test_depth_that_is_1000_times_too_large_or_small_is_told(distance, size, missing):
    rng = np.random.default_rng(1)
    depth = distance * rng.uniform(0.7, 1.3, size)
    depth[rng.random(size) < missing] = 0.0
    if (depth > 0).sum() < 20:
        depth[:] = distance
    assert messages_about([depth] * 5) == [None] * 5
    if distance > 0.1:
        large = messages_about([1000 * depth] * 4)
        assert large[:2] == [None, None]
        assert all("wrong unit" in text and "millimetres" in text for text in large[2:])
    small = messages_about([depth / 1000] * 4)
    assert small[:2] == [None, None]
    assert all("wrong unit" in text and "16UC1 must hold millimetres" in text for text in small[2:])


def test_the_sentence_gives_the_figures():
    (*_, text) = messages_about([room_depth() * 1000] * 3)
    assert "0.7" in text
    assert "3.8" in text
    assert "32FC1 must hold metres" in text


@pytest.mark.parametrize(
    "frames",
    [
        [np.full((480, 640), 0.1)] * 9,  # a close-up
        [room_depth(farthest=60.0)] * 9,  # a corridor, a hall
        [np.zeros((480, 640))] * 9,  # a covered lens
        [np.where(np.arange(640) < 3, 3000.0, np.zeros((480, 640)))] * 9,  # wrong pixels and nothing else
        [room_depth(), room_depth() * 1000, room_depth()] * 3,  # broken frames in between
        [np.where(np.arange(160) < 140, 0.02, room_depth())] * 9,  # a hand on the lens
        [np.where(np.arange(160) < 140, 900.0, room_depth())] * 9,  # sky, by a stereo camera
    ],
    ids=["close-up", "corridor", "covered", "few pixels", "single frames", "hand", "sky"],
)
def test_what_is_unusual_but_right_is_no_wrong_unit(frames):
    assert messages_about(frames) == [None] * len(frames)


def test_the_alarm_ends_when_the_depth_is_right_again():
    messages = messages_about([room_depth() * 1000] * 3 + [room_depth()] * 2)
    assert messages[2] is not None
    assert messages[3:] == [None, None]
