"""Pictures as CLIP and SAM take them, and mask logits back at the size of the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

# pad: SAM sees the picture at its own aspect, the rest of the square is empty (LISA). squash: the picture is stretched
# to SAM's square before anything else, and CLIP sees that too (LIRA).
PAD, SQUASH = "pad", "squash"
PREPROCESSINGS = (PAD, SQUASH)

# Of segment_anything, in units of 0..255.
_SAM_MEAN = (123.675, 116.28, 103.53)
_SAM_DEVIATION = (58.395, 57.12, 57.375)


def prepare_image(image: NDArray[np.uint8], preprocessing: str, side_px: int) -> NDArray[np.uint8]:
    """Return the picture from which CLIP's and SAM's inputs are made: (H, W, 3) uint8 RGB, stretched where wanted."""
    if preprocessing == PAD or image.shape[:2] == (side_px, side_px):
        return image
    import cv2

    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def sam_pixels(image: NDArray[np.uint8], side_px: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """Return SAM's input and how much of it the picture fills.

    image: (H, W, 3) uint8 RGB. Result: (3, side, side) float32, normalised, zero to the right of and below the picture;
    height and width of the picture in it [px].
    """
    import torch
    from PIL import Image

    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    # A picture 500 times as wide as high would have no row left.
    size = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
    if size != (height, width):
        image = np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    mean, deviation = torch.tensor(_SAM_MEAN).view(3, 1, 1), torch.tensor(_SAM_DEVIATION).view(3, 1, 1)
    square = torch.zeros(3, side_px, side_px)
    square[:, : size[0], : size[1]] = (pixels - mean) / deviation
    return square, size


def logits_at_picture(
    low_res: torch.Tensor, side_px: int, filled: tuple[int, int], size: tuple[int, int]
) -> torch.Tensor:
    """Return (N, height, width) float32 mask logits of ``size`` from (N, h, w) logits of SAM's square.

    filled: height and width that the picture fills of the square of ``side_px`` [px].
    """
    import torch

    square = torch.nn.functional.interpolate(
        low_res.float().unsqueeze(1), (side_px, side_px), mode="bilinear", align_corners=False
    )
    cut = square[..., : filled[0], : filled[1]]
    return torch.nn.functional.interpolate(cut, size, mode="bilinear", align_corners=False)[:, 0]
