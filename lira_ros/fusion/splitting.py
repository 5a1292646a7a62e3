"""Whether an instance is really two things: its voxels lie in separate pieces, and views tell the pieces apart.

A gap alone says nothing: what hides the middle of a table leaves a gap too, and depth cameras do not see thin rods
and glass. So free space must have been seen between the pieces, by views that show them in two masks; views whose mask
holds both pieces speak against it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lira_ros.fusion.components import COMPONENT_SHARE, sizes_of_components
from lira_ros.fusion.evidence import Claim, InstanceEvidence, VoxelEvidence
from lira_ros.fusion.existence import CONFIRMED_LOOKS, Vote
from lira_ros.fusion.lifting import (
    NEAR_SURFACE,
    ON_SURFACE,
    SEEN_THROUGH,
    StoredKeyframe,
    look_up,
    pack,
    unpack,
)

# Things that stand nearer to one another than this are told apart by their masks alone: free space in a smaller gap is
# not seen, for a voxel and the room for pose errors are taken off on both sides.
SPLIT_GAP_M = 0.08
# Two independent looks confirm an instance; as many that tell pieces apart make two of it. One of them outweighs two
# that show both in one mask: masks swallow what stands beside a thing more often than they are cut where nothing is.
SPLIT_LOOKS = CONFIRMED_LOOKS
APART_WEIGHT = 2.0
# Points between the pieces, on lines between their nearest voxels; away from the ends, where surfaces are.
GAP_LINES = 24
GAP_PARTS = (0.35, 0.5, 0.65)
# Voxels of a piece that are looked at.
PIECE_SAMPLES = 300
# A view shows a piece when this share of its voxels is visible, and its mask holds the piece from this share of those.
SHOWN_SHARE = 0.3
HELD_SHARE = 0.5
# Free space counts when it is seen at most of the points between.
FREE_SHARE = 0.6


@dataclass(frozen=True)
class Pieces:
    """Two separate parts of an instance: sorted supported voxel keys, the larger part first."""

    larger: NDArray[np.int64]
    smaller: NDArray[np.int64]


def find_pieces(voxels: VoxelEvidence, min_share: float, min_voxels: int, voxel_size_m: float) -> Pieces | None:
    """Return the two largest separate parts of the supported voxels, None when they hang together."""
    keys = voxels.keys[voxels.share() >= min_share]
    if len(keys) < 2 * min_voxels:
        return None
    component, sizes = sizes_of_components(keys, max(2, math.ceil(SPLIT_GAP_M / voxel_size_m)))
    first, second = np.argsort(-sizes, kind="stable")[:2].tolist() if len(sizes) > 1 else (0, 0)
    if first == second or sizes[second] < max(min_voxels, COMPONENT_SHARE * sizes[first]):
        return None
    return Pieces(keys[component == first], keys[component == second])


def tells_apart(
    evidence: InstanceEvidence,
    pieces: Pieces,
    rivals: Iterable[InstanceEvidence],
    keyframes: Mapping[int, StoredKeyframe],
    voxel_size_m: float,
    margin_m: float,
) -> bool:
    """Tell whether the views of an instance show that its pieces are two things; rivals: the other instances."""
    rivals = tuple(rivals)
    between = _between(pieces, voxel_size_m)
    if len(between) == 0:
        return False
    samples = [keys[:: max(1, len(keys) // PIECE_SAMPLES)] for keys in (pieces.larger, pieces.smaller)]
    apart = together = 0.0
    last: dict[bool, Vote] = {}
    for keyframe_id in sorted(evidence.claims):
        stored, vote = keyframes.get(keyframe_id), evidence.votes.get(keyframe_id)
        if stored is None or vote is None:
            continue
        mask = evidence.claims[keyframe_id].mask()
        held = [_held(keys, stored, mask, voxel_size_m, margin_m) for keys in samples]
        if min(held) < 0.0 or max(held) < HELD_SHARE:
            continue  # a piece is not shown, or the mask shows neither
        both = min(held) >= HELD_SHARE
        if not both:
            # What is in no mask may have been overlooked.
            missing = samples[held.index(min(held))]
            claimed = _claimed(rivals, keyframe_id, mask.shape)
            if _held(missing, stored, claimed, voxel_size_m, margin_m) < HELD_SHARE:
                continue
            if not _is_free(between, stored, voxel_size_m, margin_m):
                continue
        new = vote.new_since(last.get(both))
        last[both] = vote
        if both:
            together += new
        else:
            apart += new
    return apart >= SPLIT_LOOKS and APART_WEIGHT * apart > together


def _between(pieces: Pieces, voxel_size_m: float) -> NDArray[np.int64]:
    """Return the sorted keys of voxels between the nearest parts of two pieces."""
    larger, smaller = (unpack(keys[:: max(1, len(keys) // PIECE_SAMPLES)]) for keys in (pieces.larger, pieces.smaller))
    distance, nearest = cKDTree(larger).query(smaller)
    lines = np.argsort(distance, kind="stable")[:GAP_LINES]
    start, end = smaller[lines].astype(np.float64), larger[nearest[lines]].astype(np.float64)
    points = np.concatenate([start + part * (end - start) for part in GAP_PARTS])
    return np.unique(pack(np.rint(points).astype(np.int64)))


def _held(
    keys: NDArray[np.int64], stored: StoredKeyframe, mask: NDArray[np.bool_], voxel_size_m: float, margin_m: float
) -> float:
    """Return which share of the visible voxels of a piece a mask holds, -1 when the view does not show the piece."""
    relation, pixel, _ = look_up(keys, stored, voxel_size_m, margin_m)
    visible = (relation == ON_SURFACE) | (relation == NEAR_SURFACE)
    if np.count_nonzero(visible) < SHOWN_SHARE * len(keys):
        return -1.0
    return float(mask.ravel()[_cells(pixel[visible], stored, mask.shape)].mean())


def _claimed(rivals: Iterable[InstanceEvidence], keyframe_id: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return (h, w) what the other instances claim of the comparison grid of a keyframe."""
    claimed = np.zeros(shape, dtype=np.bool_)
    for rival in rivals:
        claim = rival.claims.get(keyframe_id)
        if claim is not None:
            claimed |= claim.mask()
    return claimed


