"""The life of instances after they were seen: duplicates become one, one becomes two, things move, and are forgotten.

An id stays with its thing: of duplicates the older one goes on, of pieces the larger one keeps it, and a thing that is
found again elsewhere keeps it too. Every id that ends in another is remembered for as long as the map lives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.association import SAME_VIEW_OVERLAP, WELL_SEEN_CELLS
from lira_ros.fusion.components import COMPONENT_SHARE, sizes_of_components
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import InstanceState
from lira_ros.fusion.evidence import SEEN_THROUGH_LOG_ODDS, InstanceEvidence
from lira_ros.fusion.lifting import StoredKeyframe
from lira_ros.fusion.method import Meeting
from lira_ros.fusion.moved import MEMORY_COUNT, MEMORY_S, Likeness, match_moved
from lira_ros.fusion.splitting import SPLIT_GAP_M, find_pieces, split_off, tells_apart

# From this share of a visible instance inside a mask the mask covers or swallows it.
COVERED_SHARE = 0.7
# A pair of instances is one when this many views cover both with one mask and no more views tell them apart.
MERGE_VIEWS = 2
# What a learned method must say of two instances for a view to count as one that shows them as one.
MERGE_PROBABILITY = 0.8
# A provisional instance is forgotten sooner than one that was confirmed.
PROVISIONAL_EXISTENCE = 0.35
# Pieces are looked for after every so many keyframes that show an instance.
SPLIT_EVERY = 3

NANOSECONDS = 1e-9


class Lifecycle:
    """Merges, splits, reunites and forgets the instances of a fusion, which owns them and the keyframes."""

    STATE: ClassVar[dict[str, Any]] = {
        "merged_into": dict[int, int],
        "counts": dict[str, int],
        "_together": dict[tuple[int, int], int],
        "_apart": dict[tuple[int, int], int],
        "_in_pieces": set[int],
        "_gone": dict[int, InstanceEvidence],
        "last_id": int,
    }

    def __init__(
        self,
        configuration: FusionConfiguration,
        evidence: dict[int, InstanceEvidence],
        dirty: set[int],
        keyframes: Mapping[int, StoredKeyframe],
        splits: bool,
    ) -> None:
        """dirty: ids that changed, added to here. splits: whether names and pieces count besides overlap."""
        self.merged_into: dict[int, int] = {}
        self.counts = {"merged": 0, "split": 0, "moved": 0, "pruned": 0}
        self._configuration = configuration
        self._evidence = evidence
        self._dirty = dirty
        self._keyframes = keyframes
        self._splits = splits
        self._together: dict[tuple[int, int], int] = {}
        self._apart: dict[tuple[int, int], int] = {}
        self._in_pieces: set[int] = set()  # looked at again with every keyframe that shows them
        self._gone: dict[int, InstanceEvidence] = {}  # seen to be gone, in order
        self.last_id = 0

    def check_state(self) -> None:
        """Raise ValueError when ids end in a circle, or counts are missing."""
        check_merged(self.merged_into)
        if self.counts.keys() != {"merged", "split", "moved", "pruned"}:
            raise ValueError(f"counts: found those of {', '.join(self.counts)}")

    def new_id(self) -> int:
        """Return an id that no instance had."""
        self.last_id += 1
        return self.last_id

    def survivor(self, instance_id: int) -> int:
        """Return the id under which an instance goes on, its own when it was not merged into another."""
        while instance_id in self.merged_into:
            instance_id = self.merged_into[instance_id]
        return instance_id

    def settle(self, stored: StoredKeyframe, up: NDArray[np.float64]) -> None:
        """Take the consequences of what a keyframe said."""
        if self._splits:
            self._split(stored.id)
        self.merge()
        self._prune(stored)
        self._reunite(stored, up)
        self._keep_to_bounds()

    def remove(self, instance_id: int) -> None:
        """Forget an instance."""
        del self._evidence[instance_id]
        self._in_pieces.discard(instance_id)
        self._dirty.add(instance_id)
        for pairs in (self._together, self._apart):
            for pair in [pair for pair in pairs if instance_id in pair]:
                del pairs[pair]

    # ---------------------------------------------------------------- merging

    def note_pairs(self, meeting: Meeting, matches: Mapping[int, int]) -> None:
        """Count views that show two instances as one, and views that tell them apart; matches: by candidate."""
        view, overlaps = meeting.view, meeting.overlaps
        seen = sorted(matches.values())
        for i, a in enumerate(seen):
            for b in seen[i + 1 :]:
                _count(self._apart, view.instances[a].id, view.instances[b].id)
        if meeting.same is not None:
            count = len(meeting.lifted)
            same = np.triu(meeting.same[count:, count:], 1)
            for a, b in zip(*np.nonzero(same >= MERGE_PROBABILITY), strict=True):
                _count(self._together, view.instances[a].id, view.instances[b].id)
            return
        for c, m in matches.items():
            covered = view.shared[:, c] >= COVERED_SHARE * np.maximum(view.areas, 1)
            if not covered[m]:
                continue
            for other in np.flatnonzero(covered):
                if other == m or other in seen:
                    continue
                if overlaps[other, c] >= SAME_VIEW_OVERLAP or self._are_parts(meeting, c, m, int(other)):
                    _count(self._together, view.instances[m].id, view.instances[int(other)].id)

    def _are_parts(self, meeting: Meeting, c: int, m: int, other: int) -> bool:
        """Tell whether two instances inside one mask are parts of what it shows: all three have one name."""
        view, label = meeting.view, meeting.lifted[c].candidate.label
        if not self._splits or not label or view.areas[other] < WELL_SEEN_CELLS:
            return False
        return all(view.instances[part].label()[0] == label for part in (m, other))

    def merge(self) -> None:
        """Merge pairs that are one instance, transitively; the older id survives."""
        while True:
            pair = self._pair_to_merge()
            if pair is None:
                return
            older, younger = pair
            evidence = self._evidence[older]
            evidence.absorb(self._evidence[younger])
            evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
            self._end_in(younger, older)
            self.counts["merged"] += 1

    def _end_in(self, younger: int, older: int) -> None:
        """Let an id end in another, with what views said about it and others."""
        for pairs in (self._together, self._apart):
            for (a, b), count in list(pairs.items()):
                if younger in (a, b) and older not in (a, b):
                    _count(pairs, older, b if a == younger else a, count)
        self.remove(younger)
        self.merged_into[younger] = older
        self._dirty.add(older)

    def _pair_to_merge(self) -> tuple[int, int] | None:
        for pair in sorted(self._together):
            if self._together[pair] >= MERGE_VIEWS and self._together[pair] > 2 * self._apart.get(pair, 0):
                return pair
        ids = np.array(sorted(self._evidence), dtype=np.int64)
        centers = np.array([self._evidence[int(key)].center for key in ids]).reshape(-1, 3)
        extents = np.array([self._evidence[int(key)].extent_m for key in ids])
        for a in sorted(self._dirty & set(self._evidence)):
            first = self._evidence[a]
            apart = np.abs(centers - first.center).max(axis=1)
            for b in ids[apart <= 0.5 * (extents + first.extent_m)].tolist():
                if a == b or (b in self._dirty and b < a) or self._apart.get(_pair(a, b), 0) >= MERGE_VIEWS:
                    continue
                if self._voxel_overlap(first, self._evidence[b]) >= self._configuration.merge_overlap:
                    return _pair(a, b)
        return None

    def _voxel_overlap(self, a: InstanceEvidence, b: InstanceEvidence) -> float:
        """Return the intersection over union of the supported voxels on the coarser grid of the evidence."""
        smaller, larger = sorted((len(a.cells), len(b.cells)))
        if smaller == 0 or smaller < self._configuration.merge_overlap * larger:
            return 0.0
        both = len(np.intersect1d(a.cells, b.cells, assume_unique=True))
        return both / (smaller + larger - both)

    # ---------------------------------------------------------------- splitting

    def _split(self, keyframe_id: int) -> None:
        """Make two of instances whose voxels lie in pieces that views tell apart; the larger one keeps the id."""
        configuration = self._configuration
        for instance_id in sorted(self._dirty & set(self._evidence)):
            evidence = self._evidence[instance_id]
            if keyframe_id not in evidence.claims:
                continue
            if evidence.observations() % SPLIT_EVERY and instance_id not in self._in_pieces:
                continue
            self._in_pieces.discard(instance_id)
            if not self._may_be_separate(evidence):
                continue
            size_m, margin_m = configuration.voxel_size_m, configuration.margin_m
            pieces = find_pieces(evidence.voxels, configuration.min_support, configuration.min_voxels, size_m)
            if pieces is None:
                continue
            rivals = (item for item in self._evidence.values() if item is not evidence)
            if not tells_apart(evidence, pieces, rivals, self._keyframes, size_m, margin_m):
                self._in_pieces.add(instance_id)
                continue
            other = split_off(evidence, self.new_id(), pieces, self._keyframes, size_m, margin_m)
            self._evidence[other.id] = other
            for part in (evidence, other):
                part.measure(configuration.min_support, size_m)
                self._dirty.add(part.id)
            self._apart[_pair(evidence.id, other.id)] = MERGE_VIEWS
            self.counts["split"] += 1

    def _may_be_separate(self, evidence: InstanceEvidence) -> bool:
        """Tell whether the coarse cells lie in pieces, which is quickly seen; cells are two voxels wide."""
        edge = max(1, math.floor(SPLIT_GAP_M / self._configuration.voxel_size_m / 2.0))
        _, sizes = sizes_of_components(evidence.cells, edge)
        return int(np.count_nonzero(sizes >= COMPONENT_SHARE * sizes.max())) > 1 if len(sizes) > 1 else False

    # ---------------------------------------------------------------- forgetting and moving

    def _prune(self, stored: StoredKeyframe) -> None:
        """Forget instances that do not exist any more or lost their voxels to the votes."""
        configuration = self._configuration
        for instance_id in sorted(self._dirty & set(self._evidence)):
            evidence = self._evidence[instance_id]
            if stored.id in evidence.claims:
                continue
            supported = int(np.count_nonzero(evidence.voxels.share() >= configuration.min_support))
            provisional = evidence.state() == InstanceState.PROVISIONAL
            least = PROVISIONAL_EXISTENCE if provisional else configuration.prune_existence
            gone = evidence.existence(answered_only=True) < least
            if gone or supported < configuration.min_voxels:
                if _was_seen_empty(evidence) and not provisional:
                    self._gone[instance_id] = evidence
                self.remove(instance_id)
                self.counts["pruned"] += 1

    def _reunite(self, stored: StoredKeyframe, up: NDArray[np.float64]) -> None:
        """Give things that are gone from one place and appeared at another their id back."""
        gone = [
            evidence
            for evidence in self._evidence.values()
            if evidence.existence() < self._configuration.publish_existence
            and evidence.state() == InstanceState.CONFIRMED
            and _was_seen_empty(evidence)
        ]
        for instance_id, evidence in list(self._gone.items()):
            if (stored.stamp_ns - evidence.last_seen_ns) * NANOSECONDS > MEMORY_S or len(self._gone) > MEMORY_COUNT:
                del self._gone[instance_id]
        gone += self._gone.values()
        if not gone or not self._dirty:
            return
        labels = {evidence.label()[0] for evidence in gone}
        missing = {evidence.id for evidence in gone}
        alike = [
            evidence
            for evidence in self._evidence.values()
            if evidence.id not in missing and evidence.label()[0] in labels
        ]
        if not any(evidence.id in self._dirty and evidence.state() == InstanceState.CONFIRMED for evidence in alike):
            return
        size_m, least = self._configuration.voxel_size_m, self._configuration.min_support
        old = [Likeness(evidence, up, least, size_m) for evidence in gone]
        new = [Likeness(evidence, up, least, size_m) for evidence in alike]
        for new_id, old_id in match_moved(old, new).items():
            evidence = self._evidence[new_id]
            if evidence.state() == InstanceState.CONFIRMED:
                self._take_over(evidence, old_id)

    def _take_over(self, evidence: InstanceEvidence, old_id: int) -> None:
        """Let an instance go on under the id that it had at another place."""
        old = self._gone.pop(old_id, None)
        if old is None:
            old = self._evidence[old_id]
            self.remove(old_id)
        new_id = evidence.id
        self._end_in(new_id, old_id)
        evidence.go_on_as(old)
        self._evidence[old_id] = evidence
        self.counts["moved"] += 1

    def _keep_to_bounds(self) -> None:
        excess = len(self._evidence) - self._configuration.max_instances
        if excess <= 0:
            return
        # What was never confirmed and not seen for longest goes first, then the least certain.
        weakest = sorted(
            self._evidence.values(),
            key=lambda item: (
                item.state(),
                item.last_seen_ns if item.state() == InstanceState.PROVISIONAL else 0,
                item.existence(),
                item.id,
            ),
        )
        for evidence in weakest[:excess]:
            self.remove(evidence.id)
            self.counts["pruned"] += 1


def check_merged(merged_into: Mapping[int, int]) -> None:
    """Raise ValueError when following ids to those that they ended in comes back to one of them."""
    known: set[int] = set()
    for start in merged_into:
        path: set[int] = set()
        number = start
        while number in merged_into and number not in known:
            if number in path:
                raise ValueError(f"instance {start} ends in itself")
            path.add(number)
            number = merged_into[number]
        known |= path


def _was_seen_empty(evidence: InstanceEvidence) -> bool:
    """Tell whether the last that was said of an instance is that there is free space at its place."""
    against = evidence.votes.last_against()
    return against is not None and against.log_odds <= SEEN_THROUGH_LOG_ODDS


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _count(pairs: dict[tuple[int, int], int], a: int, b: int, count: int = 1) -> None:
    pair = _pair(a, b)
    pairs[pair] = pairs.get(pair, 0) + count
