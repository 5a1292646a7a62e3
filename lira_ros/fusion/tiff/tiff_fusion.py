"""LIRA's fusion as an engine of its own: fragments of nine keyframes, candidates compared by its network, one map.

A fragment is fused when all its keyframes are answered, or when the next one is full. What differs from the released
code: distances are those of the keyframes so far and not of a map made beforehand; candidates that come after their
fragment was fused are fused with it once more; the last fragment is fused although it has fewer keyframes (LIRA leaves
it out); the clean-up of the end of a scan is done for whatever is published; instructions share one map; and the
volume, which LIRA puts at a fixed height, is put upon the floor where that is known to be elsewhere. Instances are
published as the voxels of the map that lie in LIRA's, whose edge is 4 cm whatever that of the map's.

A corrected pose moves the voxels that its keyframe was the first of its fragment to see. The embeddings of instances
know where they were and are not made anew.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance, InstanceState, InstanceView
from lira_ros.fusion.engine import FusionError, FusionStatistics, Outcome
from lira_ros.fusion.instance_state import Pose, check_ids, check_origin, check_unit
from lira_ros.fusion.intake import Intake
from lira_ros.fusion.lifecycle import check_merged
from lira_ros.fusion.lifting import StoredKeyframe, pack, resampled, unpack
from lira_ros.fusion.method import Encode
from lira_ros.fusion.opinions import OpinionVotes
from lira_ros.fusion.tiff.candidates import FRAGMENT_KEYFRAMES, filled, text_of
from lira_ros.fusion.tiff.clean_up import cleaned
from lira_ros.fusion.tiff.fragment_volume import View
from lira_ros.fusion.tiff.global_map import BACKGROUND, FragmentInstances, FragmentVoxels, GlobalMap, InstanceRecord
from lira_ros.fusion.tiff.lifted_fragment import LEAST_CANDIDATE_VOXELS, LiftedFragment, lift_fragment
from lira_ros.fusion.tiff.nearest_lifting import grid_sample
from lira_ros.fusion.tiff.network import FragmentCandidates, Tiff
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import checked_transform, inverse
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.lira_volume import SIZE_VOXELS, SNAP_VOXELS, VOXEL_SIZE_M
from lira_ros.mapping.voxel import contained_in
from lira_ros.reasoning.color import color_deviation, color_shares
from lira_ros.reasoning.contracts import Candidate, CandidateSet, Opinion
from lira_ros.reasoning.measurement import measure
from lira_ros.state.columns import Array, StateError, adopt, from_bytes, to_bytes

# Maps stand upright as a rule; what is less than this is noise of the estimate, and no reason to turn the voxels.
_TURNED_DEG = 3.0
# The direction of gravity and the floor for what is measured of instances: changes below this do not show.
_UP_CHANGE = math.cos(math.radians(0.5))
_FLOOR_CHANGE_M = 0.01
# Corrections below a quarter of a voxel move no voxel to speak of.
_NOTICEABLE_M = 0.25 * VOXEL_SIZE_M
# Instances seen by one keyframe only are provisional.
_CONFIRMED_KEYFRAMES = 2

_STATE_NAME = "instances of fragments"  # what the bytes of a state say of themselves

_NO_MASK = np.zeros((0, 0), dtype=np.bool_)


@dataclass
class _Sighting:
    """What one candidate said; the map knows it by its number. Its mask is kept, on the grid, until it is fused."""

    keyframe_id: int
    stamp_ns: int
    candidate: Candidate
    text: str
    opinions: list[tuple[str, float, str]]  # instruction id, confidence, model


@dataclass
class _Fragment:
    """Keyframes in the order in which they came, and the numbers of the sightings that are still to be fused."""

    keyframes: list[StoredKeyframe] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    closed: bool = False
    fused: bool = False
    order: list[int] = field(default_factory=list)  # ids of its keyframes
    awaited: set[int] = field(default_factory=set)  # of these, those that a loaded state had and that come back

    STATE: ClassVar[dict[str, Any]] = {"order": list[int], "pending": list[int], "closed": bool, "fused": bool}

    def add(self, stored: StoredKeyframe) -> None:
        """Take a new keyframe, or one that is back, to its place."""
        if stored.id in self.awaited:
            self.awaited.discard(stored.id)
        else:
            self.order.append(stored.id)
        self.keyframes.append(stored)
        self.keyframes.sort(key=lambda item: self.order.index(item.id))

    def drop(self, keyframe_id: int) -> None:
        """Forget a keyframe."""
        self.order = [item for item in self.order if item != keyframe_id]
        self.awaited.discard(keyframe_id)
        self.keyframes = [item for item in self.keyframes if item.id != keyframe_id]


@dataclass(frozen=True)
class _Notes:
    """What is kept of the voxels of the map that keyframes show, by (M,) sorted keys.

    colors: (M, 3) float32. keyframe_ids: (M,) int64, of the newest fragment the first that shows it.
    """

    keys: NDArray[np.int64]
    colors: NDArray[np.float32]
    keyframe_ids: NDArray[np.int64]

    STATE: ClassVar[dict[str, Any]] = {
        "keys": Array("<i8", ("voxels",)),
        "colors": Array("<f4", ("voxels", 3)),
        "keyframe_ids": Array("<i8", ("voxels",)),
    }

    @classmethod
    def none(cls) -> _Notes:
        return cls(np.empty(0, np.int64), np.empty((0, 3), np.float32), np.empty(0, np.int64))

    def with_newer(self, other: _Notes) -> _Notes:
        """Return these with others in their place where both have a voxel."""
        kept = ~contained_in(self.keys, other.keys)
        keys = np.concatenate((self.keys[kept], other.keys))
        order = np.argsort(keys, kind="stable")
        colors = np.concatenate((self.colors[kept], other.colors))
        keyframe_ids = np.concatenate((self.keyframe_ids[kept], other.keyframe_ids))
        return _Notes(keys[order], colors[order], keyframe_ids[order])

    def taken(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> _Notes:
        return _Notes(self.keys[rows], self.colors[rows], self.keyframe_ids[rows])


@dataclass(frozen=True)
class _Source:
    """What a published instance was made of: the same makes the same again."""

    keys: NDArray[np.int64]
    sightings: int
    up: NDArray[np.float64]
    floor_height_m: float
    opinions: int
    merged_from: tuple[int, ...]

    def equals(self, other: _Source) -> bool:
        return (
            np.array_equal(self.keys, other.keys)
            and (self.sightings, self.opinions, self.merged_from)
            == (other.sightings, other.opinions, other.merged_from)
            and self.up is other.up
            and repr(self.floor_height_m) == repr(other.floor_height_m)
        )


@dataclass
class _TiffState:
    """All that is known; keyframes come back from the map."""

    method: str
    voxel_size_m: float
    map: GlobalMap
    notes: _Notes
    T_upright_map: NDArray[np.float64]
    fragments: list[_Fragment]
    intake: Intake
    corrected: dict[int, NDArray[np.float64]]
    poses: dict[int, NDArray[np.float64]]
    answered: dict[int, set[str]]
    sightings: list[_Sighting]
    looks: dict[int, dict[bytes, int]]
    ids: dict[int, int]
    next_id: int
    merged_into: dict[int, int]
    up: NDArray[np.float64]
    floor_height_m: float
    counts: dict[str, int]

    STATE: ClassVar[dict[str, Any]] = {
        "method": str,
        "voxel_size_m": float,
        "map": GlobalMap,
        "notes": _Notes,
        "T_upright_map": Pose,
        "fragments": list[_Fragment],
        "intake": Intake,
        "corrected": dict[int, Pose],
        "poses": dict[int, Pose],
        "answered": dict[int, set[str]],
        "sightings": list[_Sighting],
        "looks": dict[int, dict[bytes, int]],
        "ids": dict[int, int],
        "next_id": int,
        "merged_into": dict[int, int],
        "up": Array("<f8", (3,)),
        "floor_height_m": float,
        "counts": dict[str, int],
    }

    def check(self, configuration: FusionConfiguration) -> None:
        """Raise StateError when this is not of such a fusion, or contradicts itself."""
        check_origin(self.method, self.voxel_size_m, configuration)
        check_unit(self.up)
        for pose in (self.T_upright_map, *self.poses.values(), *self.corrected.values()):
            checked_transform(pose, "pose")
        for ids in (self.poses, self.corrected, self.answered, self.looks, *(item.order for item in self.fragments)):
            check_ids(ids)
        check_merged(self.merged_into)
        keys = self.notes.keys
        if len(keys) and (int(keys[0]) < 0 or not (keys[1:] > keys[:-1]).all()):
            raise StateError("voxel keys must not be negative, and must ascend")
        labels = set(np.unique(self.map.labels).tolist()) - {BACKGROUND}
        if (
            not labels <= self.ids.keys() <= self.map.records.keys()
            or max(self.ids.values(), default=0) >= self.next_id
        ):
            raise StateError("labels of the map: expected a record and an id for each")
        if not np.isin(pack(self.map.coordinates[self.map.labels != BACKGROUND]), keys).all():
            raise StateError("voxels of instances: expected a colour for each")
        numbers = {number for fragment in self.fragments for number in fragment.pending}
        numbers |= {number for looks in self.looks.values() for number in looks.values()}
        for record in self.map.records.values():
            if not record.target_ids or len(record.texts) != len(record.target_ids) or record.count < 1:
                raise StateError("an instance was never seen")
            numbers |= set(record.target_ids)
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self.sightings):
            raise StateError(f"sightings: expected {max(numbers) + 1}, found {len(self.sightings)}")


class TiffFusion:
    """Fuses candidate sets with their fragments by LIRA's network; see fusion.engine.FusionEngine.

    network: in evaluation mode. encode: the text feature of colour and class.
    """

    def __init__(self, configuration: FusionConfiguration, network: Tiff, encode: Encode) -> None:
        self._configuration = configuration
        self._network = network
        self._encode = encode
        self._device = next(network.parameters()).device
        self._start(revision=0)

    def _start(self, revision: int) -> None:
        self._revision = revision
        self._map = GlobalMap()
        self._notes = _Notes.none()
        self._T_upright_map = np.eye(4)
        self._fragments: list[_Fragment] = []
        self._place: dict[int, _Fragment] = {}  # by keyframe id
        self._keyframes: OrderedDict[int, StoredKeyframe] = OrderedDict()
        self._intake = Intake(self._configuration)
        self._corrected: dict[int, NDArray[np.float64]] = {}  # told before the keyframe itself came
        self._poses: dict[int, NDArray[np.float64]] = {}
        self._answered: dict[int, set[str]] = {}
        self._sightings: list[_Sighting] = []
        self._looks: dict[int, dict[bytes, int]] = {}  # numbers of sightings by keyframe id and mask
        self._ids: dict[int, tuple[InstanceRecord, int]] = {}  # published id by label of the map
        self._next_id = 1
        self._merged_into: dict[int, int] = {}
        self._published: dict[int, tuple[_Source, Instance]] = {}
        self._changed = False
        self._up = np.array([0.0, 0.0, 1.0])  # REP-103, until the first keyframe tells
        self._floor_height_m = float("nan")
        self._counts = Counter[str]()

    # ---------------------------------------------------------------- input

    def add_keyframe(self, keyframe: Keyframe) -> tuple[Outcome | FusionError, ...]:
        """Keep a keyframe, and take up the candidate sets that waited for it; see FusionEngine."""
        if not self._intake.takes(keyframe, self._keyframes.get(keyframe.id)):
            return ()
        stored = StoredKeyframe(keyframe)
        if keyframe.id in self._place:  # of a state that was loaded
            told = stored.T_map_camera
            stored.place(self._poses.setdefault(stored.id, told))
            self._keyframes[keyframe.id] = stored
            self._place[keyframe.id].add(stored)
            self.correct_poses({stored.id: told}, {})
        else:
            corrected = self._corrected.pop(keyframe.id, None)
            if corrected is not None:
                stored.place(corrected)
            self._keyframes[keyframe.id] = stored
            self._poses[keyframe.id] = stored.T_map_camera
            self._take_gravity(stored)
            if not self._fragments or self._fragments[-1].closed:
                self._fragments.append(_Fragment())
            self._place[keyframe.id] = self._fragments[-1]
            self._fragments[-1].add(stored)
        fragment = self._place[keyframe.id]
        outcomes: list[Outcome | FusionError] = []
        for candidates in self._intake.waited_for(keyframe.id):
            try:
                outcomes.append(self._take(candidates, stored))
            except FusionError as error:
                outcomes.append(error)
        if len(fragment.order) == FRAGMENT_KEYFRAMES and not fragment.awaited:
            fragment.closed = True
            self._fuse_all(self._fragments[: self._fragments.index(fragment)])
            self._fuse_if_answered(fragment)
        self._keep_to_bounds()
        return tuple(outcomes)

    def add_candidates(self, candidates: CandidateSet) -> Outcome:
        """Take up the answer of a reasoner, or let it wait for its keyframe; see FusionEngine."""
        self._intake.check_ids(candidates)
        answered = self._answered.get(candidates.keyframe_id, ())
        if candidates.instruction_id in answered or self._intake.is_waiting(candidates):
            self._counts["repeated"] += 1
            return Outcome.REPEATED
        stored = self._keyframes.get(candidates.keyframe_id)
        if stored is not None:
            outcome = self._take(candidates, stored)
            self._fuse_if_answered(self._place[stored.id])
            return outcome
        return self._intake.wait(candidates)

    def add_fragment(self, fragment: Fragment) -> None:
        """Do nothing: LIRA's fragments are made of keyframes, and its voxels are not drawn to the map's surface."""

    def correct_poses(
        self,
        keyframe_poses: Mapping[int, NDArray[np.float64]],
        fragment_poses: Mapping[int, tuple[int, NDArray[np.float64]]],
    ) -> int:
        """Move keyframes, and each voxel with the keyframe that saw it first; return how many instances moved."""
        motions: dict[int, NDArray[np.float64]] = {}
        for keyframe_id, T_map_camera in keyframe_poses.items():
            before = self._poses.get(keyframe_id)
            if before is None:
                self._corrected[keyframe_id] = T_map_camera
                continue
            motion = T_map_camera @ inverse(before)
            moved_m = float(np.linalg.norm(T_map_camera[:3, 3] - before[:3, 3]))
            turned_m = Rotation.from_matrix(motion[:3, :3]).magnitude() * SIZE_VOXELS * VOXEL_SIZE_M
            if moved_m + turned_m > _NOTICEABLE_M:
                motions[keyframe_id] = motion
                self._poses[keyframe_id] = T_map_camera
                if keyframe_id in self._keyframes:
                    self._keyframes[keyframe_id].place(T_map_camera)
        T = self._T_upright_map
        return self._move({key: T @ motion @ inverse(T) for key, motion in motions.items()})

    def forget_places(self, keyframe_ids: Collection[int], fragment_ids: Collection[int]) -> int:
        """Forget the voxels that these keyframes saw first; return how many instances went."""
        before = set(np.unique(self._map.labels).tolist())
        self._intake.clear(keyframe_ids)
        for keyframe_id in keyframe_ids:
            self._poses.pop(keyframe_id, None)
            self._corrected.pop(keyframe_id, None)
            self._drop(keyframe_id)
        gone = self._notes.keys[np.isin(self._notes.keyframe_ids, np.array(sorted(keyframe_ids), dtype=np.int64))]
        kept = ~np.isin(pack(self._map.coordinates), gone)
        self._map.coordinates = self._map.coordinates[kept]
        self._map.tsdf = self._map.tsdf[kept]
        self._map.labels = self._map.labels[kept]
        self._notes = self._notes.taken(~contained_in(self._notes.keys, gone))
        self._changed = True
        return len(before - set(np.unique(self._map.labels).tolist()) - {BACKGROUND})

    def forget_answers(self, instruction_id: str) -> None:
        """Let an instruction that is gone be answered anew when its id is used again; instances stay, opinions go."""
        for instructions in self._answered.values():
            instructions.discard(instruction_id)
        for sighting in self._sightings:
            sighting.opinions = [opinion for opinion in sighting.opinions if opinion[0] != instruction_id]
        self._published.clear()
        self._changed = True

    def finish(self) -> None:
        """Fuse all fragments, the last one although it is not full: what LIRA leaves out."""
        if self._fragments:
            self._fragments[-1].closed = True
            self._fuse_all(self._fragments)

    def reset(self) -> None:
        """Forget everything; ``revision`` goes on."""
        self._start(self.revision + 1)

    # ---------------------------------------------------------------- state

    def export_state(self) -> bytes:
        """Return all that is known as bytes; see FusionEngine."""
        self._publish()
        state = _TiffState(
            method=self._configuration.method,
            voxel_size_m=self._configuration.voxel_size_m,
            map=self._map,
            notes=self._notes,
            T_upright_map=self._T_upright_map,
            fragments=self._fragments,
            intake=self._intake,
            corrected=self._corrected,
            poses=self._poses,
            answered=self._answered,
            sightings=self._sightings,
            looks=self._looks,
            ids={label: found for label, (record, found) in self._ids.items() if self._map.records[label] is record},
            next_id=self._next_id,
            merged_into=self._merged_into,
            up=self._up,
            floor_height_m=self._floor_height_m,
            counts=dict(self._counts),
        )
        return to_bytes(state, _TiffState, _STATE_NAME)

    def import_state(self, data: bytes) -> None:
        """Go on from what export_state() gave; see FusionEngine."""
        state: _TiffState = from_bytes(data, _TiffState, _STATE_NAME)
        try:
            state.check(self._configuration)
        except StateError:
            raise
        except ValueError as error:
            raise StateError(f"{_STATE_NAME}: {error}") from error
        self._start(self.revision + 1)
        self._map, self._notes, self._T_upright_map = state.map, state.notes, state.T_upright_map
        for fragment in state.fragments:
            self._fragments.append(fragment)
            fragment.awaited = set(fragment.order)
            self._place |= dict.fromkeys(fragment.order, fragment)
        adopt(self._intake, state.intake)
        self._corrected, self._poses = state.corrected, state.poses
        self._answered, self._sightings, self._looks = state.answered, state.sightings, state.looks
        self._ids = {label: (self._map.records[label], found) for label, found in state.ids.items()}
        self._next_id, self._merged_into = state.next_id, state.merged_into
        self._up, self._floor_height_m, self._counts = state.up, state.floor_height_m, Counter(state.counts)
        self._changed = True

    # ---------------------------------------------------------------- output

    @property
    def revision(self) -> int:
        """Return the revision of the published instances, +1 whenever any of them changed."""
        self._publish()
        return self._revision

    def instances(self) -> tuple[Instance, ...]:
        """Return the published instances by ascending id, without verdicts."""
        self._publish()
        return tuple(self._published[instance_id][1] for instance_id in sorted(self._published))

    def merged_into(self) -> dict[int, int]:
        """Return the id that goes on, by the id of every instance whose last voxels another one took."""
        return {younger: self._survivor(younger) for younger in self._merged_into}

    def views(self, instance_id: int, count: int) -> tuple[InstanceView, ...]:
        """Return nothing, for LIRA keeps no pictures; raises KeyError for an unknown id."""
        self._publish()
        if self._survivor(instance_id) not in self._published:
            raise KeyError(instance_id)
        return ()

    def statistics(self) -> FusionStatistics:
        """Return what is kept and what was refused so far. fragments: those that were fused."""
        instances = self.instances()
        labels = len(np.unique(self._map.labels[self._map.labels != BACKGROUND]))
        return FusionStatistics(
            instances=labels,
            published=len(instances),
            voxels=len(self._map.labels),
            keyframes=len(self._keyframes),
            keyframe_bytes=self._keyframe_bytes(),
            fragments=self._counts["fragments"],
            waiting=self._intake.waiting + sum(len(fragment.pending) for fragment in self._fragments),
            fused=self._counts["fused"],
            repeated=self._counts["repeated"],
            candidates_too_small=self._counts["too small"],
            candidates_doubtful=self._counts["doubtful"],
            instances_merged=len(self._merged_into),
            instances_split=0,
            instances_moved=0,
            instances_pruned=labels - len(instances),
            refused=dict(self._intake.refused),
            last_refusal=self._intake.last_refusal,
        )

    # ---------------------------------------------------------------- keyframes and answers

    def _keyframe_bytes(self) -> int:
        return sum(stored.nbytes for stored in self._keyframes.values())

    def _take_gravity(self, stored: StoredKeyframe) -> None:
        floor = stored.floor_height_m
        same_floor = (math.isnan(floor) and math.isnan(self._floor_height_m)) or (
            abs(floor - self._floor_height_m) <= _FLOOR_CHANGE_M
        )
        if float(np.dot(self._up, stored.up)) < _UP_CHANGE or not same_floor:
            self._up, self._floor_height_m = stored.up, floor
            self._changed = True

    def _take(self, candidates: CandidateSet, stored: StoredKeyframe) -> Outcome:
        self._intake.check(candidates, stored)
        fragment = self._place[stored.id]
        looks = self._looks.setdefault(stored.id, {})
        for candidate in candidates.candidates:
            # A back end that looks first and reads the instruction then shows all instructions the same masks.
            digest = hashlib.blake2b(np.packbits(candidate.mask).tobytes(), digest_size=16).digest()
            number = looks.get(digest)
            # Until its fragment is fused, a new candidate changes nothing that is published.
            self._changed |= fragment.fused or number is not None
            if number is None:
                number = looks[digest] = len(self._sightings)
                kept = replace(candidate, mask=grid_sample(candidate.mask))
                sighting = _Sighting(stored.id, stored.stamp_ns, kept, text_of(candidate), [])
                self._sightings.append(sighting)
                fragment.pending.append(number)
            self._sightings[number].opinions.append(
                (candidates.instruction_id, candidate.target_confidence, candidates.model)
            )
        self._answered.setdefault(stored.id, set()).add(candidates.instruction_id)
        self._counts["fused"] += 1
        return Outcome.FUSED

    def _keep_to_bounds(self) -> None:
        maximum_bytes = self._configuration.max_keyframe_mib << 20
        while len(self._keyframes) > self._configuration.max_keyframes or (
            len(self._keyframes) > 1 and self._keyframe_bytes() > maximum_bytes
        ):
            oldest = next(iter(self._keyframes))
            # What is to be forgotten takes part first, and what has already taken part may go one by one.
            self._fuse_all([self._place[oldest]])
            self._drop(oldest)
            self._intake.forget(oldest)
            for older in [key for key in self._place if key < oldest]:
                self._drop(older)

    def _drop(self, keyframe_id: int) -> None:
        """Forget a keyframe and what of its candidates was not fused."""
        self._keyframes.pop(keyframe_id, None)
        self._looks.pop(keyframe_id, None)
        self._answered.pop(keyframe_id, None)
        fragment = self._place.pop(keyframe_id, None)
        if fragment is None:
            return
        fragment.drop(keyframe_id)
        fragment.pending = [number for number in fragment.pending if self._sightings[number].keyframe_id != keyframe_id]
        if not fragment.order and fragment.closed:
            self._fragments.remove(fragment)

    # ---------------------------------------------------------------- fusion

    def _fuse_if_answered(self, fragment: _Fragment) -> None:
        """Fuse a full fragment once every instruction that any of its keyframes answered has an answer of each."""
        if not fragment.closed or fragment.fused:
            return
        answers = [self._answered.get(stored.id, set()) for stored in fragment.keyframes]
        if all(answers) and all(answer == answers[0] for answer in answers):
            self._fuse_all([fragment])

    def _fuse_all(self, fragments: Iterable[_Fragment]) -> None:
        """Fuse what was not fused yet of fragments, in order."""
        for fragment in fragments:
            if fragment.keyframes and not fragment.awaited and (fragment.pending or not fragment.fused):
                self._fuse(fragment)

    def _fuse(self, fragment: _Fragment) -> None:
        self._stand_upright(fragment.keyframes[-1].up)
        floor_m = fragment.keyframes[-1].floor_height_m
        # Whole steps of LIRA's grid: a floor near 0, as in ScanNet, changes nothing.
        step_m = SNAP_VOXELS * VOXEL_SIZE_M
        floor_voxels = 0 if math.isnan(floor_m) else round(floor_m / step_m) * SNAP_VOXELS
        lift_m = np.array([0.0, 0.0, floor_voxels * VOXEL_SIZE_M])
        lifted = lift_fragment([self._view(stored, lift_m) for stored in fragment.keyframes])
        rows = {stored.id: row for row, stored in enumerate(fragment.keyframes)}
        numbers, masks = [], []
        for number in fragment.pending:
            sighting = self._sightings[number]
            mask = lifted.lift(sighting.candidate.mask, rows[sighting.keyframe_id])
            sighting.candidate = replace(sighting.candidate, mask=_NO_MASK)
            if np.count_nonzero(mask) < LEAST_CANDIDATE_VOXELS:
                self._counts["too small"] += 1
                continue
            numbers.append(number)
            masks.append(mask)
        fragment.pending = []
        fragment.fused = True
        self._counts["fragments"] += 1
        self._put(lifted, floor_voxels, numbers, masks)
        self._note(lifted, floor_voxels, [stored.id for stored in fragment.keyframes])
        self._changed = True

    def _view(self, stored: StoredKeyframe, lift_m: NDArray[np.float64]) -> View:
        T = self._T_upright_map @ stored.T_map_camera
        T[:3, 3] -= lift_m
        return View(stored.depth_m(), stored.color, stored.camera, T)

    def _put(
        self, lifted: LiftedFragment, floor_voxels: int, numbers: list[int], masks: list[NDArray[np.bool_]]
    ) -> None:
        volume = lifted.volume
        network = self._network
        texts = [filled(self._encode(self._sightings[number].text), network.text_length) for number in numbers]
        shape = (len(numbers), len(volume.tsdf))
        stacked = np.array(masks, dtype=np.bool_).reshape(shape)
        with torch.inference_mode():
            said = network(
                FragmentCandidates(
                    torch.from_numpy(volume.coordinates),
                    torch.from_numpy(volume.origin_voxels),
                    torch.from_numpy(filled(lifted.surface_features(), network.feature_length)),
                    torch.from_numpy(stacked),
                    torch.from_numpy(np.array(texts, dtype=np.float32).reshape(-1, network.text_length)),
                ).to(self._device)
            )
            confidences = said.confidences.cpu().numpy()
            embeddings = said.embeddings.cpu().numpy()
        chosen = np.flatnonzero(confidences >= np.float32(self._configuration.tiff.min_confidence))
        self._counts["doubtful"] += len(numbers) - len(chosen)
        origin = volume.origin_voxels + np.array([0, 0, floor_voxels])
        before = self._map.labels_within(origin)
        matching = self._map.fuse(
            FragmentVoxels(volume.coordinates, volume.tsdf, origin),
            FragmentInstances(
                embeddings[chosen],
                stacked[chosen],
                confidences[chosen],
                tuple(self._sightings[numbers[row]].text for row in chosen),
                tuple(numbers[row] for row in chosen),
            ),
        )
        ids = {label: self._ids[label][1] for label in before}
        self._name_instances()
        if matching is not None:
            there = set(np.unique(self._map.labels).tolist())
            clusters = matching.clusters[: len(before)]
            for place, label in enumerate(before):
                first = before[int(np.flatnonzero(clusters == clusters[place])[0])]
                if label not in there and first != label:
                    self._merged_into[ids[label]] = ids[first]

    def _name_instances(self) -> None:
        """Give an id to each label of the map; a label that was given out again is another instance."""
        for label in np.unique(self._map.labels[self._map.labels != BACKGROUND]).tolist():
            record = self._map.records[label]
            if label not in self._ids or self._ids[label][0] is not record:
                self._ids[label] = (record, self._next_id)
                self._next_id += 1

    def _note(self, lifted: LiftedFragment, floor_voxels: int, keyframe_ids: list[int]) -> None:
        seen = lifted.seen
        shown = np.flatnonzero(seen.any(axis=0))
        places = (lifted.volume.coordinates + lifted.volume.origin_voxels)[shown] + np.array([0, 0, floor_voxels])
        first = np.array(keyframe_ids, dtype=np.int64)[np.argmax(seen[:, shown], axis=0)]
        self._notes = self._notes.with_newer(_Notes(pack(places), lifted.colors[shown], first))

    # ---------------------------------------------------------------- moving

    def _stand_upright(self, up: NDArray[np.float64]) -> None:
        """Turn the frame of the voxels so that z is up, when gravity is found to point elsewhere."""
        T = self._T_upright_map
        if float(np.dot(T[2, :3], up)) >= math.cos(math.radians(_TURNED_DEG)):
            return
        upright = np.eye(4)
        upright[:3, :3] = _turn_to_z(up)
        motion = upright @ inverse(T)
        self._T_upright_map = upright
        self._move({int(keyframe_id): motion for keyframe_id in np.unique(self._notes.keyframe_ids)})

    def _move(self, motions: Mapping[int, NDArray[np.float64]]) -> int:
        """Move the voxels of keyframes within the upright frame by (4, 4) motions; return how many instances moved.

        Of voxels that come to lie in one place that of the newest keyframe stays. Where the surface was nobody knows
        of any more.
        """
        moving = np.isin(self._notes.keyframe_ids, np.array(sorted(motions), dtype=np.int64))
        if not moving.any():
            return 0
        keys = pack(self._map.coordinates)
        order = np.argsort(keys)
        labels, tsdf = self._map.labels[order], self._map.tsdf[order]
        own = self._notes.taken(moving)
        row = np.minimum(np.searchsorted(keys, own.keys, sorter=order), len(keys) - 1)
        there = keys[order][row] == own.keys
        own, row = own.taken(there), row[there]
        label_of, tsdf_of = labels[row], tsdf[row]
        stays = ~np.isin(keys, own.keys)
        pieces = [(keys[stays], self._map.labels[stays], self._map.tsdf[stays])]
        notes = self._notes.taken(~moving)
        for keyframe_id in np.unique(own.keyframe_ids).tolist():
            part = np.flatnonzero(own.keyframe_ids == keyframe_id)
            new, old = resampled(own.keys[part], motions[keyframe_id], VOXEL_SIZE_M)
            rows = part[old]
            pieces.append((new, label_of[rows], tsdf_of[rows]))
            notes = notes.with_newer(_Notes(new, own.colors[rows], own.keyframe_ids[rows]))
        everything = [np.concatenate(column)[::-1] for column in zip(*pieces, strict=True)]
        unique, first = np.unique(everything[0], return_index=True)
        self._map.coordinates = unpack(unique).astype(np.int64)
        self._map.labels = everything[1][first]
        self._map.tsdf = everything[2][first]
        self._notes = notes
        self._changed = True
        return len(np.unique(label_of[label_of != BACKGROUND]))

    # ---------------------------------------------------------------- publication

    def _survivor(self, instance_id: int) -> int:
        while instance_id in self._merged_into:
            instance_id = self._merged_into[instance_id]
        return instance_id

    def _publish(self) -> None:
        if not self._changed:
            return
        self._changed = False
        # Answers that came late are fused when somebody wants to know, all of a fragment at once.
        self._fuse_all([fragment for fragment in self._fragments if fragment.fused])
        self._changed = False
        labels = cleaned(self._map.coordinates, self._map.labels)
        published: dict[int, tuple[_Source, Instance]] = {}
        for label in np.unique(labels[labels != BACKGROUND]).tolist():
            record, instance_id = self._ids[label]
            published[instance_id] = self._assembled(instance_id, record, self._map.coordinates[labels == label])
        before = {instance_id: instance for instance_id, (_, instance) in self._published.items()}
        if before.keys() != published.keys() or any(before[key] is not published[key][1] for key in before):
            self._revision += 1
        self._published = published

    def _assembled(
        self, instance_id: int, record: InstanceRecord, coordinates: NDArray[np.int64]
    ) -> tuple[_Source, Instance]:
        """Return an instance of voxels (N, 3), the same object as before where nothing of it changed."""
        voxel_size_m = self._configuration.voxel_size_m
        own = np.sort(pack(coordinates))
        keys, origin = onto_grid(own, self._T_upright_map, voxel_size_m)
        row = np.searchsorted(self._notes.keys, own)[origin]
        sightings = [self._sightings[number] for number in dict.fromkeys(record.target_ids)]
        source = _Source(
            keys,
            record.count,
            self._up,
            self._floor_height_m,
            sum(len(sighting.opinions) for sighting in sightings),
            tuple(sorted(gone for gone in self._merged_into if self._survivor(gone) == instance_id)),
        )
        before = self._published.get(instance_id)
        if before is not None and before[0].equals(source):
            return before
        voxels = unpack(keys)
        colors = np.rint(self._notes.colors[row]).astype(np.uint8)
        points_m = voxels.astype(np.float32) * np.float32(voxel_size_m)
        keyframes = len({sighting.keyframe_id for sighting in sightings})
        names = Counter(sighting.candidate.label for sighting in sightings)
        label = next(sighting.candidate.label for sighting in sightings if sighting.text == record.text)
        held = Counter(filter(None, (sighting.candidate.attributes.supported_by for sighting in sightings)))
        supported_by = held.most_common(1)[0][0] if held else ""
        instance = Instance(
            id=instance_id,
            label=label,
            label_confidence=names[label] / len(sightings) if label else 0.0,
            existence=min(1.0, float(record.score)),
            attributes=measure(points_m, colors, self._up, self._floor_height_m, supported_by=supported_by),
            box=oriented_box(points_m, self._up, 0.5 * voxel_size_m),
            voxel_size_m=voxel_size_m,
            voxels=voxels,
            voxel_colors=colors,
            first_seen_ns=min(sighting.stamp_ns for sighting in sightings),
            last_seen_ns=max(sighting.stamp_ns for sighting in sightings),
            observations=keyframes,
            names={name: count / len(sightings) for name, count in sorted(names.items()) if name},
            embedding=_mean_embedding([sighting.candidate.embedding for sighting in sightings]),
            opinions=_opinions(sightings),
            state=InstanceState.CONFIRMED if keyframes >= _CONFIRMED_KEYFRAMES else InstanceState.PROVISIONAL,
            looks=float(keyframes),
            colors=color_shares(colors),
            color_deviation=color_deviation(colors),
            merged_from=source.merged_from,
        )
        return source, instance


def _mean_embedding(embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of the embeddings as long as the first at unit length, (0,) where none has a length."""
    total = np.sum([item for item in embeddings if len(item) == len(embeddings[0])], axis=0, dtype=np.float64)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length, dtype=np.float32) if length > 0 else np.zeros(0, dtype=np.float32)


