"""The image of a keyframe as it goes over the wire."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.answers.contracts import BoxUnits

# Qwen2.5-VL sees patches of 14 px in groups of 2 x 2 and resizes what is not a multiple of that before it looks; its
# boxes are pixels of the resized image. An image that fits already keeps its pixels.
PIXEL_BLOCK_PX = 28
# Names of models whose boxes are pixels of the image as sent; the others of the common families use thousandths.
PIXEL_MODELS = ("qwen2.5-vl", "qwen2_5_vl", "qwen2_5-vl", "qwen2.5vl", "qwen25vl")


@dataclass(frozen=True)
class Picture:
    """A JPEG as data URI, and its size, in whose pixels a model may answer."""

    data_uri: str
    width_px: int
    height_px: int


def encode_picture(color: NDArray[np.uint8], units: BoxUnits, max_side_px: int, jpeg_quality: int) -> Picture:
    """Return a (H, W, 3) uint8 RGB image as JPEG, made smaller to a longest side, to whole blocks for pixel units."""
    height, width = color.shape[:2]
    scale = min(1.0, max_side_px / max(height, width))
    block = PIXEL_BLOCK_PX if units is BoxUnits.PIXELS else 1
    width_px, height_px = (_whole_blocks(scale * side, block, max_side_px) for side in (width, height))
    if (width_px, height_px) != (width, height):
        color = np.asarray(cv2.resize(color, (width_px, height_px), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    encoded = cv2.imencode(".jpg", color[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1]
    content = base64.b64encode(encoded.tobytes()).decode("ascii")
    return Picture(f"data:image/jpeg;base64,{content}", width_px, height_px)


def choose_units(configured: str, model: str) -> BoxUnits:
    """Return the units that are configured, for "auto" those of the model by its name."""
    if configured != "auto":
        return BoxUnits(configured)
    name = model.lower()
    return BoxUnits.PIXELS if any(known in name for known in PIXEL_MODELS) else BoxUnits.RELATIVE_1000


def _whole_blocks(side: float, block: int, max_side: int) -> int:
    """Return a side as the nearest number of whole blocks, at least one, within the longest side."""
    return max(1, min(round(side / block), max_side // block)) * block
