"""Embeddings from what a model said of a region: the sentence encoder on its colour and label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import MAX_LABEL_CHARACTERS
from lira_ros.reasoning.embeddings.contracts import RegionEncoder
from lira_ros.reasoning.language.encoder import SentenceEncoder
from lira_ros.reasoning.plain_text import plain_text

# What is said of a region of which nothing was said.
NAMELESS = "thing"


class TextRegionEncoder(RegionEncoder):
    """As LIRA's text feature: two views of a thing that were called alike are alike. Safe to share between threads."""

    name = "text"

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    def encode(
        self,
        keyframe: Keyframe,
        masks: Sequence[NDArray[np.bool_]],
        labels: Sequence[str],
        colors: Sequence[str],
    ) -> NDArray[np.float32]:
        """Return (N, D) float32 vectors of unit length of "colour label"."""
        return self._encoder.encode(
            [
                plain_text(f"{color} {label}", 2 * MAX_LABEL_CHARACTERS).lower() or NAMELESS
                for label, color in zip(labels, colors, strict=True)
            ]
        )
