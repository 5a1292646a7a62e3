"""Which candidates of a fragment and which instances of the map TIFF takes for one and the same, by their embeddings.

As in the released module: whatever is similar enough is chained together, without regard to where it is, to its label
or to the keyframe it was seen in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

# Thresholds of the released module; its authors' note for the Extension data set has 0.4 for the first one.
MINIMUM_CONFIDENCE = 0.6
MINIMUM_SIMILARITY = 0.8
# PyTorch's cosine similarity keeps lengths at least this large.
_SMALLEST_LENGTH = 1e-8


@dataclass(frozen=True)
class Matching:
    """What belongs together among G instances of the map and n candidates, in this order.

    similarity: (G + n, G + n) float32 in [0, 1]; clusters: (G + n,) int64, numbered by their first members; order:
    clusters from the largest to the smallest, equal ones by their numbers.
    """

    similarity: NDArray[np.float32]
    clusters: NDArray[np.int64]
    order: NDArray[np.int64]


def confident(confidences: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which candidates take part in matching, (n,) from confidences (n,)."""
    return confidences >= np.float32(MINIMUM_CONFIDENCE)


def similarity(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (1 + cosine) / 2 of each pair of embeddings (n, 128), as (n, n) float32 in [0, 1]."""
    lengths = np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), np.float32(_SMALLEST_LENGTH))
    units = embeddings / lengths
    return np.clip((units @ units.T + np.float32(1.0)) / np.float32(2.0), 0.0, 1.0).astype(np.float32)


def match(embeddings: NDArray[np.float32]) -> Matching:
    """Return what belongs together: the connected parts of the graph of all pairs similar enough.

    The released module asks DBSCAN for clusters of at least one member within a distance of 0.2 in float32, which is
    the same graph.
    """
    similarities = similarity(embeddings)
    _, parts = connected_components(csr_array(similarities >= np.float32(MINIMUM_SIMILARITY)), directed=False)
    _, first, members = np.unique(parts, return_index=True, return_inverse=True)
    clusters = np.argsort(np.argsort(first))[members].astype(np.int64)
    order = np.argsort(-np.bincount(clusters), kind="stable")
    return Matching(similarities, clusters, order)
