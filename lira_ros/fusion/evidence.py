"""What is known of one instance: votes for each of its voxels, and whether it exists, by keyframe.

Voxels are voted for and against by every view instead of OR-ing masks, so that a mask that was wrong once is
outvoted. Whether it exists is in existence.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.best_views import BestViews
from lira_ros.fusion.contracts import InstanceState
from lira_ros.fusion.existence import CONFIRMED_LOOKS, ExistenceVotes, Vote
from lira_ros.fusion.lifting import cells_of, resampled, unpack
from lira_ros.fusion.opinions import OpinionVotes
from lira_ros.mapping.voxel import contained_in
from lira_ros.reasoning.contracts import Candidate
from lira_ros.state.columns import Array

# Log-odds of the OctoMap sensor model (Hornung et al. 2013): hit 0.7, miss 0.4.
HIT_LOG_ODDS = math.log(0.7 / 0.3)
MISS_LOG_ODDS = math.log(0.4 / 0.6)
# In view, but inside the mask of something else: half of a miss, since masks swallow small things easily.
SWALLOWED_LOG_ODDS = 0.5 * MISS_LOG_ODDS
# Free space where the instance should be is much stronger than no mask: depth is right far more often than a
# detector is complete. Two such views outweigh three sightings.
SEEN_THROUGH_LOG_ODDS = math.log(0.2 / 0.8)

# Support = hits / (views + this): a voxel seen once counts less than one confirmed often (add-constant prior).
SUPPORT_PRIOR = 0.5
# Voxels that most of at least this many views contradict are forgotten.
FORGET_VIEWS = 4.0
FORGET_SHARE = 0.2


# Motions that agree to a micrometre are those of one fragment.
MOTION_DECIMALS = 6

# Answers may come for instructions that are not (yet, or any more) in the list; so many of them at most are remembered
# for an instance, which is the largest number of instructions that may be active (InstructionConfiguration).
MAX_OPINIONS = 1000


class VoxelEvidence:
    """Votes of views for the voxels of one instance.

    keys: (N,) int64 sorted voxel keys. hits, views: (N,) float32 weighted number of views that put the voxel
    into the instance, and of all that saw it. colors: (N, 3) float32 colours summed over color_weights.
    keyframe_ids: (N,) int32, the keyframe that put the voxel there first: when its pose is corrected, the voxel
    moves with it.
    """

    STATE: ClassVar[dict[str, Any]] = {
        "keys": Array("<i8", ("voxels",)),
        "hits": Array("<f4", ("voxels",)),
        "views": Array("<f4", ("voxels",)),
        "colors": Array("<f4", ("voxels", 3)),
        "color_weights": Array("<f4", ("voxels",)),
        "keyframe_ids": Array("<i4", ("voxels",)),
    }

    def __init__(self) -> None:
        self.keys: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.hits: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.views: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.colors: NDArray[np.float32] = np.zeros((0, 3), dtype=np.float32)
        self.color_weights: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.keyframe_ids: NDArray[np.int32] = np.zeros(0, dtype=np.int32)

    def check_state(self) -> None:
        """Raise ValueError when the keys are none or do not ascend."""
        if len(self.keys) and (int(self.keys[0]) < 0 or not (self.keys[1:] > self.keys[:-1]).all()):
            raise ValueError("voxel keys must not be negative, and must ascend")

    def share(self) -> NDArray[np.float32]:
        """Return (N,) hits / views, 0 where no view counted."""
        return np.divide(self.hits, self.views, out=np.zeros_like(self.hits), where=self.views > 0)

    def support(self) -> NDArray[np.float32]:
        """Return (N,) hits / (views + SUPPORT_PRIOR), by which instances compete for voxels."""
        return self.hits / (self.views + np.float32(SUPPORT_PRIOR))

    def contains(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of (K,) keys are among the voxels."""
        return contained_in(keys, self.keys)

    def add(
        self,
        keys: NDArray[np.int64],
        hits: NDArray[np.float32],
        views: NDArray[np.float32],
        colors: NDArray[np.float32],
        color_weights: NDArray[np.float32],
        keyframe_ids: NDArray[np.int32],
    ) -> None:
        """Add votes for (K,) sorted unique keys; voxels that are not known yet are taken up with their keyframe."""
        if len(keys) == 0:
            return
        before = self.keys
        self.keys, (self.hits, self.views, self.color_weights, self.colors) = _merged(
            before,
            keys,
            ((self.hits, hits), (self.views, views), (self.color_weights, color_weights), (self.colors, colors)),
        )
        first = np.empty(len(self.keys), dtype=np.int32)
        first[np.searchsorted(self.keys, keys)] = keyframe_ids
        first[np.searchsorted(self.keys, before)] = self.keyframe_ids
        self.keyframe_ids = first

    def move(self, motions: Mapping[int, NDArray[np.float64]], voxel_size_m: float) -> bool:
        """Move the voxels of keyframes whose pose was corrected; tell whether there were any.

        motions: by keyframe id the (4, 4) motion of the keyframe within the map. Voxels are resampled to the nearest
        one, so that a surface neither thins nor thickens; votes that end up in one voxel are added.
        """
        moving = np.isin(self.keyframe_ids, np.fromiter(motions, dtype=np.int32, count=len(motions)))
        if not moving.any():
            return False
        # Keyframes of one fragment move alike: their voxels are moved together.
        group_of: dict[bytes, int] = {}
        transforms: list[NDArray[np.float64]] = []
        group = np.full(len(self.keys), -1, dtype=np.int32)
        for keyframe_id in np.unique(self.keyframe_ids[moving]).tolist():
            motion = motions[keyframe_id]
            rounded = np.round(motion, MOTION_DECIMALS) + 0.0  # no negative zero
            number = group_of.setdefault(rounded.tobytes(), len(transforms))
            if number == len(transforms):
                transforms.append(motion)
            group[self.keyframe_ids == keyframe_id] = number
        parts = [self.part(group == number) for number in range(len(transforms))]
        self._take(self.part(~moving))
        for part, motion in zip(parts, transforms, strict=True):
            keys, at = resampled(part.keys, motion, voxel_size_m)
            self.add(
                keys, part.hits[at], part.views[at], part.colors[at], part.color_weights[at], part.keyframe_ids[at]
            )
        return True

    def forget(self) -> None:
        """Drop voxels that most views contradict."""
        keep = (self.views < FORGET_VIEWS) | (self.share() >= FORGET_SHARE)
        if not keep.all():
            self.keep(keep)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Drop all but the (N,) chosen voxels."""
        self._take(self.part(chosen))

    def part(self, chosen: NDArray[np.bool_]) -> VoxelEvidence:
        """Return a copy with the (N,) chosen voxels only."""
        part = VoxelEvidence()
        part.keys, part.hits, part.views = self.keys[chosen], self.hits[chosen], self.views[chosen]
        part.colors, part.color_weights = self.colors[chosen], self.color_weights[chosen]
        part.keyframe_ids = self.keyframe_ids[chosen]
        return part

    def _take(self, other: VoxelEvidence) -> None:
        self.keys, self.hits, self.views = other.keys, other.hits, other.views
        self.colors, self.color_weights = other.colors, other.color_weights
        self.keyframe_ids = other.keyframe_ids


def _merged(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    channels: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...],
) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
    keys = np.union1d(a, b) if len(a) else b.copy()
    at_a, at_b = np.searchsorted(keys, a), np.searchsorted(keys, b)
    results = []
    for old, new in channels:
        total = np.zeros((len(keys), *new.shape[1:]), dtype=np.float32)
        total[at_a] = old
        total[at_b] += new
        results.append(total)
    return keys, results


@dataclass
class Claim:
    """That an instance was seen in a keyframe: its mask on the comparison grid, packed to bits."""

    bits: NDArray[np.uint8]
    shape: tuple[int, int]
    cells: int

    STATE: ClassVar[dict[str, Any]] = {"bits": Array("|u1", ("bytes",)), "shape": tuple[int, int], "cells": int}

    def check_state(self) -> None:
        """Raise ValueError when the bits are not those of such a mask."""
        if min(self.shape) < 0 or -(-self.shape[0] * self.shape[1] // 8) != len(self.bits):
            raise ValueError(f"mask of {self.shape[0]} x {self.shape[1]} cells: has {len(self.bits)} bytes")

    @classmethod
    def of(cls, grid_mask: NDArray[np.bool_]) -> Claim:
        """Pack a (h, w) mask."""
        return cls(np.packbits(grid_mask), (grid_mask.shape[0], grid_mask.shape[1]), int(np.count_nonzero(grid_mask)))

    def mask(self) -> NDArray[np.bool_]:
        """Unpack the (h, w) mask."""
        count = self.shape[0] * self.shape[1]
        return np.unpackbits(self.bits, count=count).view(np.bool_).reshape(self.shape)


@dataclass
class InstanceEvidence:
    """Everything that the views said about one instance."""

    id: int
    merged_from: set[int] = field(default_factory=set)  # younger ids that turned out to be this instance
    voxels: VoxelEvidence = field(default_factory=VoxelEvidence)
    votes: ExistenceVotes = field(default_factory=ExistenceVotes)
    first_seen_ns: int = 0
    last_seen_ns: int = 0
    claims: dict[int, Claim] = field(default_factory=dict)  # by keyframe id
    instructions: set[str] = field(default_factory=set)  # that a candidate of this instance answered
    names: dict[str, float] = field(default_factory=dict)  # label -> weighted votes
    name_weight: float = 0.0  # of all observations, the nameless included
    score_sum: float = 0.0  # of the candidates, weighted by the quality of the view
    score_weight: float = 0.0
    supports: dict[str, float] = field(default_factory=dict)  # what it stands on -> weighted votes
    opinions: dict[str, OpinionVotes] = field(default_factory=dict)  # whether it is wanted, by instruction id
    embedding: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    views: BestViews = field(default_factory=BestViews)
    center: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    radius_m: float = 0.0
    extent_m: float = 0.0
    color: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    cells: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # of lifting.cells_of

    STATE: ClassVar[dict[str, Any]] = {
        "id": int,
        "merged_from": set[int],
        "voxels": VoxelEvidence,
        "votes": ExistenceVotes,
        "first_seen_ns": int,
        "last_seen_ns": int,
        "claims": dict[int, Claim],
        "instructions": set[str],
        "names": dict[str, float],
        "name_weight": float,
        "score_sum": float,
        "score_weight": float,
        "supports": dict[str, float],
        "opinions": dict[str, OpinionVotes],
        "embedding": Array("<f8", ("embedding",)),
        "views": BestViews,
        "center": Array("<f8", (3,)),
        "radius_m": float,
        "extent_m": float,
        "color": Array("<f8", (3,)),
        "cells": Array("<i8", ("cells",)),
    }

    def describe(self, candidate: Candidate, weight: float, instruction_id: str) -> None:
        """Add what a candidate says about name, support and meaning; ``weight`` is the quality of the view."""
        self.instructions.add(instruction_id)
        self.name_weight += weight
        if candidate.label:
            vote = weight * candidate.label_confidence
            self.names[candidate.label] = self.names.get(candidate.label, 0.0) + vote
        if candidate.attributes.supported_by:
            held = candidate.attributes.supported_by
            self.supports[held] = self.supports.get(held, 0.0) + weight
        if len(candidate.embedding) and (len(self.embedding) in (0, len(candidate.embedding))):
            addend = weight * candidate.embedding.astype(np.float64)
            self.embedding = addend if len(self.embedding) == 0 else self.embedding + addend

    def opinion_on(self, instruction_id: str) -> OpinionVotes:
        """Return the votes on whether an instruction wants it, to add to; new ones when there are none yet."""
        votes = self.opinions.setdefault(instruction_id, OpinionVotes())
        while len(self.opinions) > MAX_OPINIONS:
            self.opinions.pop(next(iter(self.opinions)))
        return votes

    def mean_score(self) -> float:
        """Return how sure its views were, in the mean, that it is one whole thing, in [0, 1]."""
        return self.score_sum / self.score_weight if self.score_weight > 0 else 0.0

    def label(self) -> tuple[str, float]:
        """Return the name with most votes and its confidence in [0, 1]; equal votes go by the alphabet."""
        if not self.names:
            return "", 0.0
        name = min(self.names, key=lambda item: (-self.names[item], item))
        return name, min(1.0, self.names[name] / self.name_weight) if self.name_weight > 0 else 0.0

    def supported_by(self) -> str:
        """Return what most views say it stands on, "" when none says so."""
        return min(self.supports, key=lambda item: (-self.supports[item], item)) if self.supports else ""

    def unit_embedding(self) -> NDArray[np.float32]:
        """Return the mean embedding at unit length, (0,) without any."""
        length = float(np.linalg.norm(self.embedding))
        return (self.embedding / length).astype(np.float32) if length > 0 else np.zeros(0, dtype=np.float32)

    def existence(self, answered_only: bool = False) -> float:
        """Return the probability that it exists; answered_only: without free space that no answer looked at."""
        return self.votes.probability(answered_only)

    def observations(self) -> int:
        """Return the number of keyframes in which it was seen."""
        return self.votes.sightings()

    def state(self) -> InstanceState:
        """Tell whether enough independent looks have shown it."""
        return InstanceState.CONFIRMED if self.votes.looks() >= CONFIRMED_LOOKS else InstanceState.PROVISIONAL

    def see(self, keyframe_id: int, vote: Vote, claim: Claim) -> None:
        """Note that it was seen in a keyframe, in place of whatever was noted of that keyframe before."""
        if self.observations() == 0:
            self.first_seen_ns = self.last_seen_ns = vote.stamp_ns
        self.first_seen_ns = min(self.first_seen_ns, vote.stamp_ns)
        self.last_seen_ns = max(self.last_seen_ns, vote.stamp_ns)
        self.votes.cast(keyframe_id, vote)
        self.claims[keyframe_id] = claim

    def forget_keyframe(self, keyframe_id: int) -> None:
        """Fold the votes up to a keyframe that is forgotten into one number."""
        # Of a map that was loaded, older keyframes may never have come back.
        for old in [key for key in self.claims if key <= keyframe_id]:
            del self.claims[old]
        for votes in self.opinions.values():
            votes.fold(keyframe_id)
        self.votes.fold(keyframe_id)

    def measure(self, min_share: float, voxel_size_m: float) -> None:
        """Update centre, radius, extent, colour and coarse cells from the supported voxels."""
        keep = self.voxels.share() >= min_share
        voxels = unpack(self.voxels.keys[keep])
        self.cells = np.unique(cells_of(self.voxels.keys[keep]))
        if len(voxels) == 0:
            return
        points = voxels * voxel_size_m
        self.center = points.mean(axis=0)
        low, high = points.min(axis=0), points.max(axis=0)
        self.extent_m = float((high - low).max()) + voxel_size_m
        self.radius_m = float(np.sqrt(((points - self.center) ** 2).sum(axis=1).max()))
        weights = self.voxels.color_weights[keep].sum()
        self.color = self.voxels.colors[keep].sum(axis=0) / max(float(weights), 1e-9)

    def absorb(self, other: InstanceEvidence) -> None:
        """Take over everything known of another instance that turned out to be this one."""
        source = other.voxels
        self.voxels.add(
            source.keys, source.hits, source.views, source.colors, source.color_weights, source.keyframe_ids
        )
        self.votes.absorb(other.votes)
        for keyframe_id, claim in other.claims.items():
            mine_claim = self.claims.get(keyframe_id)
            joined = claim.mask() if mine_claim is None else claim.mask() | mine_claim.mask()
            self.claims[keyframe_id] = Claim.of(joined)
        self.last_seen_ns = max(self.last_seen_ns, other.last_seen_ns)
        self.views.absorb(other.views, self.center)
        self._take_words(other)

    def go_on_as(self, before: InstanceEvidence) -> None:
        """Go on under the id that the thing had at another place: its words are those of both places."""
        self._take_words(before)
        self.merged_from.discard(before.id)
        self.merged_from.add(self.id)
        self.id = before.id

    def _take_words(self, other: InstanceEvidence) -> None:
        self.merged_from |= {other.id, *other.merged_from}
        self.first_seen_ns = min(self.first_seen_ns, other.first_seen_ns)
        self.instructions |= other.instructions
        for name, weight in other.names.items():
            self.names[name] = self.names.get(name, 0.0) + weight
        for held, weight in other.supports.items():
            self.supports[held] = self.supports.get(held, 0.0) + weight
        for instruction_id, votes in other.opinions.items():
            self.opinion_on(instruction_id).absorb(votes)
        self.name_weight += other.name_weight
        self.score_sum += other.score_sum
        self.score_weight += other.score_weight
        if len(self.embedding) in (0, len(other.embedding)):
            self.embedding = other.embedding + (self.embedding if len(self.embedding) else 0.0)
