"""What makes masks: the question, the answer and the Segmenter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe


@dataclass(frozen=True)
class RegionPrompt:
    """Where a mask is wanted, in pixels of the keyframe's colour image.

    box_px: left, top, right, bottom; pixel columns left <= x < right. point_px: x, y of a point on the thing, None =
    not known. phrase: what the thing is called, for segmenters that read; "" = not known.
    """

    box_px: tuple[float, float, float, float]
    point_px: tuple[float, float] | None = None
    phrase: str = ""


@dataclass(frozen=True)
class RegionMask:
    """A (H, W) bool mask in the pixels of the keyframe, possibly empty, and how good the segmenter takes it for."""

    mask: NDArray[np.bool_]
    quality: float


class Segmenter(ABC):
    """Makes a mask of every region. Not thread-safe unless it says so."""

    name: str = ""

    @abstractmethod
    def segment(self, questions: Sequence[tuple[Keyframe, Sequence[RegionPrompt]]]) -> list[list[RegionMask]]:
        """Return the masks of every keyframe's regions in their order; raises ReasoningError when it cannot."""
