"""SAM 2 (Ravi et al., SAM 2: Segment Anything in Images and Videos, 2024) as a segmenter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lira_ros.reasoning.segmentation.image_preprocessing import IMAGENET_MEAN, IMAGENET_STD, squash
from lira_ros.reasoning.segmentation.prompted import Features, PromptedSegmenter, resize_logits


class Sam2Segmenter(PromptedSegmenter):
    """Around a Sam2Model of transformers."""

    name = "sam2"

    @property
    def _side_px(self) -> int:
        return int(self._model.config.prompt_encoder_config.image_size)

    def _prepare(self, color: NDArray[np.uint8]) -> torch.Tensor:
        return squash(color, self._side_px, IMAGENET_MEAN, IMAGENET_STD)

    def _scale(self, height_px: int, width_px: int) -> tuple[float, float]:
        return self._side_px / width_px, self._side_px / height_px

    def _encode(self, pictures: torch.Tensor) -> Features:
        # As Sam2Model.get_image_embeddings, but with an encoder of another precision than the decoder.
        model = self._model
        levels = [level.float() for level in model.vision_encoder(pictures, return_dict=True).fpn_hidden_states]
        levels[0] = model.mask_decoder.conv_s0(levels[0])
        levels[1] = model.mask_decoder.conv_s1(levels[1])
        levels[-1] = levels[-1] + model.no_memory_embedding.reshape(1, -1, 1, 1)
        return tuple(levels)

    def _decode(
        self, features: list[torch.Tensor], prompts: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = self._model(image_embeddings=features, multimask_output=self._multimask, **prompts)
        return output.pred_masks[:, 0], output.iou_scores[:, 0]

    def _upsample(self, logits: torch.Tensor, height_px: int, width_px: int) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = (resize_logits(logits, (height_px, width_px)) > 0).cpu().numpy()
        return mask
