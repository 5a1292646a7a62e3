"""Candidates of keyframes become instances with one identity over time.

A candidate set is fused when its keyframe is there, whichever comes first. Its masks are lifted into voxels and
matched one to one with the instances that the keyframe can see, over what both could see: the part of an
instance that is visible now, and the part of a candidate that was visible when the instance was seen before. So
a partial view joins its whole, and a mask that swallows several things joins none of them for good. Every view
votes for and against voxels, every voxel goes to the instance with the best support, and whole and parts
compete by how many views say so.

What depends on the order of arrival: ids are given in the order in which sets are fused, and a set is matched
with the instances known at that time. Equal sequences of sets give equal maps, whenever their keyframes and
fragments come. Existence is added up in sensor order and does not depend on arrival.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.evidence import (
    HIT_LOG_ODDS,
    MISS_LOG_ODDS,
    SEEN_THROUGH_LOG_ODDS,
    Claim,
    InstanceEvidence,
    Vote,
    without_flying_voxels,
)
from lira_ros.fusion.lifting import (
    NEAR_SURFACE,
    ON_SURFACE,
    SEEN_THROUGH,
    StoredKeyframe,
    count_inside,
    lift,
    look_up,
    rows_per_cell,
    splat,
    unpack,
)
from lira_ros.fusion.surface import FragmentSurfaces
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.fragment import Fragment
from lira_ros.reasoning.contracts import Candidate, CandidateSet
from lira_ros.reasoning.measurement import measure

# Two masks of one answer that share this much are one thing said twice (non-maximum suppression of Mask R-CNN
# style detectors uses 0.5 ... 0.9).
SAME_MASK_OVERLAP = 0.8
# A mask of a second instruction that shares this much with an instance already seen in the keyframe is that one.
SAME_VIEW_OVERLAP = 0.5
# From this share of a visible instance inside a mask the mask covers or swallows it.
COVERED_SHARE = 0.7
# Instances of which less than this share is inside any mask were overlooked by the answer.
CLAIMED_SHARE = 0.3
# Negative evidence needs a good look: this share of the voxels and this many cells of the comparison grid.
WELL_SEEN_SHARE = 0.5
WELL_SEEN_CELLS = 30
# Seen through counts when it holds for most of what the view tells about.
SEEN_THROUGH_SHARE = 0.6
SEEN_THROUGH_VOXELS = 10

# Weights of the agreements besides overlap (in [0, 1]): enough to decide between equals, too little to override
# geometry.
EMBEDDING_WEIGHT = 0.2
LABEL_WEIGHT = 0.15
COLOR_WEIGHT = 0.1
# Below this extent a few centimetres of pose error leave no overlap, and the distance of centres decides too.
TINY_EXTENT_M = 0.2

# Votes of a view: for what is in the mask, against what is in the mask of something else, against what is in no
# mask (masks have gaps), and against an instance that was not matched but lies in the mask of another: the mask
# may have swallowed it, which is the commoner fault of the two.
RIVAL_VOTE = 1.0
GAP_VOTE = 0.5
SWALLOWED_VOTE = 0.5
# A view from farther than this counts less, with the square of the distance, as the pixels on a surface do.
FULL_VOTE_DEPTH_M = 2.5
# Keyframes in which an instance was seen that are asked about voxels which a new mask adds to it.
REFERENCES = 6
# Voxels looked up for evidence that only needs a share of them.
SAMPLE_VOXELS = 200

# A pair of instances is one when this many views cover both with one mask and no more views tell them apart.
MERGE_VIEWS = 2
# A mask with this many grid cells shows as much as a view can; fewer give the name less weight.
FULL_VIEW_CELLS = 500

# Attributes and boxes turn with the direction of gravity; smaller changes than these are estimation noise.
UP_CHANGE = np.cos(np.radians(0.5))
FLOOR_CHANGE_M = 0.01

# Ids of removed instances that are remembered for changed_since().
MAX_REMEMBERED_REMOVALS = 10000


class Refusal(Enum):
    """Why input was refused; the value is the name under which statistics() counts it."""

    INVALID_KEYFRAME_ID = "invalid keyframe id"
    KEYFRAME_CHANGED = "keyframe id used twice"
    KEYFRAME_FORGOTTEN = "keyframe forgotten"
    STAMP_DIFFERS = "stamp differs from the keyframe"
    MASK_SIZE = "mask size differs from the keyframe"
    INVALID_CANDIDATE = "invalid candidate"
    MISSING_INSTRUCTION = "missing instruction id"
    KEYFRAME_NEVER_CAME = "keyframe never came"


class FusionError(ValueError):
    """Input that cannot be fused; the map is unchanged. ``refusal`` tells the kind, the message what and why."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


class Outcome(Enum):
    """What became of a candidate set."""

    FUSED = "fused"
    WAITING = "waiting for its keyframe"
    REPEATED = "already answered"


@dataclass(frozen=True)
class FusionStatistics:
    """What is kept and what was refused, for diagnostics. refused: by the value of Refusal."""

    instances: int
    published: int
    voxels: int
    keyframes: int
    fragments: int
    waiting: int
    fused: int
    repeated: int
    candidates_too_small: int
    instances_merged: int
    instances_pruned: int
    refused: dict[str, int]
    last_refusal: str


