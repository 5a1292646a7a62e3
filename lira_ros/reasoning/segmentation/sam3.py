"""SAM 3 (Meta, Segment Anything with Concepts, 2025) as a segmenter: it finds all instances of a phrase by itself.

Boxes cannot be given to the model itself without torchvision (its pooling of regions), so they choose among the
instances that it found.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.feature_cache import FeatureCache
from lira_ros.reasoning.models.pretrained import place
from lira_ros.reasoning.segmentation.contracts import RegionMask, RegionPrompt, Segmenter
from lira_ros.reasoning.segmentation.depth import DepthSegmenter
from lira_ros.reasoning.segmentation.image_preprocessing import SAM3_MEAN, SAM3_STD, squash
from lira_ros.reasoning.segmentation.prompted import clipped, has_area, resize_logits

_LOGGER = logging.getLogger(__name__)

# What is asked for a region without a phrase.
ANY_THING = "object"
# An instance answers to a box from this intersection over union on: half is the usual bound of a detection (PASCAL
# VOC), and boxes of language models are loose.
LEAST_OVERLAP = 0.4
# The model has no name for what scores lower; much below its published bound of 0.3, for the box speaks for the thing.
LEAST_SCORE = 0.05
PHRASES_AT_ONCE = 4
REMEMBERED_PHRASES = 256

Features = tuple[torch.Tensor, ...]


class Sam3Segmenter(Segmenter):
    """Around a Sam3Model of transformers and its tokenizer.

    Features of keyframes are kept within ``feature_cache_mib``, phrases once encoded stay. A region that no instance of
    its phrase answers to is cut out by colour and depth. Not thread-safe.
    """

    name = "sam3"

    def __init__(self, model: Any, tokenizer: Any, compute: ComputeConfiguration, feature_cache_mib: int) -> None:
        self._device, self._dtype = place(model, compute, ("vision_encoder", "text_encoder"))
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._by_depth = DepthSegmenter()
        self._phrases: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self.cache: FeatureCache[Features] = FeatureCache(
            feature_cache_mib << 20, lambda features: sum(part.numel() * part.element_size() for part in features)
        )

    @torch.inference_mode()
    def segment(self, questions: Sequence[tuple[Keyframe, Sequence[RegionPrompt]]]) -> list[list[RegionMask]]:
        """Return the masks of every keyframe's regions in their order.

        Quality: the model's score of the instance. Raises ReasoningError when the memory of the device is not enough.
        """
        try:
            return [self._segment(keyframe, prompts) for keyframe, prompts in questions]
        except torch.OutOfMemoryError as error:
            self.cache.clear()
            raise ReasoningError(f"{self.name}: the memory of the {self._device} is not enough: {error}") from error

    def _segment(self, keyframe: Keyframe, prompts: Sequence[RegionPrompt]) -> list[RegionMask]:
        if not prompts:
            return []
        height, width = keyframe.frame.depth_m.shape
        found: dict[int, RegionMask] = {}
        phrases = list(dict.fromkeys(prompt.phrase or ANY_THING for prompt in prompts))
        vision = self.cache.of([keyframe], lambda new: [self._vision(item) for item in new])[0]
        for start in range(0, len(phrases), PHRASES_AT_ONCE):
            chunk = phrases[start : start + PHRASES_AT_ONCE]
            output = self._ask(vision, chunk)
            # As the published post-processing: the thing is there at all, and this is one.
            scores = output.pred_logits.float().sigmoid() * output.presence_logits.float().sigmoid()
            boxes = output.pred_boxes.float() * torch.tensor([width, height, width, height], device=self._device)
            for number, prompt in enumerate(prompts):
                phrase = prompt.phrase or ANY_THING
                if phrase not in chunk or not has_area(prompt, height, width):
                    continue
                row = chunk.index(phrase)
                wanted = torch.tensor(clipped(prompt, height, width), device=self._device)
                overlaps = box_overlap(boxes[row], wanted) * (scores[row] >= LEAST_SCORE)
                best = int(overlaps.argmax())
                if float(overlaps[best]) >= LEAST_OVERLAP:
                    mask: NDArray[np.bool_] = (
                        (resize_logits(output.pred_masks[row, best], (height, width)) > 0).cpu().numpy()
                    )
                    found[number] = RegionMask(mask, float(scores[row, best]))
        left = [number for number in range(len(prompts)) if number not in found]
        if left:
            _LOGGER.debug("SAM 3 found nothing for %d of %d regions", len(left), len(prompts))
            others = self._by_depth.segment([(keyframe, [prompts[number] for number in left])])[0]
            found.update(zip(left, others, strict=True))
        return [found[number] for number in range(len(prompts))]

    def _vision(self, keyframe: Keyframe) -> Features:
        side_px = int(self._model.config.image_size)
        picture = squash(keyframe.frame.color, side_px, SAM3_MEAN, SAM3_STD)[None]
        seen = self._model.get_vision_features(picture.to(self._device, self._dtype))
        return (*seen.fpn_hidden_states, *seen.fpn_position_encoding)

    def _ask(self, vision: Features, phrases: Sequence[str]) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        count, levels = len(phrases), len(vision) // 2
        spread = [part.float().expand(count, *part.shape[1:]) for part in vision]
        seen = Sam3VisionEncoderOutput(
            fpn_hidden_states=tuple(spread[:levels]), fpn_position_encoding=tuple(spread[levels:])
        )
        texts = [self._encoded(phrase) for phrase in phrases]
        return self._model(
            vision_embeds=seen,
            text_embeds=BaseModelOutputWithPooling(pooler_output=torch.cat([text for text, _ in texts]).float()),
            attention_mask=torch.cat([mask for _, mask in texts]),
        )

    def _encoded(self, phrase: str) -> tuple[torch.Tensor, torch.Tensor]:
        if phrase not in self._phrases:
            longest = int(self._model.config.text_config.max_position_embeddings)
            tokens = self._tokenizer(
                phrase, padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
            ).to(self._device)
            text = self._model.text_encoder(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], return_dict=True
            )
            projected = self._model.text_projection(text.last_hidden_state.float())
            self._phrases[phrase] = (projected, tokens["attention_mask"])
            while len(self._phrases) > REMEMBERED_PHRASES:
                self._phrases.popitem(last=False)
        return self._phrases[phrase]


def box_overlap(boxes: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """Return the (N,) intersection over union of (N, 4) boxes with one, all as left, top, right, bottom."""
    low, high = torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])
    both = (high - low).clamp(min=0.0).prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0.0).prod(dim=1)
    return both / (areas + (box[2:] - box[:2]).prod() - both).clamp(min=1e-6)
