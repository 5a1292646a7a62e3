"""What a detector finds: boxes with names, and which of them are the same thing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe

# Of two boxes with the same name and this intersection over union one is left (the usual bound of such detectors);
# with other names they are one thing only when they are nearly the same box: a cushion is not its chair.
SAME_NAME_OVERLAP = 0.5
OTHER_NAME_OVERLAP = 0.85


@dataclass(frozen=True)
class Detection:
    """One thing that a detector found. box_px: left, top, right, bottom in the picture. score: [0, 1]."""

    box_px: tuple[float, float, float, float]
    phrase: str
    score: float


class Detector(ABC):
    """Finds things by their names. Not thread-safe.

    score_threshold: the least score of a detection.
    """

    name: str = ""
    score_threshold: float = 0.0

    @abstractmethod
    def detect(self, keyframes: Sequence[Keyframe], phrases: Sequence[str]) -> list[list[Detection]]:
        """Return what is found of each phrase in each keyframe, best first; raises ReasoningError when it cannot."""


def choose(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    phrases: Sequence[str],
    threshold: float,
    size_px: tuple[int, int],
) -> list[Detection]:
    """Return the detections of one picture: certain enough, within the picture, each thing once, best first.

    boxes: (Q, 4) left, top, right, bottom [px]. scores: (Q, P) in [0, 1] for P phrases. size_px: width, height.
    """
    width, height = size_px
    limits = np.array([width, height, width, height], dtype=np.float64)
    placed: NDArray[np.float64] = np.clip(np.nan_to_num(boxes.astype(np.float64)), 0.0, limits)
    named = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), named]
    large = np.isfinite(boxes).all(axis=1) & (np.min(placed[:, 2:] - placed[:, :2], axis=1) >= 1.0)
    kept: list[int] = []
    for number in np.argsort(-best, kind="stable"):
        if not best[number] >= threshold:
            break
        if not large[number]:
            continue
        others = np.array(kept, dtype=np.int64)
        bounds = np.where(named[others] == named[number], SAME_NAME_OVERLAP, OTHER_NAME_OVERLAP)
        if (_overlaps(placed[others], placed[number]) < bounds).all():
            kept.append(int(number))
    return [
        Detection((float(box[0]), float(box[1]), float(box[2]), float(box[3])), phrases[named[number]], best_score)
        for number in kept
        for box, best_score in [(placed[number], float(best[number]))]
    ]


def corners(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return (Q, 4) left, top, right, bottom of (Q, 4) boxes that are given by centre and size."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _overlaps(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    both = np.maximum(high - low, 0.0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    overlaps: NDArray[np.float64] = both / (areas - both)
    return overlaps