@dataclass
class _Lifted:
    """A candidate with its voxels; also: candidates that show the same thing again."""

    candidate: Candidate
    keys: NDArray[np.int64]
    colors: NDArray[np.float32]
    grid: NDArray[np.bool_]  # trusted pixels on the comparison grid
    cells: int
    center: NDArray[np.float64]
    extent_m: float
    also: list[Candidate]


@dataclass
class _View:
    """What a keyframe sees of the instances, and how that meets the candidates."""

    instances: list[InstanceEvidence]
    bounds: NDArray[np.int64]
    relation: NDArray[np.uint8]
    pixel: NDArray[np.int32]
    distance: NDArray[np.float32]
    areas: NDArray[np.int32]
    shared: NDArray[np.int32]
    cells: NDArray[np.int32]
    slices: NDArray[np.int64]

    def part(self, index: int) -> slice:
        """Return the slice of one instance in the voxel arrays."""
        return slice(int(self.bounds[index]), int(self.bounds[index + 1]))


@dataclass
class _Published:
    """An instance as published, and what it was derived from."""

    keys: NDArray[np.int64]  # drawn to the mapped surface, before competing
    support: NDArray[np.float32]
    colors: NDArray[np.float32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    existence: float
    instance: Instance | None = None


class InstanceFusion:
    """Fuses candidate sets, keyframes and fragments into instances. Not thread-safe: it has one owner."""

    def __init__(self, configuration: FusionConfiguration) -> None:
        self._configuration = configuration
        self._start()

    def _start(self) -> None:
        configuration = self._configuration
        self._evidence: dict[int, InstanceEvidence] = {}
        self._published: dict[int, _Published] = {}
        self._dirty: set[int] = set()
        self._keyframes: OrderedDict[int, StoredKeyframe] = OrderedDict()
        self._forgotten_up_to = 0
        self._answered: set[tuple[int, str]] = set()
        self._waiting: OrderedDict[tuple[int, str], CandidateSet] = OrderedDict()
        self._surfaces = FragmentSurfaces(configuration.max_fragments, configuration.fragment_min_weight)
        self._together: dict[tuple[int, int], int] = {}
        self._apart: dict[tuple[int, int], int] = {}
        self._next_id = 1
        self._up: NDArray[np.float64] | None = None
        self._floor_height_m = float("nan")
        self._changed_at: dict[int, int] = {}
        self._removed_at: OrderedDict[int, int] = OrderedDict()
        self._forgotten_removals = 0
        self._counts = {"fused": 0, "repeated": 0, "too small": 0, "merged": 0, "pruned": 0}
        self._refused: dict[str, int] = {}
        self._last_refusal = ""
        if not hasattr(self, "_revision"):
            self._revision = 0

    # ---------------------------------------------------------------- input

    def add_keyframe(self, keyframe: Keyframe) -> tuple[Outcome | FusionError, ...]:
        """Keep a keyframe and fuse the candidate sets that waited for it.

        Returns what became of each of those, in the order in which they had come: refused ones as the
        FusionError that add_candidates() would have raised. A keyframe seen before is ignored. Raises FusionError
        when its id was used for another stamp.
        """
        known = self._keyframes.get(keyframe.id)
        if known is not None:
            if known.stamp_ns != keyframe.frame.stamp_ns:
                raise self._refuse(
                    Refusal.KEYFRAME_CHANGED,
                    f"keyframe {keyframe.id}: came again with stamp {keyframe.frame.stamp_ns} ns, "
                    f"expected {known.stamp_ns} ns; the first is kept",
                )
            return ()
        if keyframe.id <= self._forgotten_up_to:
            return ()
        stored = StoredKeyframe(keyframe)
        self._keyframes[keyframe.id] = stored
        self._take_gravity(stored)
        self._look_for_free_space(self._evidence.values(), (stored,))
        waiting = [key for key in self._waiting if key[0] == keyframe.id]
        outcomes: list[Outcome | FusionError] = []
        for key in waiting:
            try:
                outcomes.append(self._fuse_checked(self._waiting.pop(key), stored))
            except FusionError as error:
                outcomes.append(error)
        while len(self._keyframes) > self._configuration.max_keyframes:
            self._forget_keyframe(min(self._keyframes))
        self._publish()
        return tuple(outcomes)

    def add_candidates(self, candidates: CandidateSet) -> Outcome:
        """Fuse the answer of a reasoner, or let it wait for its keyframe.

        Raises FusionError that names the keyframe id, what was expected and what came, with the map unchanged:
        a keyframe that is forgotten or has another stamp, masks of another size, impossible numbers, no
        instruction id. An answer that came before (same keyframe and instruction) is ignored.
        """
        key = (candidates.keyframe_id, candidates.instruction_id)
        if not candidates.instruction_id:
            raise self._refuse(
                Refusal.MISSING_INSTRUCTION,
                f"candidates of keyframe {candidates.keyframe_id}: expected the id of an instruction, got none",
            )
        if candidates.keyframe_id < 1:
            raise self._refuse(
                Refusal.INVALID_KEYFRAME_ID,
                f"candidates: expected a keyframe id of at least 1, got {candidates.keyframe_id}",
            )
        if key in self._answered or key in self._waiting:
            self._counts["repeated"] += 1
            return Outcome.REPEATED
        stored = self._keyframes.get(candidates.keyframe_id)
        if stored is not None:
            outcome = self._fuse_checked(candidates, stored)
            self._publish()
            return outcome
        if candidates.keyframe_id <= self._forgotten_up_to:
            raise self._refuse(
                Refusal.KEYFRAME_FORGOTTEN,
                f"candidates of keyframe {candidates.keyframe_id}: expected one of the newest "
                f"{self._configuration.max_keyframes} keyframes, those up to {self._forgotten_up_to} are forgotten",
            )
        self._waiting[key] = candidates
        while len(self._waiting) > self._configuration.max_waiting:
            (keyframe_id, _), _ = self._waiting.popitem(last=False)
            self._refuse(
                Refusal.KEYFRAME_NEVER_CAME,
                f"candidates of keyframe {keyframe_id}: dropped after waiting, the keyframe is not known and "
                f"{self._configuration.max_waiting} newer answers wait too",
            )
        return Outcome.WAITING

    def add_fragment(self, fragment: Fragment) -> None:
        """Draw instances to the surface of a fragment; a newer revision replaces the older, an older is ignored."""
        for surface in self._surfaces.add(fragment):
            for instance_id, published in self._published.items():
                if surface.overlaps(published.low, published.high):
                    self._dirty.add(instance_id)
        self._publish()

    def reset(self) -> None:
        """Forget everything; ``revision`` goes on, so that a delta since before is not mistaken for a current one."""
        revision = self._revision
        removed = [instance_id for instance_id, item in self._published.items() if item.instance is not None]
        self._start()
        self._revision = revision + 1
        for instance_id in removed:
            self._removed_at[instance_id] = self._revision

    # ---------------------------------------------------------------- output

    @property
    def revision(self) -> int:
        """Return the revision of the published instances, +1 whenever any of them changed."""
        return self._revision

    def instances(self) -> tuple[Instance, ...]:
        """Return the published instances by ascending id, without verdicts."""
        found = (self._published[instance_id].instance for instance_id in sorted(self._published))
        return tuple(instance for instance in found if instance is not None)

    def changed_since(self, revision: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ids of instances that were published anew or changed, and removed, after a revision.

        Raises ValueError when that revision is unknown or too long ago; take instances() then.
        """
        if not self._forgotten_removals <= revision <= self._revision:
            raise ValueError(
                f"revision {revision}: expected one from {self._forgotten_removals} to {self._revision}; "
                "fetch all instances instead"
            )
        changed = sorted(instance_id for instance_id, at in self._changed_at.items() if at > revision)
        removed = sorted(instance_id for instance_id, at in self._removed_at.items() if at > revision)
        return tuple(changed), tuple(removed)

    def statistics(self) -> FusionStatistics:
        """Return what is kept and what was refused so far."""
        return FusionStatistics(
            instances=len(self._evidence),
            published=sum(item.instance is not None for item in self._published.values()),
            voxels=sum(len(item.voxels.keys) for item in self._evidence.values()),
            keyframes=len(self._keyframes),
            fragments=len(self._surfaces),
            waiting=len(self._waiting),
            fused=self._counts["fused"],
            repeated=self._counts["repeated"],
            candidates_too_small=self._counts["too small"],
            instances_merged=self._counts["merged"],
            instances_pruned=self._counts["pruned"],
            refused=dict(self._refused),
            last_refusal=self._last_refusal,
        )

    # ---------------------------------------------------------------- keyframes

    def _refuse(self, refusal: Refusal, message: str) -> FusionError:
        self._refused[refusal.value] = self._refused.get(refusal.value, 0) + 1
        self._last_refusal = message
        return FusionError(refusal, message)

    def _forget_keyframe(self, keyframe_id: int) -> None:
        del self._keyframes[keyframe_id]
        self._forgotten_up_to = max(self._forgotten_up_to, keyframe_id)
        self._answered = {key for key in self._answered if key[0] != keyframe_id}
        for evidence in self._evidence.values():
            evidence.forget_keyframe(keyframe_id)
        for key in [key for key in self._waiting if key[0] <= keyframe_id]:
            del self._waiting[key]
            self._refuse(
                Refusal.KEYFRAME_NEVER_CAME,
                f"candidates of keyframe {key[0]}: dropped, the keyframe never came and newer ones are forgotten",
            )

    def _take_gravity(self, stored: StoredKeyframe) -> None:
        if stored.id != max(self._keyframes):
            return
        floor = stored.floor_height_m
        same_floor = (np.isnan(floor) and np.isnan(self._floor_height_m)) or (
            abs(floor - self._floor_height_m) <= FLOOR_CHANGE_M
        )
        if self._up is None or float(np.dot(self._up, stored.up)) < UP_CHANGE or not same_floor:
            self._up, self._floor_height_m = stored.up, floor
            self._dirty.update(self._evidence)

    def _look_for_free_space(self, instances: Iterable[InstanceEvidence], keyframes: Iterable[StoredKeyframe]) -> None:
        """Note where keyframes that no candidates judged yet see through instances."""
        configuration = self._configuration
        keyframes = tuple(keyframes)
        for evidence in instances:
            keys = evidence.voxels.keys[evidence.voxels.share() >= configuration.min_support]
            keys = keys[:: max(1, len(keys) // SAMPLE_VOXELS)]
            for stored in keyframes:
                vote = evidence.votes.get(stored.id)
                if (vote is not None and vote.answered) or not self._in_reach(evidence, stored):
                    continue
                relation, _, _ = look_up(keys, stored, configuration.voxel_size_m, configuration.margin_m)
                log_odds = _free_space_log_odds(relation)
                if log_odds != 0.0:
                    evidence.votes[stored.id] = Vote(log_odds, seen=False, answered=False)
                    self._dirty.add(evidence.id)

    def _in_reach(self, evidence: InstanceEvidence, stored: StoredKeyframe) -> bool:
        """Tell whether the bounding sphere of an instance can be in the view of a keyframe."""
        camera = stored.camera
        t = stored.T_camera_map
        x, y, z = t[:3, :3] @ evidence.center + t[:3, 3]
        r = evidence.radius_m + self._configuration.voxel_size_m
        if z + r <= 0:
            return False
        # Distance to the side planes of the view: the pixel at the border, as a direction.
        for focal, offset, size, value in (
            (camera.fx, camera.cx, camera.width_px, x),
            (camera.fy, camera.cy, camera.height_px, y),
        ):
            low, high = (-0.5 - offset) / focal, (size - 0.5 - offset) / focal
            if value - high * z > r * np.hypot(1.0, high) or low * z - value > r * np.hypot(1.0, low):
                return False
        return True

    # ---------------------------------------------------------------- candidates

    def _fuse_checked(self, candidates: CandidateSet, stored: StoredKeyframe) -> Outcome:
        self._check(candidates, stored)
        self._fuse(candidates, stored)
        self._answered.add((candidates.keyframe_id, candidates.instruction_id))
        self._counts["fused"] += 1
        return Outcome.FUSED

    def _check(self, candidates: CandidateSet, stored: StoredKeyframe) -> None:
        where = f"candidates of keyframe {candidates.keyframe_id}"
        if candidates.stamp_ns != stored.stamp_ns:
            raise self._refuse(
                Refusal.STAMP_DIFFERS,
                f"{where}: expected stamp {stored.stamp_ns} ns of the keyframe, got {candidates.stamp_ns} ns",
            )
        width, height = stored.camera.width_px, stored.camera.height_px
        for candidate in candidates.candidates:
            mask = candidate.mask
            if mask.ndim != 2 or mask.shape != (height, width):
                size = " x ".join(str(n) for n in reversed(mask.shape))
                raise self._refuse(
                    Refusal.MASK_SIZE,
                    f"{where}: mask of candidate {candidate.id} expected {width} x {height} pixels, got {size}",
                )
            numbers = (("score", candidate.score), ("label_confidence", candidate.label_confidence))
            for name, value in numbers:
                if not 0.0 <= value <= 1.0:
                    raise self._refuse(
                        Refusal.INVALID_CANDIDATE,
                        f"{where}: {name} of candidate {candidate.id} expected in [0, 1], got {value}",
                    )
            if mask.dtype != np.bool_ or not np.isfinite(candidate.embedding).all():
                raise self._refuse(
                    Refusal.INVALID_CANDIDATE,
                    f"{where}: candidate {candidate.id} expected a bool mask and a finite embedding, got {mask.dtype} "
                    f"and {candidate.embedding}",
                )

    def _lift_all(self, candidates: CandidateSet, stored: StoredKeyframe) -> list[_Lifted]:
        configuration = self._configuration
        liftable = stored.liftable(configuration.max_depth_m)
        results: list[_Lifted] = []
        # Best first, so that of two masks of one thing the better one is kept.
        for candidate in sorted(candidates.candidates, key=lambda item: (-item.score, item.id)):
            trusted = candidate.mask & liftable
            keys, colors = lift(trusted, stored, configuration.voxel_size_m)
            if len(keys) < configuration.min_voxels:
                self._counts["too small"] += 1
                continue
            grid = stored.grid(trusted)
            cells = int(np.count_nonzero(grid))
            if cells == 0:
                self._counts["too small"] += 1
                continue
            for other in results:
                smaller, larger = sorted((cells, other.cells))
                if smaller < SAME_MASK_OVERLAP * larger:
                    continue
                both = int(np.count_nonzero(grid & other.grid))
                if both >= SAME_MASK_OVERLAP * (cells + other.cells - both):
                    other.also.append(candidate)
                    break
            else:
                points = unpack(keys) * configuration.voxel_size_m
                extent = float((points.max(axis=0) - points.min(axis=0)).max()) + configuration.voxel_size_m
                results.append(_Lifted(candidate, keys, colors, grid, cells, points.mean(axis=0), extent, []))
        return results

    def _observe(self, lifted: list[_Lifted], stored: StoredKeyframe) -> _View:
        configuration = self._configuration
        instances = [
            self._evidence[instance_id]
            for instance_id in sorted(self._evidence)
            if self._in_reach(self._evidence[instance_id], stored)
        ]
        keys = [evidence.voxels.keys for evidence in instances]
        bounds = np.concatenate(([0], np.cumsum([len(item) for item in keys]))).astype(np.int64)
        flat = np.concatenate(keys) if keys else np.zeros(0, dtype=np.int64)
        relation, pixel, distance = look_up(flat, stored, configuration.voxel_size_m, configuration.margin_m)
        depth = stored.grid(stored.depth_m())
        masks = np.stack([item.grid for item in lifted]) if lifted else np.zeros((0, *depth.shape), dtype=np.bool_)
        offsets, rows = rows_per_cell(masks)
        # Voxels that the views mostly contradict do not speak for the place of their instance any more.
        drawn = relation.copy()
        for index, evidence in enumerate(instances):
            part = slice(int(bounds[index]), int(bounds[index + 1]))
            drawn[part][evidence.voxels.share() < configuration.min_support] = 0
        areas, shared, cells, slices = splat(
            bounds,
            drawn,
            pixel,
            distance,
            depth,
            stored.camera.width_px,
            stored.stride,
            configuration.voxel_size_m * stored.camera.fx,
            configuration.margin_m,
            offsets,
            rows,
            len(lifted),
        )
        return _View(instances, bounds, relation, pixel, distance, areas, shared, cells, slices)

    def _references(self, evidence: InstanceEvidence, but: int) -> list[int]:
        """Return keyframes in which an instance was seen, the last and others evenly spread before."""
        known = [item for item in sorted(evidence.claims) if item in self._keyframes and item != but]
        if len(known) <= REFERENCES:
            return known
        return [known[round(i * (len(known) - 1) / (REFERENCES - 1))] for i in range(REFERENCES)]

    def _ask_references(
        self, evidence: InstanceEvidence, keys: NDArray[np.int64], but: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return in how many earlier views of an instance (K,) voxels were seen inside and outside its mask."""
        configuration = self._configuration
        inside = np.zeros(len(keys), dtype=np.float32)
        outside = np.zeros(len(keys), dtype=np.float32)
        for keyframe_id in self._references(evidence, but):
            stored = self._keyframes[keyframe_id]
            count_inside(
                keys,
                stored.depth_mm,
                stored.intrinsics,
                stored.T_camera_map,
                evidence.claims[keyframe_id].mask(),
                stored.stride,
                configuration.voxel_size_m,
                configuration.margin_m,
                inside,
                outside,
                1.0,
            )
        return inside, outside

    def _overlaps(self, view: _View, lifted: list[_Lifted], stored: StoredKeyframe) -> NDArray[np.float64]:
        """Return (M, C) overlaps in [0, 1] over what both the instance's views and this one could see."""
        result = np.zeros((len(view.instances), len(lifted)))
        for m, c in zip(*np.nonzero(view.shared), strict=True):
            evidence, item = view.instances[m], lifted[c]
            both, area = int(view.shared[m, c]), int(view.areas[m])
            rest = item.cells - both
            plain = both / (area + rest)
            # The mask reaches beyond the instance: did the views of the instance see that part and leave it out?
            if both >= CLAIMED_SHARE * area and plain < SAME_VIEW_OVERLAP:
                new = item.keys[~evidence.voxels.contains(item.keys)]
                new = new[:: max(1, len(new) // SAMPLE_VOXELS)]
                inside, outside = self._ask_references(evidence, new, stored.id)
                seen_outside = int(np.count_nonzero(outside > inside))
                rest = rest * seen_outside / len(new) if len(new) else 0.0
            result[m, c] = both / (area + rest)
        return result

    def _scores(self, view: _View, lifted: list[_Lifted], overlaps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (M, C) scores for the assignment; -inf where the two cannot be the same."""
        configuration = self._configuration
        scores = np.full(overlaps.shape, -np.inf)
        for m, evidence in enumerate(view.instances):
            embedding = evidence.unit_embedding()
            label, confidence = evidence.label()
            for c, item in enumerate(lifted):
                geometry = float(overlaps[m, c])
                if min(item.extent_m, evidence.extent_m) < TINY_EXTENT_M:
                    geometry = max(geometry, self._closeness(evidence, item))
                if geometry < configuration.min_overlap:
                    continue
                candidate = item.candidate
                score = geometry
                if len(embedding) and len(embedding) == len(candidate.embedding):
                    score += EMBEDDING_WEIGHT * max(0.0, float(embedding @ candidate.embedding))
                if label and candidate.label:
                    agreement = 1.0 if label == candidate.label else -1.0
                    score += LABEL_WEIGHT * agreement * min(confidence, candidate.label_confidence)
                difference = np.abs(evidence.color - item.colors.mean(axis=0)).max() / 255.0
                scores[m, c] = score + COLOR_WEIGHT * (1.0 - float(difference))
        return scores

    def _closeness(self, evidence: InstanceEvidence, item: _Lifted) -> float:
        """Return how close the centres of two tiny things of like extent are, in [0, 1]."""
        larger = max(item.extent_m, evidence.extent_m)
        if larger >= TINY_EXTENT_M or min(item.extent_m, evidence.extent_m) < 0.5 * larger:
            return 0.0
        distance = float(np.linalg.norm(item.center - evidence.center))
        return max(0.0, 1.0 - distance / larger)

    def _fuse(self, candidates: CandidateSet, stored: StoredKeyframe) -> None:
        lifted = self._lift_all(candidates, stored)
        view = self._observe(lifted, stored)
        overlaps = self._overlaps(view, lifted, stored)
        scores = self._scores(view, lifted, overlaps)
        matches: dict[int, int] = {}  # candidate -> instance (indices)
        said_again: set[int] = set()  # candidates that add only words to an instance seen in this keyframe
        claimed = np.array([stored.id in evidence.claims for evidence in view.instances], dtype=bool)
        if claimed.any():
            for c, item in enumerate(lifted):
                best = int(np.argmax(scores[:, c]))
                if claimed[best] and overlaps[best, c] >= SAME_VIEW_OVERLAP:
                    said_again.add(c)
                    self._describe(view.instances[best], item, stored, candidates.instruction_id)
            scores[claimed] = -np.inf
        free = [c for c in range(len(lifted)) if c not in said_again]
        if free and len(view.instances):
            gain = np.where(np.isfinite(scores[:, free]), scores[:, free], 0.0)
            for m, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
                if np.isfinite(scores[m, free[column]]):
                    matches[free[column]] = int(m)
        self._vote(view, lifted, matches, said_again, stored, candidates.instruction_id)
        for c in free:
            if c not in matches:
                self._create(lifted[c], stored, candidates.instruction_id)
        self._note_pairs(view, overlaps, matches)
        self._merge()
        self._prune(stored.id)

    def _describe(self, evidence: InstanceEvidence, item: _Lifted, stored: StoredKeyframe, instruction_id: str) -> None:
        quality = min(1.0, item.cells / FULL_VIEW_CELLS)
        for candidate in (item.candidate, *item.also):
            # A candidate of score 0 was still seen: names never vanish, they only weigh little.
            evidence.describe(candidate, quality * max(candidate.score, 0.05), instruction_id)
        self._dirty.add(evidence.id)

    def _take(
        self,
        evidence: InstanceEvidence,
        item: _Lifted,
        stored: StoredKeyframe,
        instruction_id: str,
        known: NDArray[np.bool_],
    ) -> None:
        """Add the voxels and words of a candidate; ``known`` voxels have had their vote already."""
        _, _, distance = look_up(item.keys, stored, self._configuration.voxel_size_m, self._configuration.margin_m)
        weight = _view_weight(distance)
        hits = np.where(known, np.float32(0.0), weight)
        views = hits.copy()
        keys, colors = item.keys, item.colors
        new = ~known
        if evidence.claims and new.any():
            inside, outside = self._ask_references(evidence, keys[new], stored.id)
            hits[new] += inside
            views[new] += inside + outside
        room = self._configuration.max_instance_voxels - len(evidence.voxels.keys)
        if np.count_nonzero(new) > room:
            keep = known | (np.cumsum(new) <= room)
            keys, hits, views, colors, weight = keys[keep], hits[keep], views[keep], colors[keep], weight[keep]
        evidence.voxels.add(keys, hits, views, colors * weight[:, None], weight)
        log_odds = HIT_LOG_ODDS * 0.5 * (1.0 + item.candidate.score)
        evidence.see(stored.id, stored.stamp_ns, log_odds, Claim.of(item.grid))
        self._describe(evidence, item, stored, instruction_id)
        evidence.voxels.forget()
        evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)

    def _vote(
        self,
        view: _View,
        lifted: list[_Lifted],
        matches: dict[int, int],
        said_again: set[int],
        stored: StoredKeyframe,
        instruction_id: str,
    ) -> None:
        """Let the keyframe vote on the voxels and the existence of all instances that it can see."""
        matched = {m: c for c, m in matches.items()}
        label = np.zeros(stored.camera.width_px * stored.camera.height_px, dtype=np.bool_)
        for c, item in enumerate(lifted):
            if c not in said_again:
                label |= item.candidate.mask.ravel()
        for m, evidence in enumerate(view.instances):
            part = view.part(m)
            relation, pixel = view.relation[part], view.pixel[part]
            visible = relation == ON_SURFACE
            near = visible | (relation == NEAR_SURFACE)
            weight = _view_weight(view.distance[part])
            voxels = evidence.voxels
            if m in matched:
                item = lifted[matched[m]]
                own = np.zeros(len(relation), dtype=bool)
                own[near] = item.candidate.mask.ravel()[pixel[near]]
                other = np.zeros(len(relation), dtype=bool)
                other[near] = label[pixel[near]]
                lifted_now = np.isin(voxels.keys, item.keys, assume_unique=True)
                hit = (own & visible) | lifted_now
                voxels.hits[hit] += weight[hit]
                voxels.views[hit] += weight[hit]
                against = near & ~own & ~lifted_now
                voxels.views[against] += weight[against] * np.where(other[against], RIVAL_VOTE, GAP_VOTE)
                through = relation == SEEN_THROUGH
                voxels.views[through] += weight[through]
                self._take(evidence, item, stored, instruction_id, voxels.contains(item.keys))
                continue
            if stored.id in evidence.claims:
                continue
            through = relation == SEEN_THROUGH
            taken = np.zeros(len(relation), dtype=bool)
            taken[near] = label[pixel[near]]
            voxels.views[taken] += weight[taken] * SWALLOWED_VOTE
            voxels.views[through] += weight[through]
            if taken.any() or through.any():
                self._dirty.add(evidence.id)
                evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
            share = float(view.shared[m].sum()) / max(1, int(view.areas[m]))
            supported = voxels.share() >= self._configuration.min_support
            log_odds = _free_space_log_odds(relation[supported]) if supported.any() else 0.0
            if log_odds == 0.0 and instruction_id in evidence.instructions and share < CLAIMED_SHARE:
                good = np.count_nonzero(visible & supported) >= WELL_SEEN_SHARE * np.count_nonzero(supported)
                if good and view.areas[m] >= WELL_SEEN_CELLS:
                    log_odds = MISS_LOG_ODDS
            previous = evidence.votes.get(stored.id)
            if log_odds != 0.0 or previous is not None:
                worst = min(log_odds, previous.log_odds) if previous is not None and previous.answered else log_odds
                evidence.votes[stored.id] = Vote(worst, seen=False, answered=True)
                self._dirty.add(evidence.id)

    def _create(self, item: _Lifted, stored: StoredKeyframe, instruction_id: str) -> None:
        evidence = InstanceEvidence(self._next_id)
        self._next_id += 1
        self._take(evidence, item, stored, instruction_id, np.zeros(len(item.keys), dtype=np.bool_))
        self._evidence[evidence.id] = evidence
        newer = [keyframe for keyframe_id, keyframe in sorted(self._keyframes.items()) if keyframe_id > stored.id]
        self._look_for_free_space((evidence,), newer)
        while len(self._evidence) > self._configuration.max_instances:
            weakest = min(
                self._evidence.values(), key=lambda entry: (entry.existence(), entry.observations(), -entry.id)
            )
            self._remove(weakest.id)
            self._counts["pruned"] += 1

    def _remove(self, instance_id: int) -> None:
        del self._evidence[instance_id]
        self._dirty.add(instance_id)
        for pairs in (self._together, self._apart):
            for pair in [pair for pair in pairs if instance_id in pair]:
                del pairs[pair]

    # ---------------------------------------------------------------- merging and pruning

    def _note_pairs(self, view: _View, overlaps: NDArray[np.float64], matches: dict[int, int]) -> None:
        """Count views that cover two instances with one mask, and views that tell them apart."""
        seen = sorted(matches.values())
        for i, a in enumerate(seen):
            for b in seen[i + 1 :]:
                if view.instances[a].id in self._evidence and view.instances[b].id in self._evidence:
                    pair = _pair(view.instances[a].id, view.instances[b].id)
                    self._apart[pair] = self._apart.get(pair, 0) + 1
        for c, m in matches.items():
            for other in np.flatnonzero(overlaps[:, c] >= SAME_VIEW_OVERLAP):
                if other == m or other in seen or view.shared[other, c] < COVERED_SHARE * view.areas[other]:
                    continue
                if view.shared[m, c] < COVERED_SHARE * view.areas[m]:
                    continue
                pair = _pair(view.instances[m].id, view.instances[int(other)].id)
                self._together[pair] = self._together.get(pair, 0) + 1

    def _merge(self) -> None:
        """Merge pairs that are one instance, transitively; the older id survives."""
        while True:
            pair = self._pair_to_merge()
            if pair is None:
                return
            older, younger = pair
            evidence = self._evidence[older]
            evidence.absorb(self._evidence[younger])
            evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
            for pairs in (self._together, self._apart):
                for (a, b), count in list(pairs.items()):
                    if younger in (a, b) and older not in (a, b):
                        moved = _pair(older, b if a == younger else a)
                        pairs[moved] = pairs.get(moved, 0) + count
            self._remove(younger)
            self._dirty.add(older)
            self._counts["merged"] += 1

    def _pair_to_merge(self) -> tuple[int, int] | None:
        for pair in sorted(self._together):
            if self._together[pair] >= MERGE_VIEWS and self._together[pair] > 2 * self._apart.get(pair, 0):
                return pair
        changed = sorted(instance_id for instance_id in self._dirty if instance_id in self._evidence)
        for a in changed:
            first = self._evidence[a]
            for b in sorted(self._evidence):
                second = self._evidence[b]
                if a == b or (b in self._dirty and b < a) or self._apart.get(_pair(a, b), 0) >= MERGE_VIEWS:
                    continue
                reach = 0.5 * (first.extent_m + second.extent_m)
                if (np.abs(first.center - second.center) > reach).any():
                    continue
                if self._voxel_overlap(first, second) >= self._configuration.merge_overlap:
                    return _pair(a, b)
        return None

    def _voxel_overlap(self, a: InstanceEvidence, b: InstanceEvidence) -> float:
        """Return the intersection over union of the supported voxels on the coarser grid of the evidence."""
        smaller, larger = sorted((len(a.cells), len(b.cells)))
        if smaller == 0 or smaller < self._configuration.merge_overlap * larger:
            return 0.0
        both = len(np.intersect1d(a.cells, b.cells, assume_unique=True))
        return both / (smaller + larger - both)

    def _prune(self, keyframe_id: int) -> None:
        """Forget instances that do not exist any more or lost their voxels to the votes."""
        configuration = self._configuration
        for instance_id in sorted(self._dirty & set(self._evidence)):
            evidence = self._evidence[instance_id]
            if keyframe_id in evidence.claims:
                continue
            supported = int(np.count_nonzero(evidence.voxels.share() >= configuration.min_support))
            gone = evidence.existence(answered_only=True) < configuration.prune_existence
            if gone or supported < configuration.min_voxels:
                self._remove(instance_id)
                self._counts["pruned"] += 1

    # ---------------------------------------------------------------- publication

    def _publish(self) -> None:
        """Derive what is published from the evidence of everything that changed, and what it competes with."""
        if not self._dirty:
            return
        for instance_id in self._dirty:
            if instance_id in self._evidence:
                before = self._published.get(instance_id)
                self._published[instance_id] = self._derive(self._evidence[instance_id])
                if before is not None:
                    self._published[instance_id].instance = before.instance
        gone = {instance_id for instance_id in self._published if instance_id not in self._evidence}
        affected = {instance_id for instance_id in self._dirty if instance_id not in gone}
        for instance_id in sorted(self._dirty & set(self._published)):
            affected.update(self._rivals(instance_id))
        self._dirty.clear()
        revision = self._revision + 1
        changed = False
        for instance_id in sorted(gone):
            if self._published.pop(instance_id).instance is not None:
                changed = True
                self._note_removed(instance_id, revision)
        for instance_id in sorted(affected - gone):
            item = self._published[instance_id]
            before, item.instance = item.instance, self._assemble(instance_id)
            if item.instance is None and before is not None:
                changed = True
                self._note_removed(instance_id, revision)
            elif item.instance is not None and not _same(before, item.instance):
                changed = True
                self._changed_at[instance_id] = revision
                self._removed_at.pop(instance_id, None)
            else:
                item.instance = before
        if changed:
            self._revision = revision

    def _note_removed(self, instance_id: int, revision: int) -> None:
        self._changed_at.pop(instance_id, None)
        self._removed_at[instance_id] = revision
        while len(self._removed_at) > MAX_REMEMBERED_REMOVALS:
            _, at = self._removed_at.popitem(last=False)
            self._forgotten_removals = max(self._forgotten_removals, at)

    def _derive(self, evidence: InstanceEvidence) -> _Published:
        configuration = self._configuration
        voxels = evidence.voxels
        keep = voxels.share() >= configuration.min_support
        keys, support = voxels.keys[keep], voxels.support()[keep]
        colors = voxels.colors[keep] / np.maximum(voxels.color_weights[keep], np.float32(1e-9))[:, None]
        keys, firm = self._surfaces.snap(keys, configuration.voxel_size_m)
        keys, support, colors = keys[firm], support[firm], colors[firm]
        # Of voxels drawn to the same place the best supported speaks.
        order = np.lexsort((-support, keys))
        keys, support, colors = keys[order], support[order], colors[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = keys[1:] != keys[:-1]
        keys, support, colors = keys[first], support[first], colors[first]
        points = unpack(keys) * configuration.voxel_size_m
        empty = len(keys) == 0
        low = np.full(3, np.inf) if empty else points.min(axis=0)
        high = np.full(3, -np.inf) if empty else points.max(axis=0)
        return _Published(keys, support, colors, low, high, evidence.existence())

    def _rivals(self, instance_id: int) -> list[int]:
        item = self._published[instance_id]
        return [
            other_id
            for other_id, other in self._published.items()
            if other_id != instance_id and (item.low <= other.high).all() and (other.low <= item.high).all()
        ]

    def _assemble(self, instance_id: int) -> Instance | None:
        configuration = self._configuration
        evidence, item = self._evidence[instance_id], self._published[instance_id]
        if item.existence < configuration.publish_existence or len(item.keys) < configuration.min_voxels:
            return None
        keep = np.ones(len(item.keys), dtype=bool)
        for other_id in self._rivals(instance_id):
            other = self._published[other_id]
            if other.existence < configuration.publish_existence or len(other.keys) == 0:
                continue
            at = np.minimum(np.searchsorted(other.keys, item.keys), len(other.keys) - 1)
            same = other.keys[at] == item.keys
            stronger = other.support[at] > item.support
            if other_id < instance_id:
                stronger |= other.support[at] == item.support
            keep &= ~(same & stronger)
        keys, colors = item.keys[keep], item.colors[keep]
        body = without_flying_voxels(keys)
        keys, colors = keys[body], colors[body]
        if len(keys) < configuration.min_voxels or self._up is None:
            return None
        voxels = unpack(keys)
        voxel_colors = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
        points = voxels.astype(np.float32) * np.float32(configuration.voxel_size_m)
        label, confidence = evidence.label()
        total = sum(evidence.names.values())
        return Instance(
            id=instance_id,
            label=label,
            label_confidence=confidence,
            existence=item.existence,
            attributes=measure(
                points, voxel_colors, self._up, self._floor_height_m, supported_by=evidence.supported_by()
            ),
            box=oriented_box(points, self._up, 0.5 * configuration.voxel_size_m),
            voxel_size_m=configuration.voxel_size_m,
            voxels=voxels,
            voxel_colors=voxel_colors,
            first_seen_ns=evidence.first_seen_ns,
            last_seen_ns=evidence.last_seen_ns,
            observations=evidence.observations(),
            names={name: evidence.names[name] / total for name in sorted(evidence.names)} if total > 0 else {},
            embedding=evidence.unit_embedding(),
        )


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _view_weight(distance_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of a view of (N,) voxels at distances along the optical axis [m], in (0, 1]."""
    ratio = np.float32(FULL_VOTE_DEPTH_M) / np.maximum(distance_m, np.float32(FULL_VOTE_DEPTH_M))
    return ratio * ratio


def _free_space_log_odds(relation: NDArray[np.uint8]) -> float:
    """Return what it says about existence that a keyframe saw through some of (N,) voxels; 0 when it says nothing."""
    through = int(np.count_nonzero(relation == SEEN_THROUGH))
    there = int(np.count_nonzero((relation == ON_SURFACE) | (relation == NEAR_SURFACE)))
    if through < min(SEEN_THROUGH_VOXELS, len(relation)) or through < SEEN_THROUGH_SHARE * (through + there):
        return 0.0
    return SEEN_THROUGH_LOG_ODDS


def _same(before: Instance | None, after: Instance) -> bool:
    """Tell whether two states of an instance are the same to whoever receives them."""
    return (
        before is not None
        and before.label == after.label
        and before.existence == after.existence
        and before.observations == after.observations
        and before.label_confidence == after.label_confidence
        and before.names == after.names
        and before.last_seen_ns == after.last_seen_ns
        and np.array_equal(before.voxels, after.voxels)
        and np.array_equal(before.voxel_colors, after.voxel_colors)
        and np.array_equal(before.box.T_map_box, after.box.T_map_box)
        and repr(before.attributes) == repr(after.attributes)
    )
