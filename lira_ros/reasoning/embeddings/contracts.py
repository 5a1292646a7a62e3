"""What gives candidates an embedding: the RegionEncoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe


class RegionEncoder(ABC):
    """Makes vectors by which the fusion tells things apart. Not thread-safe unless it says so."""

    name: str = ""

    @abstractmethod
    def encode(
        self,
        keyframe: Keyframe,
        masks: Sequence[NDArray[np.bool_]],
        labels: Sequence[str],
        colors: Sequence[str],
    ) -> NDArray[np.float32]:
        """Return (N, D) float32 vectors of unit length for N regions of a keyframe; D = 0: the appearance is taken.

        masks: (H, W) bool each. labels, colors: what a model said of each region, "" = nothing. Raises ReasoningError
        when it cannot.
        """


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (N, D) float32 rows of unit length; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
