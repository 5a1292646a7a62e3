"""What the network is told of a candidate besides its voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.contracts import Candidate

# LIRA, section 1.2: the keyframes of a fragment.
FRAGMENT_KEYFRAMES = 9


def text_of(candidate: Candidate) -> str:
    """Return colour and class, as LIRA's model names what it marks; either may be missing."""
    return f"{candidate.attributes.color} {candidate.label}".strip()


def filled(vectors: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return features (..., D) with zeros behind them, (..., length), for a network that takes longer ones."""
    missing = [(0, 0)] * (vectors.ndim - 1) + [(0, length - vectors.shape[-1])]
    return np.pad(vectors, missing)
