"""What a consumer RGB-D camera makes of an exact picture: noise, missing depth, millimetres.

Depth: axial noise sigma(z) = 1.2 mm + 1.9 mm (z - 0.4)^2 and lateral noise of about half a pixel (Nguyen, Izadi,
Lovell, "Modeling Kinect Sensor Noise for Improved 3D Reconstruction and Tracking", 3DIMPVT 2012), no answer
from surfaces seen at a grazing angle or out of range, whole millimetres (REP-118).
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

NEAREST_M, FARTHEST_M = 0.3, 5.0
AXIAL_NOISE_M = 0.0012
AXIAL_NOISE_PER_M = 0.0019
AXIAL_NEAREST_M = 0.4
LATERAL_NOISE_PX = 0.5
# Beyond 80 degrees the projected pattern is too stretched; nothing is measured at 85 (figure 5 of the paper).
GRAZING_COSINE = math.cos(math.radians(80.0))
BLIND_COSINE = math.cos(math.radians(85.0))
COLOR_NOISE = 1.6  # of 255, a small sensor in a lit room
VIGNETTING = 0.16  # loss of light in the corners of a cheap lens


@numba.njit(nogil=True, cache=True, inline="always")
def _bits(value: np.uint64) -> np.uint64:
    """Mix 64 bits (splitmix64; Steele, Lea, Flood 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, cache=True, inline="always")
def _normal(bits: np.uint64) -> float:
    """Return a nearly normal number of deviation 1: four uniform ones of 16 bits added."""
    mask = np.uint64(0xFFFF)
    total = (
        float(bits & mask)
        + float((bits >> np.uint64(16)) & mask)
        + float((bits >> np.uint64(32)) & mask)
        + float((bits >> np.uint64(48)) & mask)
    )
    return (total / 65535.0 - 2.0) * math.sqrt(3.0)


@numba.njit(nogil=True, cache=True)
def measure_depth(
    depth_m: NDArray[np.float32], facing: NDArray[np.float32], focal_px: float, key: int
) -> NDArray[np.float32]:
    """Return what the camera measures of an exact (H, W) depth [m]; the same key gives the same noise.

    facing: (H, W) cosine between ray and surface normal. 0 in the result means not measured.
    """
    height, width = depth_m.shape
    result = np.zeros((height, width), dtype=np.float32)
    # The sensor's own resolution stays the same when pictures are drawn smaller for a test.
    lateral = LATERAL_NOISE_PX * focal_px / 525.0
    for row in range(height):
        for column in range(width):
            bits = _bits(np.uint64(key) * np.uint64(1 << 24) + np.uint64(row * width + column))
            other = _bits(bits)
            shift_x = math.floor(lateral * _normal(bits) + 0.5)
            shift_y = math.floor(lateral * _normal(other) + 0.5)
            y, x = min(max(row + shift_y, 0), height - 1), min(max(column + shift_x, 0), width - 1)
            z = depth_m[y, x]
            # Within a surface the neighbour measures the same plane: only edges are jagged.
            if abs(z - depth_m[row, column]) < 0.02 * z:
                z = depth_m[row, column]
            if z < NEAREST_M or z > FARTHEST_M:
                continue
            cosine = facing[row, column]
            chance = float(_bits(other) >> np.uint64(40)) / float(1 << 24)
            if cosine < BLIND_COSINE + (GRAZING_COSINE - BLIND_COSINE) * chance:
                continue
            sigma = AXIAL_NOISE_M + AXIAL_NOISE_PER_M * (z - AXIAL_NEAREST_M) ** 2
            noisy = z + sigma * _normal(_bits(other + np.uint64(1)))
            result[row, column] = np.float32(math.floor(noisy * 1000.0 + 0.5)) * np.float32(0.001)
    return result


@numba.njit(nogil=True, cache=True)
def expose(color: NDArray[np.uint8], gain: float, key: int) -> NDArray[np.uint8]:
    """Return the (H, W, 3) picture as the camera delivers it: exposure, darker corners, noise."""
    height, width = color.shape[:2]
    result = np.empty_like(color)
    for row in range(height):
        y = (2.0 * row - height + 1) / height
        for column in range(width):
            x = (2.0 * column - width + 1) / width
            light = gain * (1.0 - VIGNETTING * 0.5 * (x * x + y * y))
            bits = _bits(np.uint64(key) * np.uint64(1 << 24) + np.uint64(row * width + column))
            common = _normal(bits)
            for channel in range(3):
                bits = _bits(bits)
                noise = COLOR_NOISE * (0.8 * common + 0.6 * _normal(bits))
                value = color[row, column, channel] * light + noise
                result[row, column, channel] = np.uint8(min(max(value + 0.5, 0.0), 255.0))
    return result
