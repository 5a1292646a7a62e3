"""OWLv2 (Minderer et al., NeurIPS 2023) as a detector: each name has a vector, each patch of the picture a box."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.detector.detections import Detection, Detector, choose, corners
from lira_ros.reasoning.feature_cache import FeatureCache
from lira_ros.reasoning.models.pretrained import place

REMEMBERED_PHRASES = 256
# One of the sentences around a name with which the model was trained (CLIP's prompts).
TEMPLATE = "a photo of a {}"


class Owlv2Detector(Detector):
    """Around an Owlv2ForObjectDetection of transformers, its tokenizer and its image processor.

    Names are encoded once, and so are pictures within ``feature_cache_mib``. Weights stay in float32.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        compute: ComputeConfiguration,
        score_threshold: float,
        feature_cache_mib: int,
        name: str = "owlv2",
    ) -> None:
        self.name = name
        self.score_threshold = score_threshold
        self._device, self._dtype = place(model, compute, ())
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._processor = image_processor
        self._texts: OrderedDict[str, torch.Tensor] = OrderedDict()
        self.cache: FeatureCache[torch.Tensor] = FeatureCache(
            feature_cache_mib << 20, lambda part: part.numel() * part.element_size()
        )

    @torch.inference_mode()
    def detect(self, keyframes: Sequence[Keyframe], phrases: Sequence[str]) -> list[list[Detection]]:
        """Return what is found of each phrase in each keyframe, best first, all new keyframes in one batch."""
        if not keyframes or not phrases:
            return [[] for _ in keyframes]
        try:
            with self._mixed():
                queries = self._encoded(phrases)[None]
                maps = self.cache.of(keyframes, self._looked_at)
                found = []
                for keyframe, features in zip(keyframes, maps, strict=True):
                    patches = features.reshape(1, -1, features.shape[-1])
                    logits, _ = self._model.class_predictor(patches, queries)
                    boxes = self._model.box_predictor(patches, features[None])
                    found.append(self._choose(keyframe, phrases, boxes[0], logits[0]))
        except torch.OutOfMemoryError as error:
            self.cache.clear()
            raise ReasoningError(f"{self.name}: the memory of the {self._device} is not enough: {error}") from error
        return found

    def _choose(
        self, keyframe: Keyframe, phrases: Sequence[str], boxes: torch.Tensor, logits: torch.Tensor
    ) -> list[Detection]:
        width, height = keyframe.frame.camera.width_px, keyframe.frame.camera.height_px
        # The picture was padded to a square at its right or below.
        boxes_px = corners(boxes.float().cpu().numpy()) * max(width, height)
        scores = logits.float().sigmoid().cpu().numpy()
        return choose(boxes_px, scores, phrases, self.score_threshold, (width, height))

    def _looked_at(self, keyframes: Sequence[Keyframe]) -> Iterator[torch.Tensor]:
        if not keyframes:
            return
        pictures = [keyframe.frame.color for keyframe in keyframes]
        pixels = self._processor(pictures, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        maps, _ = self._model.image_embedder(pixels.to(self._device, torch.float32))
        for features in maps:
            yield features.clone()

    def _encoded(self, phrases: Sequence[str]) -> torch.Tensor:
        longest = int(self._model.config.text_config.max_position_embeddings)
        # One by one: in a batch the last digits of a phrase depend on its company, and so on what was asked before.
        for phrase in dict.fromkeys(phrases):
            if phrase in self._texts:
                continue
            tokens = self._tokenizer(
                [TEMPLATE.format(phrase)],
                padding="max_length",
                max_length=longest,
                truncation=True,
                return_tensors="pt",
            ).to(self._device)
            output = self._model.owlv2.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], return_dict=True
            )
            self._texts[phrase] = torch.nn.functional.normalize(output.pooler_output, dim=-1)[0]
        rows = torch.stack([self._texts[phrase] for phrase in phrases])
        while len(self._texts) > REMEMBERED_PHRASES:
            self._texts.popitem(last=False)
        return rows

    def _mixed(self) -> contextlib.AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, self._dtype)