def _opinions(sightings: Sequence[_Sighting]) -> dict[str, Opinion]:
    """Return what models that read an instruction think, by its id; their silence about a view is not counted."""
    votes: dict[str, OpinionVotes] = {}
    for sighting in sightings:
        for instruction_id, confidence, model in sighting.opinions:
            of_instruction = votes.setdefault(instruction_id, OpinionVotes())
            of_instruction.name(sighting.keyframe_id, confidence, sighting.candidate.score, model)
    found = {instruction_id: item.opinion() for instruction_id, item in sorted(votes.items())}
    return {instruction_id: opinion for instruction_id, opinion in found.items() if opinion is not None}


def onto_grid(
    keys: NDArray[np.int64], T_upright_map: NDArray[np.float64], voxel_size_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (M,) sorted keys of the voxels of a map of ``voxel_size_m`` that lie in LIRA's, and in which of them.

    keys: (N,) sorted, of LIRA's voxels. T_upright_map: (4, 4), a turn. A voxel of the map lies in that of LIRA's whose
    centre is nearest to its own.
    """
    turn = T_upright_map[:3, :3]
    scale = VOXEL_SIZE_M / voxel_size_m
    # From the centre of a voxel to its side, or to its corner where its sides are not those of the map's voxels.
    aligned = bool((np.abs(turn) > 1.0 - 1e-9).any(axis=1).all())
    reach = math.ceil(0.5 * scale * (1.0 if aligned else math.sqrt(3.0)))
    steps = np.arange(-reach, reach + 1)
    around = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = np.rint(unpack(keys) * scale @ turn).astype(np.int64)
    targets = np.unique(pack((centres[:, None] + around).reshape(-1, 3)))
    origins = pack(np.floor(unpack(targets) @ turn.T / scale + 0.5).astype(np.int64))
    found = contained_in(origins, keys)
    return targets[found], np.searchsorted(keys, origins[found])


def _turn_to_z(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3, 3) shortest turn that takes a unit vector to +z."""
    z = np.array([0.0, 0.0, 1.0])
    axis = np.cross(up, z)
    sine, cosine = float(np.linalg.norm(axis)), float(up[2])
    if sine == 0.0:
        return np.diag([1.0, 1.0, 1.0]) if cosine > 0 else np.diag([1.0, -1.0, -1.0])
    return Rotation.from_rotvec(axis / sine * math.atan2(sine, cosine)).as_matrix()
