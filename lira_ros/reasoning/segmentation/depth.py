"""Masks without a model: the surface inside a box, told from what lies around it by colour and depth.

The box is cut out with a margin, and what is inside is separated from what is outside by GrabCut (Rother et al.,
SIGGRAPH 2004), which alternates between models of both sides and a minimal cut. Its three channels are not the
colours but the two directions in which the colours of this cut-out differ most, and the depth about that of the thing:
a brown table before a brown floor is told by depth, a rug on the floor by colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.segmentation.contracts import RegionMask, RegionPrompt, Segmenter

# Where no source is named, the value was chosen with benchmark/depth_segmentation.py --tune, on homes of the train
# split and half of the real pictures.

# How much is seen of the surroundings, and how far beyond its box a thing may reach, in shares of the box.
MARGIN = 0.3
SLACK = 0.1
# A box of a few pixels still needs surroundings.
MARGIN_PX = 4
# Cut-outs are thinned out to about this many pixels, which bounds the time.
WORKING_PIXELS = 180 * 180
ITERATIONS = 3  # the models of both sides change little afterwards (Rother et al., figure 4)
# With fewer measured pixels in the box its depth says nothing of the thing.
LEAST_DEPTH_SHARE = 0.1
# Relative depth is squeezed by an arc tangent of this slope: differences within a thing count, those of far apart
# backgrounds do not.
DEPTH_SLOPE = 8.0
# Lightness changes with the light, colour does not.
LAB_WEIGHTS = np.array([0.7, 1.4, 1.4])
COLOR_SCALE = 1.6  # steps of the channel for one unit of weighted Lab
# A point says that this much around it, in shares of the box, is the thing.
POINT_RADIUS = 0.04
# Below this share of the box a cut has lost the thing.
LEAST_SHARE = 0.03
# Both sides need pixels for the five Gaussians of their models.
LEAST_PIXELS = 25


class DepthSegmenter(Segmenter):
    """Cuts the thing in a box out by colour and depth; needs neither a model nor a GPU.

    Without depth in the box the colours alone decide, and where they cannot the mask is the inside of the box. The
    quality is how well the mask fills its box (intersection over union of the box with that of the mask). The same
    question always has the same answer. Safe to share between threads.
    """

    name = "depth"

    def segment(self, questions: Sequence[tuple[Keyframe, Sequence[RegionPrompt]]]) -> list[list[RegionMask]]:
        """Return the masks of every keyframe's regions in their order; a box outside of the picture gives none."""
        return [[_segment(keyframe, prompt) for prompt in prompts] for keyframe, prompts in questions]


def _segment(keyframe: Keyframe, prompt: RegionPrompt) -> RegionMask:
    rows, columns = keyframe.frame.depth_m.shape
    mask = np.zeros((rows, columns), dtype=np.bool_)
    left, top, right, bottom = prompt.box_px
    if not all(math.isfinite(side) for side in prompt.box_px):
        return RegionMask(mask, 0.0)
    left, right = (min(max(side, 0.0), float(columns)) for side in (left, right))
    top, bottom = (min(max(side, 0.0), float(rows)) for side in (top, bottom))
    if right - left < 1.0 or bottom - top < 1.0:
        return RegionMask(mask, 0.0)
    box = np.array([left, top, right, bottom])
    margin_x, margin_y = MARGIN * (right - left) + MARGIN_PX, MARGIN * (bottom - top) + MARGIN_PX
    window = (
        slice(max(0, int(top - margin_y)), min(rows, int(bottom + margin_y) + 1)),
        slice(max(0, int(left - margin_x)), min(columns, int(right + margin_x) + 1)),
    )
    offset = np.array([window[1].start, window[0].start])
    point = None if prompt.point_px is None else np.asarray(prompt.point_px, dtype=np.float64) - offset
    cut = _cut(keyframe.frame.color[window], keyframe.frame.depth_m[window], box - np.tile(offset, 2), point)
    mask[window] = cut
    return RegionMask(mask, _fill(mask, box) if cut.any() else 0.0)


