"""SAM (Kirillov et al., Segment Anything, ICCV 2023) as a segmenter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lira_ros.reasoning.segmentation.image_preprocessing import pad, padded_size
from lira_ros.reasoning.segmentation.prompted import Features, PromptedSegmenter, resize_logits


class SamSegmenter(PromptedSegmenter):
    """Around a SamModel of transformers."""

    name = "sam"

    @property
    def _side_px(self) -> int:
        return int(self._model.config.vision_config.image_size)

    def _prepare(self, color: NDArray[np.uint8]) -> torch.Tensor:
        return pad(color, self._side_px)

    def _scale(self, height_px: int, width_px: int) -> tuple[float, float]:
        height, width = padded_size(height_px, width_px, self._side_px)
        return width / width_px, height / height_px

    def _encode(self, pictures: torch.Tensor) -> Features:
        return (self._model.get_image_embeddings(pictures),)

    def _decode(
        self, features: list[torch.Tensor], prompts: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = self._model(image_embeddings=features[0], multimask_output=self._multimask, **prompts)
        return output.pred_masks[:, 0], output.iou_scores[:, 0]

    def _upsample(self, logits: torch.Tensor, height_px: int, width_px: int) -> NDArray[np.bool_]:
        height, width = padded_size(height_px, width_px, self._side_px)
        whole = resize_logits(logits, (self._side_px, self._side_px))[:height, :width]
        mask: NDArray[np.bool_] = (resize_logits(whole, (height_px, width_px)) > 0).cpu().numpy()
        return mask
