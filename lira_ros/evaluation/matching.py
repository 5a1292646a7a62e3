"""Compare the instances found for an instruction with the objects that are right: found, missed, wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

# Instances and annotations are compared on voxels of this edge: coarse enough that a surface seen twice with
# a few centimetres of pose drift still overlaps, as in LIRA's evaluation on 4 cm voxels (specification, section 6).
COMPARISON_VOXEL_M = 0.05


@dataclass(frozen=True)
class Match:
    """The comparison of one answer with the truth, by one criterion.

    found: pairs (index of the prediction, object id). missed: object ids. wrong: indices of predictions.
    """

    found: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    wrong: tuple[int, ...]

    @property
    def right(self) -> bool:
        """Tell whether everything was found and nothing else."""
        return not self.missed and not self.wrong


def occupied_voxels(
    points: NDArray[np.floating], voxel_size_m: float = COMPARISON_VOXEL_M
) -> set[tuple[int, int, int]]:
    """Return the voxels that (N, 3) points [m] fall into."""
    cells = np.unique(np.floor(np.asarray(points) / voxel_size_m).astype(np.int64), axis=0)
    return set(map(tuple, cells.tolist()))


def voxel_iou(a: NDArray[np.floating], b: NDArray[np.floating], voxel_size_m: float = COMPARISON_VOXEL_M) -> float:
    """Return the intersection over union of two (N, 3) point sets [m] as voxel sets; 0 when one is empty."""
    cells_a, cells_b = occupied_voxels(a, voxel_size_m), occupied_voxels(b, voxel_size_m)
    if not cells_a or not cells_b:
        return 0.0
    shared = len(cells_a & cells_b)
    return shared / (len(cells_a) + len(cells_b) - shared)


def match_by_iou(
    predictions: Sequence[NDArray[np.floating]],
    truth: Sequence[tuple[int, NDArray[np.floating]]],
    minimum_iou: float,
) -> Match:
    """Match point sets one to one by voxel IoU of at least ``minimum_iou``."""
    scores = np.array([[voxel_iou(points, other) for _, other in truth] for points in predictions])
    return _match(scores, truth, len(predictions), minimum_iou)


def match_by_centroid(
    predictions: Sequence[NDArray[np.floating]],
    truth: Sequence[tuple[int, NDArray[np.floating]]],
    maximum_distance_m: float,
) -> Match:
    """Match point sets one to one by the distance of their centroids of at most ``maximum_distance_m``."""
    scores = np.array(
        [[-float(np.linalg.norm(points.mean(0) - other.mean(0))) for _, other in truth] for points in predictions]
    )
    return _match(scores, truth, len(predictions), -maximum_distance_m)


def _match(
    scores: NDArray[np.floating],
    truth: Sequence[tuple[int, NDArray[np.floating]]],
    predictions: int,
    minimum: float,
) -> Match:
    ids = [object_id for object_id, _ in truth]
    if predictions == 0 or not ids:
        return Match((), tuple(ids), tuple(range(predictions)))
    allowed = scores >= minimum
    # Forbidden pairs cost more than any sum of allowed ones, so that the number of matches comes first.
    penalty = 1e6
    rows, columns = linear_sum_assignment(np.where(allowed, -scores, penalty))
    found = tuple((int(r), ids[c]) for r, c in zip(rows, columns, strict=True) if allowed[r, c])
    matched_rows, matched_ids = {r for r, _ in found}, {i for _, i in found}
    return Match(
        found,
        tuple(i for i in ids if i not in matched_ids),
        tuple(r for r in range(predictions) if r not in matched_rows),
    )
