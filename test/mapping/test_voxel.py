"""The arithmetic of one voxel and one measurement, called as plain Python, as a CUDA simulator does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.mapping import voxel

signed = st.floats(-0.25, 0.25)
F = np.float32


@settings(max_examples=100)
@given(signed, signed)
def test_weight_fades_behind_the_surface_and_never_in_front(a, b):
    def weight(signed_m, fading=True):
        return float(voxel.behind_weight.py_func(F(signed_m), F(0.08), F(0.02), fading))

    near, far = max(a, b), min(a, b)
    assert 0 <= weight(far) <= weight(near) <= 1
    assert weight(near) == 1 or near < -0.0199
    assert weight(far) == 0 or far > -0.0801
    assert weight(a, fading=False) == (1.0 if F(a) >= -F(0.08) else 0.0)
    if -0.079 < a < -0.021:
        assert weight(a) == pytest.approx((0.08 + a) / 0.06, abs=1e-5)


@settings(max_examples=100)
@given(st.floats(0.1, 10.0))
def test_measurements_from_far_weigh_less(depth_m):
    assert voxel.observation_weight.py_func(F(depth_m), True) == 1
    weight = voxel.observation_weight.py_func(F(depth_m), False)
    assert weight == pytest.approx(min(4.0, 4.0 / depth_m**2), rel=1e-5)


unit = st.floats(-1.0, 1.0)


@settings(max_examples=100)
@given(unit, unit, unit, unit, st.floats(0.5, 5.0))
def test_incidence_is_the_cosine_between_ray_and_normal(nx, ny, x, y, d):
    normal = np.array([nx, ny, -2.0]) / np.linalg.norm([nx, ny, -2.0])
    ray = np.array([x, y, 1.0])
    inverse = normal @ ray / -d
    if inverse < 0.05:
        return
    weight = voxel.incidence_weight.py_func(normal[0] / -d, normal[1] / -d, inverse, x, y)
    assert weight == pytest.approx(abs(normal @ ray) / np.linalg.norm(ray), abs=1e-6)


@settings(max_examples=200)
@given(st.floats(-8, 40), st.floats(-8, 30), st.floats(0.2, 5))
def test_pixels_are_those_that_contain_the_point(u, v, z):
    columns, rows = 32, 24
    near_border = min(abs(u - round(u)), abs(v - round(v))) < 1e-3
    fx, fy, cx, cy = F(30.0), F(31.0), F(15.5), F(11.5)
    x, y = F((u - cx) / fx * z), F((v - cy) / fy * z)
    for find, last in ((voxel.pixel_at.py_func, 0.0), (voxel.open3d_pixel_at.py_func, 1.0)):
        place = find(x, y, F(z), fx, fy, cx, cy, columns, rows, np.int32(-1))
        if near_border:
            continue
        inside = 0 <= u < columns - last and 0 <= v < rows - last
        assert place == (int(v) * columns + int(u) if inside else -1)
    assert voxel.pixel_at.py_func(x, y, F(-z), fx, fy, cx, cy, columns, rows, np.int32(-1)) == -1


def test_larger_and_smaller_are_max_and_min():
    for a, b in ((1.0, 2.0), (2.0, 1.0), (-1.0, -1.0)):
        assert voxel.larger.py_func(a, b) == max(a, b)
        assert voxel.smaller.py_func(a, b) == min(a, b)
