"""Grounding DINO (Liu et al., ECCV 2024) as a detector: names in one text, boxes with a score for every token of it."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.detector.detections import Detection, Detector, choose, corners
from lira_ros.reasoning.feature_cache import FeatureCache
from lira_ros.reasoning.models.pretrained import place

REMEMBERED_TEXTS = 32


class GroundingDinoDetector(Detector):
    """Around a GroundingDinoForObjectDetection of transformers, its tokenizer and its image processor.

    The text of an instruction is read once, whatever the number of keyframes, and a picture is encoded once, whatever
    the number of names and, within ``feature_cache_mib``, of instructions. Weights stay in float32.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        compute: ComputeConfiguration,
        score_threshold: float,
        feature_cache_mib: int,
        name: str = "grounding-dino",
    ) -> None:
        self.name = name
        self.score_threshold = score_threshold
        self._device, self._dtype = place(model, compute, ())
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._processor = image_processor
        self.text_reads = _RememberedText(self._model.model.text_backbone)
        self._model.model.text_backbone = self.text_reads
        self.cache: FeatureCache[_Picture] = FeatureCache(feature_cache_mib << 20, lambda picture: picture.size_bytes)
        self._pictures = _RememberedPictures(self._model.model.backbone.conv_encoder, self.cache)
        self._model.model.backbone.conv_encoder = self._pictures

    @torch.inference_mode()
    def detect(self, keyframes: Sequence[Keyframe], phrases: Sequence[str]) -> list[list[Detection]]:
        """Return what is found of each phrase in each keyframe, best first, all keyframes in one batch."""
        if not keyframes or not phrases:
            return [[] for _ in keyframes]
        with self._pictures.of(keyframes):
            return self._detect(keyframes, phrases)

    def _detect(self, keyframes: Sequence[Keyframe], phrases: Sequence[str]) -> list[list[Detection]]:
        groups = self._texts(phrases)
        colors = [keyframe.frame.color for keyframe in keyframes]
        try:
            pictures = self._processor(colors, input_data_format="channels_last", return_tensors="pt").to(self._device)
        except ValueError as error:
            sizes = ", ".join(f"{color.shape[1]} x {color.shape[0]}" for color in colors)
            raise ReasoningError(f"{self.name}: cannot take pictures of {sizes} px: {error}") from error
        scores: list[list[np.ndarray[Any, Any]]] = [[] for _ in keyframes]
        boxes: list[list[np.ndarray[Any, Any]]] = [[] for _ in keyframes]
        for first, ids, spans in groups:
            text = torch.tensor([ids], device=self._device).expand(len(keyframes), -1)
            try:
                with self._mixed():
                    output = self._model(
                        pixel_values=pictures["pixel_values"],
                        pixel_mask=pictures["pixel_mask"],
                        input_ids=text,
                        attention_mask=torch.ones_like(text),
                        token_type_ids=torch.zeros_like(text),
                    )
            except torch.OutOfMemoryError as error:
                self.cache.clear()
                raise ReasoningError(f"{self.name}: the memory of the {self._device} is not enough: {error}") from error
            tokens = output.logits.float().sigmoid().cpu().numpy()
            for number, keyframe in enumerate(keyframes):
                height, width = keyframe.frame.depth_m.shape
                found = np.zeros((tokens.shape[1], len(phrases)))
                for offset, (start, stop) in enumerate(spans):
                    found[:, first + offset] = tokens[number, :, start:stop].max(axis=1)
                scores[number].append(found)
                boxes[number].append(
                    corners(output.pred_boxes[number].float().cpu().numpy()) * np.array([width, height, width, height])
                )
        return [
            choose(
                np.concatenate(boxes[number]),
                np.concatenate(scores[number]),
                phrases,
                self.score_threshold,
                (keyframe.frame.camera.width_px, keyframe.frame.camera.height_px),
            )
            for number, keyframe in enumerate(keyframes)
        ]

    def _texts(self, phrases: Sequence[str]) -> list[tuple[int, list[int], list[tuple[int, int]]]]:
        """Return the phrases as texts that the model can take: number of the first phrase, ids, place of each phrase.

        The form is that of the training: names in lower case, each closed by a full stop.
        """
        limit = int(self._model.config.max_text_len) - 1
        start_id, end_id = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        stop_id = self._tokenizer.convert_tokens_to_ids(".")
        texts: list[tuple[int, list[int], list[tuple[int, int]]]] = []
        for number, phrase in enumerate(phrases):
            words = self._tokenizer(phrase.lower().replace(".", " "), add_special_tokens=False)["input_ids"]
            words = words[: limit - 2] or [self._tokenizer.unk_token_id]
            if not texts or len(texts[-1][1]) + len(words) + 2 > limit:
                texts.append((number, [start_id], []))
            _, ids, spans = texts[-1]
            spans.append((len(ids), len(ids) + len(words)))
            ids += [*words, stop_id]
        return [(first, [*ids, end_id], spans) for first, ids, spans in texts]

    def _mixed(self) -> contextlib.AbstractContextManager[Any]:
        if self._dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, self._dtype)


