"""What LIRA's network of fusion is trained for: which object a candidate shows, and how well (section 4.5).

Written from the description of the released code. Its targets are compared on the voxels that the candidate's keyframe
shows, and a candidate that fits no object belongs to none, and to no other such candidate either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# LIRA, section 4.5: least IoU with an object (Extension data set: 0.4), the id of those that have less, and the weight
# of the loss of the confidences; that of the similarities is the rest.
LEAST_IOU = 0.6
NO_OBJECT = 1000
CONFIDENCE_WEIGHT = 0.5


def targets(
    masks: NDArray[np.bool_], visible: NDArray[np.bool_], true_ids: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the largest IoU (n,) of candidates with an object, and the id (n,) of that one.

    masks, visible: (n, N) voxels of each candidate and those that its keyframe shows. true_ids: (N,) objects, 0 = none.
    The id is NO_OBJECT where the IoU is below 0.6. Of objects with the same IoU the smallest id counts.
    """
    ious = np.zeros(len(masks), dtype=np.float32)
    ids = np.full(len(masks), NO_OBJECT, dtype=np.int64)
    for row, (mask, shown) in enumerate(zip(masks, visible, strict=True)):
        objects, sizes = np.unique(true_ids[shown], return_counts=True)
        shared = np.bincount(np.searchsorted(objects, true_ids[mask & shown]), minlength=len(objects))
        union = sizes + np.count_nonzero(mask & shown) - shared
        iou = np.where(objects != 0, shared / np.maximum(union, 1), 0.0)
        if len(iou) > 0:
            best = int(np.argmax(iou))
            ious[row] = iou[best]
            if iou[best] >= LEAST_IOU:
                ids[row] = objects[best]
    return ious, ids


def confidence_loss(confidences: Tensor, ious: Tensor) -> Tensor:
    """Return the mean squared difference of n > 0 confidences (n,) from the largest IoUs (n,)."""
    return torch.nn.functional.mse_loss(confidences, ious)


def similarity_loss(embeddings: Tensor, ids: Sequence[int], known: Tensor, known_ids: Sequence[int]) -> Tensor:
    """Return the mean cross entropy of (1 + cosine) / 2 of all pairs against whether they show the same object.

    embeddings (n, 128) of candidates and known (G, 128) of instances of the map, which learn nothing, with the ids of
    their objects. Those of NO_OBJECT take no part; with fewer than two left the loss is 0.
    """
    all_ids = torch.tensor([*known_ids, *ids], device=embeddings.device)
    together = torch.cat((known.detach(), embeddings))[all_ids != NO_OBJECT]
    all_ids = all_ids[all_ids != NO_OBJECT]
    if len(all_ids) < 2:
        return embeddings.sum() * 0.0
    units = torch.nn.functional.normalize(together, dim=1)
    similarity = ((1.0 + units @ units.T) / 2.0).clamp(0.0, 1.0)
    return torch.nn.functional.binary_cross_entropy(similarity, (all_ids[:, None] == all_ids[None]).to(similarity))
