"""What SAM and SAM 2 have in common: a picture is encoded once, then any number of boxes and points is answered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

# Pictures that are encoded at once, regions that are answered at once: SAM's large encoder needs about 1 GiB for a
# picture in float32, its decoder 16 MiB for a region.
ENCODED_AT_ONCE = 4
DECODED_AT_ONCE = 16
# The label by which the prompt encoders know a point that is none.
NO_POINT = -10

Features = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class _Region:
    """One prompt with the number of its keyframe and what the picture was encoded to."""

    question: int
    features: Features
    prompt: RegionPrompt
    height_px: int
    width_px: int


class PromptedSegmenter(Segmenter):
    """A segmenter of the SAM family, around a model of transformers.

    Features of keyframes are kept for further questions within ``feature_cache_mib``; upsampled masks are not. Only the
    vision encoder computes in the configured precision. Not thread-safe.
    """

    def __init__(
        self, model: Any, compute: ComputeConfiguration, feature_cache_mib: int, multimask: bool = False
    ) -> None:
        """Take a model over; multimask: of three masks the one with the best predicted quality, else the single one."""
        self._device, self._dtype = place(model, compute, ("vision_encoder",))
        self._model = model.eval()
        self._multimask = multimask
        self.cache: FeatureCache[Features] = FeatureCache(
            feature_cache_mib << 20, lambda features: sum(part.numel() * part.element_size() for part in features)
        )

    @torch.inference_mode()
    def segment(self, questions: Sequence[tuple[Keyframe, Sequence[RegionPrompt]]]) -> list[list[RegionMask]]:
        """Return the masks of every keyframe's regions in their order; keyframes and regions go in batches.

        A box without an area in the picture has an empty mask. Raises ReasoningError when the memory of the device is
        not enough.
        """
        try:
            return self._segment(questions)
        except torch.OutOfMemoryError as error:
            self.cache.clear()
            raise ReasoningError(f"{self.name}: the memory of the {self._device} is not enough: {error}") from error

    def _segment(self, questions: Sequence[tuple[Keyframe, Sequence[RegionPrompt]]]) -> list[list[RegionMask]]:
        asked = [number for number, (_, prompts) in enumerate(questions) if prompts]
        encoded = dict(zip(asked, self._features([questions[number][0] for number in asked]), strict=True))
        answers: list[list[RegionMask]] = [[] for _ in questions]
        regions: list[_Region] = []
        places: list[tuple[int, int]] = []
        for number in asked:
            keyframe, prompts = questions[number]
            height, width = keyframe.frame.depth_m.shape
            for place_, prompt in enumerate(prompts):
                answers[number].append(RegionMask(np.zeros((height, width), dtype=np.bool_), 0.0))
                if has_area(prompt, height, width):
                    regions.append(_Region(number, encoded[number], prompt, height, width))
                    places.append((number, place_))
        for start in range(0, len(regions), DECODED_AT_ONCE):
            chunk = slice(start, start + DECODED_AT_ONCE)
            for (number, place_), found in zip(places[chunk], self._answer(regions[chunk]), strict=True):
                answers[number][place_] = found
        return answers

    def _features(self, keyframes: Sequence[Keyframe]) -> list[Features]:
        return self.cache.of(keyframes, self._encoded)

    def _encoded(self, keyframes: Sequence[Keyframe]) -> Iterator[Features]:
        for start in range(0, len(keyframes), ENCODED_AT_ONCE):
            chunk = keyframes[start : start + ENCODED_AT_ONCE]
            pictures = torch.stack([self._prepare(keyframe.frame.color) for keyframe in chunk])
            parts = self._encode(pictures.to(self._device, self._dtype))
            for row in range(len(chunk)):
                # Cloned: a view would keep the features of the whole batch in memory.
                yield tuple(part[row].to(self._dtype).clone() for part in parts)

    def _answer(self, regions: Sequence[_Region]) -> list[RegionMask]:
        scales = torch.tensor([self._scale(region.height_px, region.width_px) for region in regions])
        boxes = torch.tensor([clipped(region.prompt, region.height_px, region.width_px) for region in regions])
        points = torch.tensor([region.prompt.point_px or (0.0, 0.0) for region in regions])
        labels = torch.tensor([NO_POINT if region.prompt.point_px is None else 1 for region in regions])
        prompts: dict[str, torch.Tensor] = {
            "input_boxes": (boxes * scales.repeat(1, 2))[:, None].to(self._device, torch.float32)
        }
        if (labels == 1).any():
            prompts["input_points"] = (points * scales)[:, None, None].to(self._device, torch.float32)
            prompts["input_labels"] = labels[:, None, None].to(self._device)
        features = [torch.stack(parts).float() for parts in zip(*(region.features for region in regions), strict=True)]
        logits, qualities = self._decode(features, prompts)
        best = qualities.argmax(dim=1)
        rows = torch.arange(len(regions), device=best.device)
        logits, qualities = logits[rows, best], qualities[rows, best].clamp(0.0, 1.0)
        return [
            RegionMask(self._upsample(mask, region.height_px, region.width_px), float(quality))
            for mask, quality, region in zip(logits, qualities, regions, strict=True)
        ]

    @abstractmethod
    def _prepare(self, color: NDArray[np.uint8]) -> torch.Tensor:
        """Return (3, side, side) float32 of a picture."""

    @abstractmethod
    def _scale(self, height_px: int, width_px: int) -> tuple[float, float]:
        """Return by what x and y of a picture are multiplied to be pixels of what the model sees."""

    @abstractmethod
    def _encode(self, pictures: torch.Tensor) -> Features:
        """Return the features of (B, 3, side, side) pictures, B in the first dimension of each."""

    @abstractmethod
    def _decode(
        self, features: list[torch.Tensor], prompts: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N, M, h, w) mask logits and (N, M) predicted qualities of N regions with M masks each."""

    @abstractmethod
    def _upsample(self, logits: torch.Tensor, height_px: int, width_px: int) -> NDArray[np.bool_]:
        """Return the mask in the pixels of a picture from (h, w) logits."""


def resize_logits(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (h, w) mask logits in float32, as the published models do."""
    return torch.nn.functional.interpolate(logits[None, None].float(), size, mode="bilinear", align_corners=False)[0, 0]


def clipped(prompt: RegionPrompt, height_px: int, width_px: int) -> tuple[float, float, float, float]:
    """Return the part of a box that lies in the picture."""
    left, top, right, bottom = prompt.box_px
    return (
        min(max(left, 0.0), float(width_px)),
        min(max(top, 0.0), float(height_px)),
        min(max(right, 0.0), float(width_px)),
        min(max(bottom, 0.0), float(height_px)),
    )


def has_area(prompt: RegionPrompt, height_px: int, width_px: int) -> bool:
    """Tell whether at least a pixel of a box lies in the picture."""
    if not np.isfinite(prompt.box_px).all():
        return False
    left, top, right, bottom = clipped(prompt, height_px, width_px)
    return right - left >= 1.0 and bottom - top >= 1.0
