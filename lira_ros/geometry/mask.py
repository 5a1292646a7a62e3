"""Binary image masks: COCO run lengths, resizing, overlap, and the border that depth cannot be trusted at.

Run lengths are those of the COCO annotation format in its uncompressed form: the mask is read column by
column (column-major) and split into runs of equal value; the first run counts zeros.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


def encode(mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Encode a (H, W) bool mask as (R,) uint32 run lengths.

    The runs alternate zero, one, zero, ... and sum to H * W; the first is 0 when the first pixel is set; an
    empty image has no runs. Raises ValueError for anything but a two-dimensional bool array.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected a (H, W) bool array, got shape {mask.shape} {mask.dtype}")
    flat = mask.ravel(order="F")
    if flat.size == 0:
        return np.zeros(0, dtype=np.uint32)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    runs = np.diff(bounds)
    if flat[0]:
        runs = np.concatenate(([0], runs))
    return runs.astype(np.uint32)


def decode(counts: ArrayLike, height_px: int, width_px: int) -> NDArray[np.bool_]:
    """Decode run lengths to a (height_px, width_px) bool mask, the inverse of encode().

    Raises ValueError that names what was expected and what came when the size is negative, the runs are not
    whole numbers of at least 0, or their sum is not height_px * width_px.
    """
    if height_px < 0 or width_px < 0:
        raise ValueError(f"mask: size must not be negative, got {width_px} x {height_px}")
    runs = np.asarray(counts)
    if runs.ndim != 1 or (runs.size and runs.dtype.kind not in "iu"):
        raise ValueError(f"mask: run lengths must be a list of whole numbers, got shape {runs.shape} {runs.dtype}")
    if runs.size and runs.dtype.kind == "i" and int(runs.min()) < 0:
        raise ValueError(f"mask: run lengths must not be negative, got {int(runs.min())}")
    expected = height_px * width_px
    # Single runs are checked first: huge ones could overflow the sum and pass.
    if runs.size and int(runs.max()) > expected:
        raise ValueError(f"mask: a run of {int(runs.max())} pixels is longer than the image of {expected}")
    total = int(runs.sum(dtype=np.uint64)) if runs.size else 0
    if total != expected:
        raise ValueError(f"mask: run lengths sum to {total} pixels, expected {width_px} x {height_px} = {expected}")
    values = np.zeros(runs.size, dtype=np.bool_)
    values[1::2] = True
    flat = np.repeat(values, runs.astype(np.int64))
    return np.ascontiguousarray(flat.reshape((height_px, width_px), order="F"))


def resize(mask: NDArray[np.bool_], height_px: int, width_px: int) -> NDArray[np.bool_]:
    """Resize a (H, W) bool mask to another size of the same view, nearest pixel, pixel edges stay aligned.

    Raises ValueError when either size is not positive.
    """
    if min(height_px, width_px, *mask.shape) <= 0:
        raise ValueError(
            f"mask: cannot resize {mask.shape[1]} x {mask.shape[0]} to {width_px} x {height_px}; sizes must be positive"
        )
    rows = ((np.arange(height_px) + 0.5) * (mask.shape[0] / height_px)).astype(np.intp)
    columns = ((np.arange(width_px) + 0.5) * (mask.shape[1] / width_px)).astype(np.intp)
    return mask[np.ix_(rows, columns)]


def intersection_over_union(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the overlap of two (H, W) bool masks in [0, 1]; two empty masks give 0.

    Raises ValueError when the sizes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"mask: sizes differ, {a.shape[1]} x {a.shape[0]} and {b.shape[1]} x {b.shape[0]}")
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 0.0


def behind_discontinuities(depth_m: NDArray[np.float32], radius_px: int, relative_jump: float) -> NDArray[np.bool_]:
    """Mark the pixels of a (H, W) depth image [m] that lie on the far side of a nearby depth discontinuity.

    A pixel is marked when something within ``radius_px`` is nearer by more than ``relative_jump`` times its own
    depth. These are the pixels where masks bleed onto the background and where sensors mix foreground and
    background into points that exist nowhere; the near side stays, so that thin things keep their pixels.
    Pixels without depth are not marked. Use ``mask & ~behind_discontinuities(...)`` to erode a mask.
    """
    if radius_px < 0:
        raise ValueError(f"radius_px: must not be negative, got {radius_px}")
    far = np.where(depth_m > 0, depth_m, np.float32(np.finfo(np.float32).max))
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), dtype=np.uint8)
    nearest = cv2.erode(far, kernel, borderType=cv2.BORDER_REPLICATE)
    return (depth_m > 0) & (depth_m - nearest > np.float32(relative_jump) * depth_m)
