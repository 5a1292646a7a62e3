"""Masks of several views become one without anything learned, after MLLM-For3D (arXiv 2503.18135).

There a voxel keeps up to eight observations and attends to them by how well each fits the meaning that the views agree
on. Here a view weighs the more the closer its embedding is to that consensus, a voxel's log-odds are averaged over the
views that see it, and views that mean something else, or whose masks most others contradict, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Observations of a voxel in MLLM-For3D.
MOST_VIEWS = 8
# How fast a view loses weight with its distance from the consensus: at 0.1 less agreement it weighs 1/e.
TEMPERATURE = 0.1
# The mean of the views is drawn towards outliers; weighing and averaging again frees it of them. It moves by less than
# 0.01 after the third time.
CONSENSUS_ROUNDS = 3
# Views that agree less with the consensus than this mean something else.
LEAST_CONSISTENCY = 0.25
# A view that sees this share of a mask again can tell whether it is right; with fewer than two, nobody knows which of
# them is wrong.
SEEN_AGAIN_SHARE = 0.25
LEAST_JUDGES = 2
# One view is never certain: the upper clamp of OctoMap (Hornung et al. 2013) is 0.97, here for both sides.
MOST_LOG_ODDS = 3.5

Agreement = Callable[[NDArray[np.floating], NDArray[np.floating]], float]


@dataclass(frozen=True)
class FusedViews:
    """What several views say together.

    probability: (V,) that a voxel belongs to the instance, 0.5 where no view tells. evidence: (V,) how many views tell,
    by their visibility. consensus: (D,) unit vector that the views agree on, zero when they have no embeddings.
    consistency: (K,) agreement of each view with it, at most 1. rejected: (K,) views that were left out.
    """

    probability: NDArray[np.float64]
    evidence: NDArray[np.float64]
    consensus: NDArray[np.float64]
    consistency: NDArray[np.float64]
    rejected: NDArray[np.bool_]


def cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the product of two (D,) unit vectors."""
    return float(first @ second)


def fuse_views(
    probabilities: NDArray[np.floating],
    visibility: NDArray[np.floating],
    embeddings: NDArray[np.floating],
    agreement: Agreement = cosine,
) -> FusedViews:
    """Fuse what K views say about the V voxels of an instance; the order of the views does not matter.

    probabilities: (V, K) in [0, 1], that the voxel is in the view's mask. visibility: (V, K) at least 0, how well the
    view sees the voxel, 0 = not at all. embeddings: (K, D) of any length, zero for a view without one. agreement: of
    two unit vectors, at most 1 for equal ones.
    """
    quality = visibility.sum(axis=0)
    quality = quality / max(float(quality.max(initial=0.0)), np.finfo(np.float64).tiny)
    consensus, consistency, known = _consensus(embeddings, quality, agreement)
    rejected = known & (consistency < min(LEAST_CONSISTENCY, float(consistency.max(initial=1.0))))
    contradicted = _contradicted(probabilities, visibility, ~rejected)
    if not (rejected | contradicted).all():
        rejected = rejected | contradicted
    attention = np.where(rejected, 0.0, _attention(consistency))
    weights = visibility * attention
    limit = 1.0 / (1.0 + np.exp(-MOST_LOG_ODDS))
    bounded = np.clip(probabilities, 1.0 - limit, limit)
    log_odds = np.log(bounded / (1.0 - bounded))
    total = weights.sum(axis=1)
    mean = np.divide((weights * log_odds).sum(axis=1), total, out=np.zeros(len(total)), where=total > 0)
    return FusedViews(
        1.0 / (1.0 + np.exp(-mean)), (visibility * ~rejected).sum(axis=1), consensus, consistency, rejected
    )


def _attention(consistency: NDArray[np.float64]) -> NDArray[np.float64]:
    # Softmax without the division, which cancels where weights are divided by their sum.
    return np.exp((consistency - consistency.max(initial=-np.inf)) / TEMPERATURE)


def _consensus(
    embeddings: NDArray[np.floating], quality: NDArray[np.float64], agreement: Agreement
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    # Returns the consensus, the agreement of each view with it, and which views have an embedding.
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    known = lengths > 0
    units = embeddings[known] / lengths[known, None]
    consensus = np.zeros(embeddings.shape[1])
    # Views without an embedding weigh as much as the others do in the mean.
    consistency = np.ones(len(embeddings))
    weights = quality[known]
    for _ in range(CONSENSUS_ROUNDS):
        total = weights @ units
        length = float(np.linalg.norm(total))
        if length == 0.0:
            break
        consensus = total / length
        agreements = np.array([agreement(unit, consensus) for unit in units])
        consistency[:] = float(weights @ agreements) / float(weights.sum())
        consistency[known] = agreements
        weights = quality[known] * _attention(agreements)
    return consensus, consistency, known


def _contradicted(
    probabilities: NDArray[np.floating], visibility: NDArray[np.floating], judges: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    # Which views have a mask that more than half of the judges that see it again have most of outside of theirs.
    seen = visibility > 0
    inside = (seen & (probabilities > 0.5)).astype(np.float64)
    outside = (seen & (probabilities < 0.5)).astype(np.float64)
    size = inside.sum(axis=0)
    again = inside.T @ seen.astype(np.float64)
    against = inside.T @ outside
    judging = (again >= SEEN_AGAIN_SHARE * size[:, None]) & (again > 0) & judges[None, :]
    np.fill_diagonal(judging, False)
    contradicting = judging & (against > 0.5 * again)
    count = judging.sum(axis=1)
    return (count >= LEAST_JUDGES) & (contradicting.sum(axis=1) > 0.5 * count)