def _is_free(between: NDArray[np.int64], stored: StoredKeyframe, voxel_size_m: float, margin_m: float) -> bool:
    relation, _, _ = look_up(between, stored, voxel_size_m, margin_m)
    return int(np.count_nonzero(relation == SEEN_THROUGH)) >= FREE_SHARE * len(between)


def _cells(pixel: NDArray[np.int32], stored: StoredKeyframe, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the flat cells of the comparison grid in which (N,) flat pixels lie."""
    rows, columns = np.divmod(pixel.astype(np.int64), stored.camera.width_px)
    return np.minimum(rows // stored.stride, shape[0] - 1) * shape[1] + np.minimum(
        columns // stored.stride, shape[1] - 1
    )


def split_off(
    evidence: InstanceEvidence,
    new_id: int,
    pieces: Pieces,
    keyframes: Mapping[int, StoredKeyframe],
    voxel_size_m: float,
    margin_m: float,
) -> InstanceEvidence:
    """Take the smaller piece out of an instance and return it as one with a new id.

    Names, meaning and existence are those of the whole: until now nothing was said about one of them alone. Masks are
    shared out by the voxels that they show.
    """
    trees = [cKDTree(unpack(keys)) for keys in (pieces.larger, pieces.smaller)]
    every = unpack(evidence.voxels.keys)
    smaller = trees[1].query(every)[0] < trees[0].query(every)[0]
    other = copy.deepcopy(evidence)
    other.id = new_id
    other.merged_from = set()
    other.voxels.keep(smaller)
    evidence.voxels.keep(~smaller)
    for keyframe_id in sorted(evidence.claims):
        stored = keyframes.get(keyframe_id)
        if stored is None:
            continue
        mask = evidence.claims[keyframe_id].mask()
        first = _drawn(evidence.voxels.keys, stored, mask.shape, voxel_size_m, margin_m)
        second = _drawn(other.voxels.keys, stored, mask.shape, voxel_size_m, margin_m)
        for part, own, others in ((evidence, first, second), (other, second, first)):
            kept = mask & ~(others & ~own)
            # A mask that showed nothing but the other piece was no view of this one.
            if (kept & own).any():
                part.claims[keyframe_id] = Claim.of(kept)
            else:
                del part.claims[keyframe_id]
    for part in (evidence, other):
        part.views.clear()
        center = unpack(part.voxels.keys).mean(axis=0) * voxel_size_m
        for keyframe_id, claim in sorted(part.claims.items()):
            if keyframe_id in keyframes:
                part.views.add(keyframes[keyframe_id], claim.mask(), part.mean_score(), center)
    return other


def _drawn(
    keys: NDArray[np.int64], stored: StoredKeyframe, shape: tuple[int, ...], voxel_size_m: float, margin_m: float
) -> NDArray[np.bool_]:
    """Return (h, w) where the visible ones of (N,) voxels lie on the comparison grid, as wide as they are there."""
    relation, pixel, distance = look_up(keys, stored, voxel_size_m, margin_m)
    visible = (relation == ON_SURFACE) | (relation == NEAR_SURFACE)
    drawn = np.zeros(shape, dtype=np.bool_)
    if not visible.any():
        return drawn
    drawn.ravel()[_cells(pixel[visible], stored, shape)] = True
    width = voxel_size_m * stored.camera.fx / float(np.median(distance[visible])) / stored.stride
    reach = max(1, math.ceil(0.5 * width))
    size = 2 * reach + 1
    return np.asarray(cv2.dilate(drawn.view(np.uint8), np.ones((size, size), np.uint8)), dtype=np.bool_)