def _cut(
    color: NDArray[np.uint8],
    depth_m: NDArray[np.float32],
    box: NDArray[np.float64],
    point: NDArray[np.float64] | None,
) -> NDArray[np.bool_]:
    """Return the (H, W) bool mask of the thing in a box of a cut-out."""
    rows, columns = depth_m.shape
    scale = min(1.0, math.sqrt(WORKING_PIXELS / (rows * columns)))
    size = (max(8, round(columns * scale)), max(8, round(rows * scale)))
    small_color = np.asarray(cv2.resize(color, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    small_depth = np.asarray(cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST), dtype=np.float32)
    ratio = np.array([size[0] / columns, size[1] / rows])
    small_box = box * np.tile(ratio, 2)
    # 0 in the middle of the box, 1 at its sides.
    x = np.abs((np.arange(size[0]) + 0.5) - (small_box[0] + small_box[2]) / 2) / max(1.0, small_box[2] - small_box[0])
    y = np.abs((np.arange(size[1]) + 0.5) - (small_box[1] + small_box[3]) / 2) / max(1.0, small_box[3] - small_box[1])
    outwards = 2.0 * np.maximum(x[None, :], y[:, None])
    inside = outwards <= 1.0
    near = np.zeros_like(inside)
    if point is not None:
        radius = max(1.0, POINT_RADIUS * math.sqrt((small_box[2] - small_box[0]) * (small_box[3] - small_box[1])))
        away = (np.arange(size[0])[None, :] - point[0] * ratio[0]) ** 2
        away = away + (np.arange(size[1])[:, None] - point[1] * ratio[1]) ** 2
        near = inside & (away <= radius * radius)
    image = _channels(small_color, small_depth, inside, near)
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[outwards > 1.0 + 2.0 * SLACK] = cv2.GC_BGD
    labels[near] = cv2.GC_FGD
    if np.count_nonzero(inside) >= LEAST_PIXELS and np.count_nonzero(~inside) >= LEAST_PIXELS:
        # OpenCV starts its models from its own random numbers; the same question shall have the same answer.
        cv2.setRNGSeed(0)
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        whole = (0, 0, *size)  # not looked at in this mode
        cv2.grabCut(image, labels, whole, background, foreground, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = (labels & 1).astype(np.float32)  # GC_FGD and GC_PR_FGD are the odd labels
    if np.count_nonzero(found) < LEAST_SHARE * np.count_nonzero(inside):
        found = inside.astype(np.float32)
    if scale == 1.0 and size == (columns, rows):
        return found > 0.5
    return np.asarray(cv2.resize(found, (columns, rows), interpolation=cv2.INTER_LINEAR) > 0.5)


def _channels(
    color: NDArray[np.uint8], depth_m: NDArray[np.float32], inside: NDArray[np.bool_], near: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 picture that is cut: two directions of colour and the depth, or the colours alone."""
    measured = depth_m > 0
    if np.count_nonzero(measured & inside) < max(1.0, LEAST_DEPTH_SHARE * np.count_nonzero(inside)):
        return np.ascontiguousarray(color)
    lab = cv2.cvtColor(color.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    values = (lab * LAB_WEIGHTS).reshape(-1, 3)
    values -= values.mean(axis=0)
    directions = np.linalg.eigh(values.T @ values)[1][:, :0:-1]
    channels = np.empty(color.shape, dtype=np.float64)
    channels[..., :2] = COLOR_SCALE * (values @ directions).reshape(*depth_m.shape, 2)
    seed = measured & near if (measured & near).any() else measured & inside
    middle_m = float(np.median(depth_m[seed]))
    nearest = ndimage.distance_transform_edt(~measured, return_distances=False, return_indices=True)
    relative = (depth_m[tuple(nearest)] - middle_m) / middle_m
    channels[..., 2] = 2.0 / math.pi * np.arctan(DEPTH_SLOPE * relative) * 127.0
    return np.clip(channels + 128.0, 0, 255).astype(np.uint8)


def _fill(mask: NDArray[np.bool_], box: NDArray[np.float64]) -> float:
    """Return the intersection over union of a box with the box around a mask that is not empty."""
    at_rows, at_columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    own = (at_columns[0], at_rows[0], at_columns[-1] + 1, at_rows[-1] + 1)
    width = max(0.0, min(own[2], box[2]) - max(own[0], box[0]))
    height = max(0.0, min(own[3], box[3]) - max(own[1], box[1]))
    both = width * height
    either = (own[2] - own[0]) * (own[3] - own[1]) + (box[2] - box[0]) * (box[3] - box[1]) - both
    return float(both / either)