class _RememberedText(torch.nn.Module):
    """A text encoder that reads each text once. All rows of a batch are the same text."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.count = 0
        self._known: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        position_ids: torch.Tensor,
        return_dict: bool = True,
    ) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        key = input_ids[0].cpu().numpy().tobytes()
        if key not in self._known:
            self.count += 1
            output = self.encoder(
                input_ids[:1], attention_mask[:1], token_type_ids[:1], position_ids[:1], return_dict=True
            )
            self._known[key] = output.last_hidden_state
            while len(self._known) > REMEMBERED_TEXTS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        known = self._known[key]
        return BaseModelOutput(last_hidden_state=known.expand(len(input_ids), *known.shape[1:]))


class _Picture(NamedTuple):
    """What the picture encoder makes of a picture that was padded to a size: feature map and mask of each level."""

    padded_px: torch.Size
    levels: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def size_bytes(self) -> int:
        return sum(part.numel() * part.element_size() for level in self.levels for part in level)


class _RememberedPictures(torch.nn.Module):
    """A picture encoder that encodes each keyframe once within the budget of a cache, and once for a call in any case.

    What other pictures of a batch pad it to changes the features of a picture, so it is known for one size.
    """

    def __init__(self, encoder: torch.nn.Module, cache: FeatureCache[_Picture]) -> None:
        super().__init__()
        self.encoder = encoder
        self._cache = cache
        self._keyframes: Sequence[Keyframe] = ()
        self._answer: list[tuple[torch.Tensor, torch.Tensor]] = []

    @contextlib.contextmanager
    def of(self, keyframes: Sequence[Keyframe]) -> Iterator[None]:
        """Say whose pictures are encoded meanwhile, in the order of the batch."""
        self._keyframes = keyframes
        try:
            yield
        finally:
            self._keyframes, self._answer = (), []

    def forward(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        if not self._answer:
            pictures = self._encode(pixel_values, pixel_mask)
            levels = zip(*(picture.levels for picture in pictures), strict=True)
            self._answer = [
                (torch.stack([features for features, _ in level]), torch.stack([mask for _, mask in level]))
                for level in levels
            ]
        return list(self._answer)

    def _encode(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor) -> list[_Picture]:
        size = pixel_values.shape[-2:]
        kept = [self._cache.get(keyframe) for keyframe in self._keyframes]
        pictures = {
            number: picture for number, picture in enumerate(kept) if picture is not None and picture.padded_px == size
        }
        missing = [number for number in range(len(kept)) if number not in pictures]
        if missing:
            levels = self.encoder(pixel_values[missing], pixel_mask[missing])
            for row, number in enumerate(missing):
                # Cloned: a view would keep the features of the whole batch in memory.
                parts = tuple((features[row].clone(), mask[row].clone()) for features, mask in levels)
                pictures[number] = _Picture(size, parts)
                self._cache.put(self._keyframes[number], pictures[number])
        return [pictures[number] for number in range(len(kept))]
