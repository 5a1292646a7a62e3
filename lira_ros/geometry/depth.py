"""Depth images: units, invalid values, discontinuities and normals.

Depth is float32 in metres along the optical axis; 0 means that nothing was measured.

All rules here work on inverse depth. A plane has an inverse depth that is linear in the pixel coordinates, so a
slanted floor is told from an occlusion edge by extrapolation, whatever the resolution and the slope.
"""

from __future__ import annotations

import math
from collections import deque

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera

# REP-118: 16UC1 depth is in millimetres. 0 is "no measurement" there; the Kinect driver of libfreenect writes
# the largest value instead.
MILLIMETRES_TO_METRES = np.float32(0.001)
INVALID_MILLIMETRES = 65535

# Axial noise of a structured-light depth camera, sigma(z) = 1.2 mm + 1.9 mm (z - 0.4 m)^2 with z in metres
# (Nguyen, Izadi, Lovell: Modeling Kinect Sensor Noise, 3DIMPVT 2012).
NOISE_FLOOR_M = 0.0012
NOISE_SLOPE_PER_M = 0.0019
NOISE_NEAREST_M = 0.4

# A jump of 2 % of the depth between neighbouring pixels is an edge (PCL, OrganizedEdgeBase: 0.02), beyond three
# standard deviations of the noise.
DISCONTINUITY_RATIO = 0.02
NOISE_DEVIATIONS = 3.0

# Normals: a plane is fitted to 5 x 5 samples, 2 pixels apart at 480 rows, about the 9 x 9 window of PCL's
# integral image normals (normal smoothing size 10).
NORMAL_SAMPLES = 2
NORMAL_REFERENCE_ROWS = 480
NORMAL_REFERENCE_STEP_PX = 2
# Surfaces are followed up to 80 degrees from facing the camera, however coarse the pixels are.
GRAZING_SLOPE = math.tan(math.radians(80.0))
# A fit from fewer samples than twice its three unknowns says more about noise than about the surface.
NORMAL_MINIMUM_SAMPLES = 6

# Depth in the wrong unit is 1000 times too large or too small. No depth camera measures less than about 5 cm (Intel
# RealSense D405: 7 cm), and in no picture of use are 95 of 100 pixels beyond 50 m. Between these bounds everything can
# be right: a close-up and a long corridor. A room of 0.3 to 30 m lies outside of them when its unit is wrong.
NEAREST_PLAUSIBLE_M = 0.05
FARTHEST_PLAUSIBLE_M = 50.0
UNIT_FRAMES = 3
# A picture counts when at least this share of its pixels has a depth: the rest is a covered lens.
UNIT_LEAST_VALID = 0.02
_UNIT_STRIDE_PX = 12


