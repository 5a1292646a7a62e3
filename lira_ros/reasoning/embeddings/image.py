"""Embeddings from an image encoder (CLIP, Radford et al. 2021; SigLIP, Zhai et al. 2023) on crops of a region.

Each region is looked at twice, as Inst3D-LMM does on several expansion levels: with its surroundings, which say what
it is, and alone before a plain ground, which says which one it is. The two vectors are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.embeddings.contracts import RegionEncoder, unit_rows
from lira_ros.reasoning.models.pretrained import place

# How much of its surroundings a region is shown with, in shares of its size.
EXPANSION = 0.3
ENCODED_AT_ONCE = 32


class ImageRegionEncoder(RegionEncoder):
    """Around the vision half of a CLIP or SigLIP of transformers and its image processor. Not thread-safe."""

    def __init__(self, model: Any, image_processor: Any, compute: ComputeConfiguration, name: str) -> None:
        self.name = f"image {name}"
        self._device, self._dtype = place(model, compute, ("",))
        self._model = model.eval()
        self._processor = image_processor
        # Zero once the processor has normalised it.
        self._ground = np.round(255.0 * np.asarray(image_processor.image_mean)).astype(np.uint8)

    @torch.inference_mode()
    def encode(
        self,
        keyframe: Keyframe,
        masks: Sequence[NDArray[np.bool_]],
        labels: Sequence[str],
        colors: Sequence[str],
    ) -> NDArray[np.float32]:
        """Return (N, D) float32 vectors of unit length; an empty mask gives zeros."""
        crops = [crop for mask in masks for crop in region_views(keyframe.frame.color, mask, self._ground)]
        try:
            rows = [
                self._features(crops[start : start + ENCODED_AT_ONCE])
                for start in range(0, len(crops), ENCODED_AT_ONCE)
            ]
        except torch.OutOfMemoryError as error:
            raise ReasoningError(f"{self.name}: the memory of the {self._device} is not enough: {error}") from error
        if not rows:
            return np.zeros((0, 0), dtype=np.float32)
        views = unit_rows(np.concatenate(rows)).reshape(len(masks), 2, -1)
        vectors = unit_rows(views.mean(axis=1))
        vectors[[not mask.any() for mask in masks]] = 0.0
        return vectors

    def _features(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pixels = self._processor(list(crops), input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        output = self._model(pixels.to(self._device, self._dtype))
        features = getattr(output, "image_embeds", None)
        if features is None:
            features = output.pooler_output
        rows: NDArray[np.float32] = features.float().cpu().numpy()
        return rows


def region_views(
    color: NDArray[np.uint8], mask: NDArray[np.bool_], ground: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return two square crops around a mask: with its surroundings, and alone before a ground colour.

    They are square, for encoders crop or squash everything else; what lies outside of the picture is ground.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        nothing = np.broadcast_to(ground, (2, 2, 3)).copy()
        return nothing, nothing
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    center = np.array([rows[0] + rows[-1] + 1, columns[0] + columns[-1] + 1]) / 2
    whole = max(2, round(side * (1.0 + EXPANSION)))
    around = _square(color, center, whole, ground)
    alone = _square(np.where(mask[..., None], color, ground), center, max(2, int(side)), ground)
    return around, alone


def _square(
    color: NDArray[np.uint8], center: NDArray[np.float64], side: int, ground: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    square = np.broadcast_to(ground, (side, side, 3)).copy()
    top, left = (int(value) for value in np.floor(center - side / 2))
    first_row, first_column = max(0, top), max(0, left)
    part = color[first_row : top + side, first_column : left + side]
    rows = slice(first_row - top, first_row - top + part.shape[0])
    columns = slice(first_column - left, first_column - left + part.shape[1])
    square[rows, columns] = part
    return square
