"""How much two embeddings agree, whatever made them: the same scale for histograms, texts, images and hidden states.

The cosine of two different things is 0.1 to 0.5 for sentence encoders, 0.6 to 0.9 for crops in CLIP, and higher still
for hidden states of language models, whose common part is large. So agreement is counted from what different things
reach, measured on the masks of one answer, which show different things.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.color import APPEARANCE_LENGTH

# Pairs of different things from which the mean is known well enough to speak.
LEAST_PAIRS = 3
# Newer pairs replace older ones in the mean from here on: the robot comes into another room.
MOST_PAIRS = 1000
# Where different things reach more than 1 minus this, what is left is noise of the model.
SMALLEST_RANGE = 0.05


class EmbeddingAgreement:
    """Agreement of embeddings in [0, 1], by their length, as one length stands for one model."""

    STATE: ClassVar[dict[str, Any]] = {"_baseline": dict[int, tuple[float, int]]}

    def __init__(self) -> None:
        self._baseline: dict[int, tuple[float, int]] = {}  # mean cosine of different things, and of how many pairs

    def learn(self, embeddings: Sequence[NDArray[np.float32]]) -> None:
        """Take in the embeddings of the masks of one answer, (D,) of unit length each, or (0,)."""
        for length in {len(item) for item in embeddings} - {0, APPEARANCE_LENGTH}:
            vectors = np.array([item for item in embeddings if len(item) == length], dtype=np.float64)
            pairs = len(vectors) * (len(vectors) - 1) // 2
            if pairs == 0:
                continue
            total = vectors.sum(axis=0)
            mean = (float(total @ total) - float((vectors * vectors).sum())) / (2.0 * pairs)
            before, count = self._baseline.get(length, (0.0, 0))
            count = min(count, MOST_PAIRS)
            self._baseline[length] = ((before * count + mean * pairs) / (count + pairs), count + pairs)

    def between(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
        """Return the agreement of two (D,) embeddings of unit length; 0 for different things and different models.

        The product of two appearances is a Bhattacharyya coefficient, a share already, and taken as it is. Of other
        embeddings nothing is said until enough different things were seen together.
        """
        if len(first) == 0 or len(first) != len(second):
            return 0.0
        cosine = float(first @ second)
        if len(first) == APPEARANCE_LENGTH:
            return max(0.0, cosine)
        baseline, pairs = self._baseline.get(len(first), (0.0, 0))
        if pairs < LEAST_PAIRS:
            return 0.0
        return min(1.0, max(0.0, (cosine - baseline) / max(SMALLEST_RANGE, 1.0 - baseline)))