def meters_from_millimeters(image: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Convert a (H, W) uint16 image in millimetres (16UC1) to float32 metres; 0 and 65535 become 0."""
    depth_m = image.astype(np.float32) * MILLIMETRES_TO_METRES
    depth_m[image == INVALID_MILLIMETRES] = 0.0
    return depth_m


def meters_from_float(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """Copy a (H, W) float image in metres (32FC1) to float32; NaN, infinite and negative values become 0."""
    depth_m = image.astype(np.float32)
    depth_m[~(np.isfinite(depth_m) & (depth_m > 0))] = 0.0
    return depth_m


@numba.njit(inline="always")
def noise_m(z: float) -> float:
    """Return the standard deviation of a depth measurement at z [m] (Nguyen et al. 2012), both in metres."""
    beyond = z - NOISE_NEAREST_M
    return NOISE_FLOOR_M + NOISE_SLOPE_PER_M * beyond * beyond


@numba.njit(inline="always")
def _is_step(before: float, first: float, second: float, after: float) -> bool:
    # Four neighbours in a line, depths [m], 0 where invalid or outside; `first` and `second` are valid and differ.
    z = max(first, second)
    limit = (DISCONTINUITY_RATIO + NOISE_DEVIATIONS * noise_m(z) / z) / min(first, second)
    w_first = 1.0 / first
    w_second = 1.0 / second
    if abs(w_first - w_second) <= limit:
        return False
    if before > 0.0 and abs(2.0 * w_first - 1.0 / before - w_second) <= limit:
        return False
    return not (after > 0.0 and abs(2.0 * w_second - 1.0 / after - w_first) <= limit)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _discontinuities(depth_m: NDArray[np.float32], edge: NDArray[np.bool_]) -> None:
    rows, columns = depth_m.shape
    nothing = np.float32(0.0)
    # Depths a and b can only be torn apart when |a - b| > ratio max(a, b), that is min < (1 - ratio) max.
    keep = np.float32(1.0 - DISCONTINUITY_RATIO)
    suspicious = np.zeros((columns + 7) // 8 * 8, np.uint8)
    groups = suspicious.view(np.uint64)
    for v in range(rows):
        # Almost no pixel passes this test, and it runs in vector instructions.
        here, below = depth_m[v], depth_m[min(v + 1, rows - 1)]
        for u in range(columns - 1):
            a, b, c = here[u], here[u + 1], below[u]
            # Not min() and max(): they tell NaN apart, which takes three times as long.
            low, high = (a if a < b else b), (a if a > b else b)
            beside = (low < keep * high) & (low > nothing)
            low, high = (a if a < c else c), (a if a > c else c)
            under = (low < keep * high) & (low > nothing)
            suspicious[u] = beside | under
        suspicious[columns - 1] = 1
        for group in range(groups.shape[0]):
            if groups[group] == 0:
                continue
            for u in range(8 * group, min(8 * group + 8, columns)):
                if suspicious[u] == 0:
                    continue
                a = here[u]
                if a == nothing:
                    continue
                if u + 1 < columns:
                    b = here[u + 1]
                    if b > nothing and min(a, b) < keep * max(a, b):
                        before = here[u - 1] if u > 0 else nothing
                        after = here[u + 2] if u + 2 < columns else nothing
                        if _is_step(before, a, b, after):
                            edge[v, u] = True
                            edge[v, u + 1] = True
                if v + 1 < rows:
                    c = below[u]
                    if c > nothing and min(a, c) < keep * max(a, c):
                        before = depth_m[v - 1, u] if v > 0 else nothing
                        after = depth_m[v + 2, u] if v + 2 < rows else nothing
                        if _is_step(before, a, c, after):
                            edge[v, u] = True
                            edge[v + 1, u] = True


def discontinuities(depth_m: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the pixels on both sides of a depth discontinuity in a (H, W) float32 depth image [m].

    Returns (H, W) bool. Neighbours are torn apart when their depths differ by more than 2 % and the noise of the
    sensor, and neither lies on the plane through its own two nearest pixels. Invalid pixels are never marked.
    """
    edge = np.zeros(depth_m.shape, dtype=np.bool_)
    _discontinuities(np.ascontiguousarray(depth_m, dtype=np.float32), edge)
    return edge


@numba.njit(inline="always")
def _fit_plane(
    inverse: NDArray[np.float32],
    v0: int,
    u0: int,
    step: int,
    slope_u: float,
    slope_v: float,
    centre: float,
    limit_flat: float,
    limit_per_step: float,
) -> tuple[int, float, float, float]:
    # Least squares of w = A du + B dv + C over the samples within the limit of the given plane, in units of `step`.
    rows, columns = inverse.shape
    n = 0
    su = sv = sw = suu = suv = svv = suw = svw = 0.0
    for j in range(-NORMAL_SAMPLES, NORMAL_SAMPLES + 1):
        v = v0 + j * step
        if v < 0 or v >= rows:
            continue
        for i in range(-NORMAL_SAMPLES, NORMAL_SAMPLES + 1):
            u = u0 + i * step
            if u < 0 or u >= columns:
                continue
            w = inverse[v, u]
            if w == 0.0:
                continue
            residual = abs(w - (centre + slope_u * i + slope_v * j))
            if residual > limit_flat + limit_per_step * max(abs(i), abs(j)):
                continue
            n += 1
            su += i
            sv += j
            sw += w
            suu += i * i
            suv += i * j
            svv += j * j
            suw += i * w
            svw += j * w
    if n < NORMAL_MINIMUM_SAMPLES:
        return 0, 0.0, 0.0, 0.0
    uu = suu - su * su / n
    uv = suv - su * sv / n
    vv = svv - sv * sv / n
    uw = suw - su * sw / n
    vw = svw - sv * sw / n
    determinant = uu * vv - uv * uv
    if determinant <= 1e-6 * uu * vv or uu == 0.0 or vv == 0.0:  # all samples in one line
        return 0, 0.0, 0.0, 0.0
    a = (uw * vv - vw * uv) / determinant
    b = (vw * uu - uw * uv) / determinant
    return n, a, b, (sw - a * su - b * sv) / n


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _normals(
    inverse: NDArray[np.float32],
    step: int,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    normals: NDArray[np.float32],
) -> None:
    rows, columns = inverse.shape
    ratio = max(DISCONTINUITY_RATIO, GRAZING_SLOPE / min(fx, fy)) * step
    for v in range(rows):
        for u in range(columns):
            w = float(inverse[v, u])
            if w == 0.0:
                continue
            z = 1.0 / w
            noise = NOISE_DEVIATIONS * noise_m(z) / z * w
            # First pass: what a grazing surface or an edge's jump allows. Second pass: what lies on the plane found.
            n, a, b, c = _fit_plane(inverse, v, u, step, 0.0, 0.0, w, noise, ratio * w)
            if n == 0:
                continue
            tight = max(noise, 0.25 * DISCONTINUITY_RATIO * w)
            m, a2, b2, c2 = _fit_plane(inverse, v, u, step, a, b, c, tight, 0.0)
            if m > 0:
                a, b, c = a2, b2, c2
            # With x = (u - cx) / fx, y = (v - cy) / fy a plane n X = d has 1 / z = (n_x x + n_y y + n_z) / d.
            nx = a / step * fx
            ny = b / step * fy
            nz = c - nx * (u - cx) / fx - ny * (v - cy) / fy
            length = math.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 0.0:
                # (n_x, n_y, n_z) / d has a positive product with the point: it points away from the camera.
                normals[v, u, 0] = -nx / length
                normals[v, u, 1] = -ny / length
                normals[v, u, 2] = -nz / length


def normals_camera(depth_m: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Estimate surface normals of a (H, W) float32 depth image [m].

    Returns (H, W, 3) float32 unit vectors in the camera frame that point towards the camera; 0, 0, 0 where the
    depth is invalid or too few neighbours lie on one surface. A plane is fitted to the inverse depth in a window of
    about 9 pixels at 480 rows, robustly, so that edges are kept.
    """
    if depth_m.shape != (camera.height_px, camera.width_px):
        raise ValueError(f"depth: expected shape {(camera.height_px, camera.width_px)}, got {depth_m.shape}")
    normals = np.zeros((*depth_m.shape, 3), dtype=np.float32)
    inverse = np.divide(np.float32(1.0), depth_m, out=np.zeros(depth_m.shape, dtype=np.float32), where=depth_m > 0)
    step = max(1, round(NORMAL_REFERENCE_STEP_PX * camera.height_px / NORMAL_REFERENCE_ROWS))
    fx, fy, cx, cy = float(camera.fx), float(camera.fy), float(camera.cx), float(camera.cy)
    _normals(inverse, step, fx, fy, cx, cy, normals)
    return normals


class DepthUnitCheck:
    """Tell from the last frames of one camera whether its depth is in the wrong unit, by a factor of 1000.

    Decides by the nearest and the farthest twentieth of the pixels of three frames in a row, so single wrong pixels,
    a hand before the lens or one broken frame make no difference.
    """

    def __init__(self) -> None:
        """Start without any frame."""
        self._ranges_m: deque[tuple[float, float]] = deque(maxlen=UNIT_FRAMES)

    def add(self, depth_m: NDArray[np.float32]) -> str | None:
        """Look at a (H, W) float32 depth image [m], 0 = invalid; return what is wrong as a sentence, or None.

        The sentence comes with every frame for which it holds, and stops when the depth is right again.
        """
        sample = depth_m[_UNIT_STRIDE_PX // 2 % len(depth_m) :: _UNIT_STRIDE_PX, ::_UNIT_STRIDE_PX]
        if sample.size < 100:
            sample = depth_m
        valid = sample[sample > 0]
        if len(valid) >= max(1, UNIT_LEAST_VALID * sample.size):
            rank = (len(valid) - 1) // 20
            ordered = np.partition(valid, (rank, len(valid) - 1 - rank))
            self._ranges_m.append((float(ordered[rank]), float(ordered[len(valid) - 1 - rank])))
        if len(self._ranges_m) < UNIT_FRAMES:
            return None
        nearest, farthest = (sorted(values)[UNIT_FRAMES // 2] for values in zip(*self._ranges_m, strict=True))
        if min(near for near, _ in self._ranges_m) > FARTHEST_PLAUSIBLE_M:
            return (
                f"depth is in the wrong unit: most of it lies {nearest:.4g} to {farthest:.4g} m away, which is "
                f"{nearest / 1000:.3g} to {farthest / 1000:.3g} m if it is meant in millimetres; 32FC1 must hold "
                "metres (REP-118)"
            )
        if max(far for _, far in self._ranges_m) < NEAREST_PLAUSIBLE_M:
            return (
                f"depth is in the wrong unit: most of it lies {1000 * nearest:.4g} to {1000 * farthest:.4g} mm away, "
                f"which is {1000 * nearest:.3g} to {1000 * farthest:.3g} m if it was divided by 1000 once too often; "
                "16UC1 must hold millimetres, 32FC1 metres (REP-118)"
            )
        return None
