"""Pictures as SAM, SAM 2 and SAM 3 take them, without torchvision.

The processors of transformers for SAM 2 and SAM 3 exist for torchvision only. What they do is one resizing of whole
numbers and one normalisation, which PyTorch alone does as well: the difference is below 1e-6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

# Mean and standard deviation of the colours in [0, 1]: those of ImageNet for SAM and SAM 2, 0.5 for SAM 3
# (preprocessor_config.json of the published models).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAM3_MEAN, SAM3_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def squash(
    color: NDArray[np.uint8],
    side_px: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Return a (H, W, 3) uint8 RGB picture as (3, side, side) float32, its aspect not kept."""
    picture = torch.from_numpy(np.ascontiguousarray(color)).permute(2, 0, 1)[None]
    # On whole numbers, as the published models were run: rounding first and resizing then differs by 0.02.
    resized = torch.nn.functional.interpolate(picture, (side_px, side_px), mode="bilinear", antialias=True)
    return _normalized(resized[0].to(device), mean, std)


def pad(color: NDArray[np.uint8], side_px: int) -> torch.Tensor:
    """Return a (H, W, 3) uint8 RGB picture as (3, side, side) float32 for SAM: its longer side fills, below is 0."""
    from PIL import Image

    height, width = padded_size(color.shape[0], color.shape[1], side_px)
    resized = np.asarray(Image.fromarray(color).resize((width, height), Image.Resampling.BILINEAR))
    picture = torch.zeros((3, side_px, side_px))
    picture[:, :height, :width] = _normalized(
        torch.from_numpy(resized.copy()).permute(2, 0, 1), IMAGENET_MEAN, IMAGENET_STD
    )
    return picture


def padded_size(height_px: int, width_px: int, side_px: int) -> tuple[int, int]:
    """Return height and width that a picture takes of a square which its longer side fills."""
    scale = side_px / max(height_px, width_px)
    # A picture 2000 times as wide as high would have no row left.
    return max(1, int(height_px * scale + 0.5)), max(1, int(width_px * scale + 0.5))


def _normalized(picture: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    center = torch.tensor(mean, device=picture.device).view(3, 1, 1)
    spread = torch.tensor(std, device=picture.device).view(3, 1, 1)
    return (picture.float() / 255.0 - center) / spread
