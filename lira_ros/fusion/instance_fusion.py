"""Candidates of keyframes become instances with one identity over time.

A candidate set is fused when its keyframe is there, whichever comes first. Its masks are lifted into voxels and
matched one to one with the instances that the keyframe can see, over what both could see: the part of an
instance that is visible now, and the part of a candidate that was visible when the instance was seen before. So
a partial view joins its whole, and a mask that swallows several things joins none of them for good. Every view
votes for and against voxels, every voxel goes to the instance with the best support, and whole and parts
compete by how many views say so.

What a model that read the instruction thinks of an instance is voted by the views too, see opinions.py.

A corrected pose of a keyframe moves the voxels that it was the first to see, so instances follow their fragments.

What depends on the order of arrival: ids are given in the order in which sets are fused, and a set is matched
with the instances known at that time. Equal sequences of sets give equal maps, whenever their keyframes and
fragments come. Existence is added up in sensor order and does not depend on arrival.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lira_ros.fusion.absence import free_space_log_odds, shows_another_surface
from lira_ros.fusion.answers import Answers
from lira_ros.fusion.association import (
    CLAIMED_SHARE,
    SAMPLE_VOXELS,
    WELL_SEEN_CELLS,
    WELL_SEEN_SHARE,
    Association,
    LiftedCandidate,
)
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance, InstanceView
from lira_ros.fusion.engine import FusionError, FusionStatistics, Outcome, Refusal
from lira_ros.fusion.evidence import (
    MISS_LOG_ODDS,
    SEEN_THROUGH_LOG_ODDS,
    SWALLOWED_LOG_ODDS,
    Claim,
    InstanceEvidence,
)
from lira_ros.fusion.existence import Vote
from lira_ros.fusion.instance_state import InstanceFusionState, Looks, Reading
from lira_ros.fusion.intake import Intake
from lira_ros.fusion.lifecycle import Lifecycle
from lira_ros.fusion.lifting import NEAR_SURFACE, ON_SURFACE, SEEN_THROUGH, StoredKeyframe, look_up
from lira_ros.fusion.method import SMALLEST_SCORE, MakeMethod, Meeting, method_maker, view_weight
from lira_ros.fusion.publication import Publication
from lira_ros.fusion.surface import FragmentSurfaces
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.fragment import Fragment
from lira_ros.reasoning.contracts import CandidateSet
from lira_ros.state.columns import StateError, adopt, from_bytes, to_bytes

# An instance that was not matched but lies in the mask of another may have been swallowed, which is the commoner
# fault of the two: half a vote against.
SWALLOWED_VOTE = 0.5

# A candidate that is more likely nothing than this does not begin an instance (log-odds; 0.3).
DOUBTFUL_LOG_ODDS = math.log(0.3 / 0.7)
# A mask with this many grid cells shows as much as a view can; fewer give the name less weight.
FULL_VIEW_CELLS = 500

# Attributes and boxes turn with the direction of gravity; smaller changes than these are estimation noise.
UP_CHANGE = np.cos(np.radians(0.5))
FLOOR_CHANGE_M = 0.01


# What the bytes of a state say of themselves.
STATE_NAME = "instances of keyframes"
# Sizes of voxels that agree to float32, as messages carry them, are the same.
VOXEL_SIZE_TOLERANCE = 1e-5

# Corrections of poses that move nothing in view by more than this part of a voxel change no voxel to speak of.
NOTICEABLE_VOXELS = 0.25


class InstanceFusion:
    """Fuses candidate sets, keyframes and fragments into instances. Not thread-safe: it has one owner."""

    def __init__(self, configuration: FusionConfiguration, make_method: MakeMethod | None = None) -> None:
        """make_method: how the method is made; by default what the configuration names, without an encoder."""
        self._configuration = configuration
        self._make_method = make_method or method_maker(configuration)
        self._start(revision=0)

    def _start(self, revision: int) -> None:
        configuration = self._configuration
        self._evidence: dict[int, InstanceEvidence] = {}
        self._dirty: set[int] = set()  # changed by the input that is being taken up
        self._unpublished: set[int] = set()  # changed since instances were asked for
        self._keyframes: OrderedDict[int, StoredKeyframe] = OrderedDict()
        self._intake = Intake(configuration)
        self._poses: dict[int, NDArray[np.float64]] = {}  # of every keyframe, that under which its voxels were lifted
        self._corrected: dict[int, NDArray[np.float64]] = {}  # told before the keyframe itself came
        self._awaited: set[int] = set()  # keyframes that were fused before the state was saved, and come back
        self._surfaces = FragmentSurfaces(configuration.max_fragments, configuration.fragment_min_weight)
        self._association = Association(configuration, self._keyframes)
        self._method = self._make_method(self._association)
        self._publication = Publication(configuration, self._surfaces, revision)
        self._looks: Looks = {}
        self._answers = Answers(self._evidence, self._dirty, self._keyframes, self._association)
        self._life = Lifecycle(configuration, self._evidence, self._dirty, self._keyframes, self._method.counts_against)
        self._up = np.array([0.0, 0.0, 1.0])  # REP-103, until the first keyframe tells
        self._floor_height_m = float("nan")
        self._counts = {"fused": 0, "repeated": 0, "too small": 0, "doubtful": 0}

    # ---------------------------------------------------------------- input

    def add_keyframe(self, keyframe: Keyframe) -> tuple[Outcome | FusionError, ...]:
        """Keep a keyframe and fuse the candidate sets that waited for it.

        Returns what became of each of those, in the order in which they had come: refused ones as the
        FusionError that add_candidates() would have raised. A keyframe seen before is ignored. Raises FusionError
        when its id was used for another stamp.
        """
        if not self._intake.takes(keyframe, self._keyframes.get(keyframe.id)):
            return ()
        stored = StoredKeyframe(keyframe)
        if keyframe.id in self._awaited:
            self._take_back(stored)
        else:
            corrected = self._corrected.pop(keyframe.id, None)
            if corrected is not None:
                stored.place(corrected)
            self._keyframes[keyframe.id] = stored
            self._poses[keyframe.id] = stored.T_map_camera
            self._take_gravity(stored)
            self._look_for_free_space(self._evidence.values(), (stored,))
        outcomes: list[Outcome | FusionError] = []
        for candidates in self._intake.waited_for(keyframe.id):
            try:
                outcomes.append(self._fuse_checked(candidates, stored))
            except FusionError as error:
                outcomes.append(error)
        maximum_bytes = self._configuration.max_keyframe_mib << 20
        while len(self._keyframes) > self._configuration.max_keyframes or (
            len(self._keyframes) > 1 and self._keyframe_bytes() > maximum_bytes
        ):
            self._forget_keyframe(min(self._keyframes))
        self._settle()
        return tuple(outcomes)

    def add_candidates(self, candidates: CandidateSet) -> Outcome:
        """Fuse the answer of a reasoner, or let it wait for its keyframe.

        Raises FusionError that names the keyframe id, what was expected and what came, with the map unchanged:
        a keyframe that is forgotten or has another stamp, masks of another size, impossible numbers, no
        instruction id. An answer that came before (same keyframe and instruction) is ignored.
        """
        self._intake.check_ids(candidates)
        if self._answers.has(candidates.keyframe_id, candidates.instruction_id) or self._intake.is_waiting(candidates):
            self._counts["repeated"] += 1
            return Outcome.REPEATED
        stored = self._keyframes.get(candidates.keyframe_id)
        if stored is not None:
            outcome = self._fuse_checked(candidates, stored)
            self._settle()
            return outcome
        return self._intake.wait(candidates)

    def add_fragment(self, fragment: Fragment) -> None:
        """Draw instances to the surface of a fragment; a newer revision replaces the older, an older is ignored.

        Raises FusionError when its voxels are not of the size of those of instances.
        """
        if not math.isclose(fragment.voxel_size_m, self._configuration.voxel_size_m, rel_tol=VOXEL_SIZE_TOLERANCE):
            raise self._intake.refuse(
                Refusal.VOXEL_SIZE,
                f"fragment {fragment.id}: expected voxels of fusion.voxel_size_m, "
                f"{self._configuration.voxel_size_m} m, got {fragment.voxel_size_m:.6g} m; "
                "give mapping.voxel_size_m the same value",
            )
        for surface in self._surfaces.add(fragment):
            self._unpublished |= self._publication.touched_by(surface)
        self._settle()

    def correct_poses(
        self,
        keyframe_poses: Mapping[int, NDArray[np.float64]],
        fragment_poses: Mapping[int, tuple[int, NDArray[np.float64]]],
    ) -> int:
        """Move keyframes, fragments and the voxels of instances to corrected poses; return how many instances moved.

        keyframe_poses: (4, 4) T_map_camera by keyframe id; those of keyframes that come later are kept for them.
        fragment_poses: revision and (4, 4) T_map_fragment by fragment id; an older revision is ignored.
        Each voxel follows the keyframe that saw it first. Instances that come to lie in one place are merged.
        """
        motions: dict[int, NDArray[np.float64]] = {}
        for keyframe_id, T_map_camera in keyframe_poses.items():
            before = self._poses.get(keyframe_id)
            if before is None:
                self._corrected[keyframe_id] = T_map_camera
            elif self._is_noticeable(before, T_map_camera):
                motions[keyframe_id] = T_map_camera @ inverse(before)
                self._poses[keyframe_id] = T_map_camera
                if keyframe_id in self._keyframes:
                    self._keyframes[keyframe_id].place(T_map_camera)
        for fragment_id, (revision, T_map_fragment) in fragment_poses.items():
            for surface in self._surfaces.place(fragment_id, revision, T_map_fragment):
                self._unpublished |= self._publication.touched_by(surface)
        moved = 0
        for evidence in self._evidence.values() if motions else ():
            if evidence.voxels.move(motions, self._configuration.voxel_size_m):
                evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
                self._dirty.add(evidence.id)
                moved += 1
        if motions:
            self._look_again(motions)
        self._life.merge()
        self._settle()
        return moved

    def forget_places(self, keyframe_ids: Collection[int], fragment_ids: Collection[int]) -> int:
        """Forget what these keyframes saw first and these fragments, as the map did; return how many instances went.

        Their candidates are refused from now on.
        """
        for fragment_id in fragment_ids:
            surface = self._surfaces.remove(fragment_id)
            if surface is not None:
                self._unpublished |= self._publication.touched_by(surface)
        self._intake.clear(keyframe_ids)
        gone = np.fromiter(keyframe_ids, dtype=np.int32, count=len(keyframe_ids))
        for keyframe_id in keyframe_ids:
            self._poses.pop(keyframe_id, None)
            self._corrected.pop(keyframe_id, None)
            self._keyframes.pop(keyframe_id, None)
            self._looks.pop(keyframe_id, None)
        before = len(self._evidence)
        for evidence in list(self._evidence.values()):
            for keyframe_id in keyframe_ids:
                evidence.views.drop(keyframe_id)
            kept = ~np.isin(evidence.voxels.keyframe_ids, gone)
            if kept.all():
                continue
            evidence.voxels.keep(kept)
            if np.count_nonzero(evidence.voxels.share() >= self._configuration.min_support) < (
                self._configuration.min_voxels
            ):
                self._life.remove(evidence.id)
            else:
                evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
                self._dirty.add(evidence.id)
        self._settle()
        return before - len(self._evidence)

    def _look_again(self, keyframe_ids: Collection[int]) -> None:
        # What keyframes said against instances from a wrong pose does not count any more.
        for evidence in self._evidence.values():
            if evidence.votes.withdraw_against(keyframe_ids):
                self._dirty.add(evidence.id)
            for keyframe_id in keyframe_ids:
                position_m = _position(self._poses[keyframe_id])
                evidence.votes.place(keyframe_id, position_m)
                evidence.views.place(keyframe_id, position_m)
            for opinions in evidence.opinions.values():
                for keyframe_id in keyframe_ids:
                    if opinions.forget_silence(keyframe_id):
                        self._dirty.add(evidence.id)
        self._answers.look_again(keyframe_ids)
        stored = [self._keyframes[key] for key in sorted(keyframe_ids) if key in self._keyframes]
        self._look_for_free_space(self._evidence.values(), stored)

    def _is_noticeable(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
        # What moves nothing in view by a good part of a voxel waits until it has added up.
        relative = inverse(before) @ after
        turned_m = Rotation.from_matrix(relative[:3, :3]).magnitude() * self._configuration.max_depth_m
        moved_m = float(np.linalg.norm(relative[:3, 3])) + turned_m
        return bool(moved_m > NOTICEABLE_VOXELS * self._configuration.voxel_size_m)

    def forget_answers(self, instruction_id: str) -> None:
        """Let an instruction that is gone be answered anew when its id is used again; instances stay, opinions go."""
        self._answers.forget_instruction(instruction_id)
        for evidence in self._evidence.values():
            if evidence.opinions.pop(instruction_id, None) is not None:
                self._unpublished.add(evidence.id)

    def finish(self) -> None:
        """Do nothing: each candidate set was fused with its keyframe."""

    def reset(self) -> None:
        """Forget everything; ``revision`` goes on, so that a delta since before is not mistaken for a current one."""
        self._start(self.revision + 1)

    # ---------------------------------------------------------------- state

    def export_state(self) -> bytes:
        """Return all that is known as bytes, but for the images of keyframes and answers that wait for a keyframe."""
        self._publish()
        for stored in self._keyframes.values():
            for evidence in self._evidence.values():
                evidence.views.keep(stored)
        state = InstanceFusionState(
            method=self._configuration.method,
            voxel_size_m=self._configuration.voxel_size_m,
            evidence=self._evidence,
            keyframes=self._awaited | self._keyframes.keys(),
            poses=self._poses,
            corrected=self._corrected,
            surfaces=self._surfaces,
            looks=self._looks,
            answers=self._answers,
            life=self._life,
            intake=self._intake,
            up=self._up,
            floor_height_m=self._floor_height_m,
            counts=self._counts,
            measured=self._publication.measured(),
            learned=self._method.export_state(),
        )
        return to_bytes(state, InstanceFusionState, STATE_NAME)

    def import_state(self, data: bytes) -> None:
        """Go on from what export_state() gave; raises StateError with everything as it was.

        Keyframes that were fused then are only kept when they come again.
        """
        state: InstanceFusionState = from_bytes(data, InstanceFusionState, STATE_NAME)
        state.check(self._configuration)
        before = dict(vars(self))
        try:
            self._start(self.revision + 1)
            self._method.import_state(state.learned)
            self._evidence.update(state.evidence)
            self._awaited = state.keyframes
            self._poses, self._corrected, self._looks = state.poses, state.corrected, state.looks
            adopt(self._surfaces, state.surfaces)
            adopt(self._answers, state.answers)
            adopt(self._life, state.life)
            adopt(self._intake, state.intake)
            self._up, self._floor_height_m, self._counts = state.up, state.floor_height_m, state.counts
            self._publication.restore(self._evidence, state.measured, self._up, self._floor_height_m)
        except Exception as error:
            vars(self).clear()
            vars(self).update(before)
            if isinstance(error, ValueError) and not isinstance(error, StateError):
                raise StateError(f"{STATE_NAME}: {error}") from error
            raise

    def _take_back(self, stored: StoredKeyframe) -> None:
        """Keep a keyframe that took part before the state was saved; what it says is known."""
        self._awaited.discard(stored.id)
        told = stored.T_map_camera
        stored.place(self._poses.setdefault(stored.id, told))
        self._keyframes[stored.id] = stored
        shape = stored.grid(stored.depth_mm).shape
        for evidence in self._evidence.values():
            claim = evidence.claims.get(stored.id)
            if claim is not None and claim.shape != shape:  # of a camera of another size
                del evidence.claims[stored.id]
        self._method.keyframe_returned(stored)
        self.correct_poses({stored.id: told}, {})

    # ---------------------------------------------------------------- output

    @property
    def revision(self) -> int:
        """Return the revision of the published instances, +1 whenever any of them changed."""
        self._publish()
        return self._publication.revision

    def instances(self) -> tuple[Instance, ...]:
        """Return the published instances by ascending id, without verdicts."""
        self._publish()
        return self._publication.instances()

    def merged_into(self) -> dict[int, int]:
        """Return the id that goes on, by the id of every instance that turned out to be another."""
        return {younger: self._life.survivor(younger) for younger in self._life.merged_into}

    def views(self, instance_id: int, count: int) -> tuple[InstanceView, ...]:
        """Return at most ``count`` pictures of an instance, the best first; raises KeyError for an unknown id.

        An id that was merged into another is answered by that one.
        """
        evidence = self._evidence[self._life.survivor(instance_id)]
        return evidence.views.pictures(evidence.id, evidence.center, self._keyframes, count)

    def statistics(self) -> FusionStatistics:
        """Return what is kept and what was refused so far."""
        return FusionStatistics(
            instances=len(self._evidence),
            published=len(self.instances()),
            voxels=sum(len(item.voxels.keys) for item in self._evidence.values()),
            keyframes=len(self._keyframes),
            keyframe_bytes=self._keyframe_bytes(),
            fragments=len(self._surfaces),
            waiting=self._intake.waiting,
            fused=self._counts["fused"],
            repeated=self._counts["repeated"],
            candidates_too_small=self._counts["too small"],
            candidates_doubtful=self._counts["doubtful"],
            instances_merged=self._life.counts["merged"],
            instances_split=self._life.counts["split"],
            instances_moved=self._life.counts["moved"],
            instances_pruned=self._life.counts["pruned"],
            refused=dict(self._intake.refused),
            last_refusal=self._intake.last_refusal,
        )

    # ---------------------------------------------------------------- keyframes

    def _keyframe_bytes(self) -> int:
        return sum(stored.nbytes for stored in self._keyframes.values())

    def _forget_keyframe(self, keyframe_id: int) -> None:
        stored = self._keyframes.pop(keyframe_id)
        self._looks.pop(keyframe_id, None)
        self._answers.forget_keyframe(keyframe_id)
        for old in [key for key in self._awaited if key < keyframe_id]:
            self._awaited.discard(old)
            self._looks.pop(old, None)
            self._answers.forget_keyframe(old)
        for evidence in self._evidence.values():
            evidence.views.keep(stored)
            evidence.forget_keyframe(keyframe_id)
        self._intake.forget(keyframe_id)

    def _take_gravity(self, stored: StoredKeyframe) -> None:
        if stored.id != max(self._keyframes):
            return
        floor = stored.floor_height_m
        same_floor = (np.isnan(floor) and np.isnan(self._floor_height_m)) or (
            abs(floor - self._floor_height_m) <= FLOOR_CHANGE_M
        )
        if float(np.dot(self._up, stored.up)) < UP_CHANGE or not same_floor:
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
                if (vote is not None and vote.answered) or not self._association.in_reach(evidence, stored):
                    continue
                relation, _, _ = look_up(keys, stored, configuration.voxel_size_m, configuration.margin_m)
                log_odds = free_space_log_odds(relation)
                if log_odds != 0.0:
                    evidence.votes.cast(stored.id, _vote(stored, log_odds, seen=False, answered=False))
                    self._dirty.add(evidence.id)

    # ---------------------------------------------------------------- candidates

    def _fuse_checked(self, candidates: CandidateSet, stored: StoredKeyframe) -> Outcome:
        self._intake.check(candidates, stored)
        first_new = self._life.last_id + 1
        self._fuse(candidates, stored)
        self._answers.take_silence(candidates, stored, first_new)
        self._counts["fused"] += 1
        return Outcome.FUSED

    def _fuse(self, candidates: CandidateSet, stored: StoredKeyframe) -> None:
        looks = tuple(_digest(candidate.mask) for candidate in candidates.candidates)
        known = self._looks.get(stored.id, {}).get(looks)
        if known is not None:
            self._describe_again(candidates, known)
            return
        association = self._association
        lifted, too_small = association.lift_all(candidates, stored)
        self._counts["too small"] += too_small
        view = association.observe(self._evidence, lifted, stored)
        meeting = self._method.meet(view, lifted, stored)
        view, lifted = meeting.view, meeting.lifted
        matches, again = association.assign(view, lifted, stored, meeting.overlaps, meeting.scores)
        for c, m in again.items():
            self._describe(view.instances[m], lifted[c], candidates.instruction_id)
        self._life.note_pairs(meeting, matches)
        self._vote(meeting, matches, candidates.instruction_id)
        taken = {c: view.instances[m].id for c, m in (*matches.items(), *again.items())}
        for c, item in enumerate(lifted):
            if c not in taken:
                if meeting.log_odds[c] < DOUBTFUL_LOG_ODDS:
                    self._counts["doubtful"] += 1
                    continue
                taken[c] = self._create(meeting, c, candidates.instruction_id)
            for candidate in (item.candidate, *item.also):
                self._answers.take(self._evidence[taken[c]], candidate, self._quality(item), candidates)
        self._looks.setdefault(stored.id, {})[looks] = [
            Reading(candidate.id, candidate.label, candidate.label_confidence, taken[c], self._quality(item))
            for c, item in enumerate(lifted)
            if c in taken
            for candidate in (item.candidate, *item.also)
        ]
        self._life.settle(stored, self._up)

    def _describe_again(self, candidates: CandidateSet, readings: list[Reading]) -> None:
        """Take up the words of an answer whose masks are those of an earlier answer about the same keyframe.

        A back end that looks first and reads the instruction then shows every instruction the same masks: that is one
        look at the voxels, and it has been fused.
        """
        said = {candidate.id: candidate for candidate in candidates.candidates}
        for reading in readings:
            evidence = self._evidence.get(self._life.survivor(reading.instance_id))
            candidate = said.get(reading.candidate_id)
            if evidence is None or candidate is None:
                continue
            self._answers.take(evidence, candidate, reading.quality, candidates)
            if (candidate.label, candidate.label_confidence) == (reading.label, reading.label_confidence):
                evidence.instructions.add(candidates.instruction_id)
                continue
            weight = reading.quality * max(candidate.score, SMALLEST_SCORE)
            evidence.describe(candidate, weight, candidates.instruction_id)
            self._dirty.add(evidence.id)

    def _describe(self, evidence: InstanceEvidence, item: LiftedCandidate, instruction_id: str) -> None:
        quality = self._quality(item)
        for candidate in (item.candidate, *item.also):
            evidence.describe(candidate, quality * max(candidate.score, SMALLEST_SCORE), instruction_id)
        self._dirty.add(evidence.id)

    def _quality(self, item: LiftedCandidate) -> float:
        return min(1.0, item.cells / FULL_VIEW_CELLS)

    def _take(self, meeting: Meeting, evidence: InstanceEvidence, c: int, instruction_id: str) -> None:
        """Add the voxels and words of a candidate; voxels that the instance has had their vote already."""
        item, stored = meeting.lifted[c], meeting.stored
        keys, colors = item.keys, item.colors
        _, _, distance = look_up(keys, stored, self._configuration.voxel_size_m, self._configuration.margin_m)
        weight = view_weight(distance)
        new = ~evidence.voxels.contains(keys)
        hits, views = np.zeros(len(keys), dtype=np.float32), np.zeros(len(keys), dtype=np.float32)
        hits[new], views[new] = self._method.votes_on_new(meeting, evidence, c, keys[new], distance[new])
        room = self._configuration.max_instance_voxels - len(evidence.voxels.keys)
        if np.count_nonzero(new) > room:
            keep = ~new | (np.cumsum(new) <= room)
            keys, hits, views, colors, weight = keys[keep], hits[keep], views[keep], colors[keep], weight[keep]
        evidence.voxels.add(
            keys, hits, views, colors * weight[:, None], weight, np.full(len(keys), stored.id, dtype=np.int32)
        )
        confidence = float(meeting.confidence[c])
        quality = self._quality(item)
        evidence.score_sum += quality * confidence
        evidence.score_weight += quality
        vote = _vote(stored, float(meeting.log_odds[c]), seen=True, answered=True)
        evidence.see(stored.id, vote, Claim.of(item.grid))
        self._describe(evidence, item, instruction_id)
        if self._method.counts_against:
            evidence.voxels.forget()
        evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
        evidence.views.add(stored, item.grid, item.candidate.score, evidence.center)

    def _vote(self, meeting: Meeting, matches: dict[int, int], instruction_id: str) -> None:
        """Let the keyframe vote on the voxels and the existence of all instances that it can see."""
        view, stored = meeting.view, meeting.stored
        matched = {m: c for c, m in matches.items()}
        for m, evidence in enumerate(view.instances):
            part = view.part(m)
            relation, pixel = view.relation[part], view.pixel[part]
            visible = relation == ON_SURFACE
            near = visible | (relation == NEAR_SURFACE)
            voxels = evidence.voxels
            if m in matched:
                hits, views = self._method.votes_on_known(meeting, m, matched[m])
                voxels.hits += hits
                voxels.views += views
                self._take(meeting, evidence, matched[m], instruction_id)
                continue
            previous = evidence.votes.get(stored.id)
            if stored.id in evidence.claims:
                continue
            first = previous is None or not previous.answered
            if previous is None and not near.any() and not (relation == SEEN_THROUGH).any():
                continue
            through = relation == SEEN_THROUGH
            taken = np.zeros(len(relation), dtype=bool)
            taken[near] = meeting.masked[pixel[near]]
            # Answers to several instructions about one keyframe are one look, not several.
            if self._method.counts_against and first and (taken.any() or through.any()):
                weight = view_weight(view.distance[part])
                voxels.views[taken] += weight[taken] * SWALLOWED_VOTE
                voxels.views[through] += weight[through]
                self._dirty.add(evidence.id)
                evidence.measure(self._configuration.min_support, self._configuration.voxel_size_m)
            share = float(view.shared[m].sum()) / max(1, int(view.areas[m]))
            supported = voxels.share() >= self._configuration.min_support
            log_odds = free_space_log_odds(relation[supported]) if supported.any() else 0.0
            shown = visible & supported
            good = np.count_nonzero(shown) >= WELL_SEEN_SHARE * np.count_nonzero(supported)
            if log_odds == 0.0 and good and view.areas[m] >= WELL_SEEN_CELLS:
                if shows_another_surface(voxels, shown, pixel, stored):
                    log_odds = SEEN_THROUGH_LOG_ODDS
                elif instruction_id in evidence.instructions:
                    log_odds = MISS_LOG_ODDS if share < CLAIMED_SHARE else SWALLOWED_LOG_ODDS
            if previous is not None and previous.answered:
                log_odds = min(log_odds, previous.log_odds)
            evidence.votes.cast(stored.id, _vote(stored, log_odds, seen=False, answered=True))
            if log_odds != 0.0 or previous is not None:
                self._dirty.add(evidence.id)

    def _create(self, meeting: Meeting, c: int, instruction_id: str) -> int:
        stored = meeting.stored
        evidence = InstanceEvidence(self._life.new_id())
        self._take(meeting, evidence, c, instruction_id)
        self._evidence[evidence.id] = evidence
        newer = [keyframe for keyframe_id, keyframe in sorted(self._keyframes.items()) if keyframe_id > stored.id]
        self._look_for_free_space((evidence,), newer)
        return evidence.id

    def _settle(self) -> None:
        self._unpublished |= self._dirty
        self._dirty.clear()

    def _publish(self) -> None:
        # Only when somebody asks: several answers about one keyframe come at once, and publishing costs more than
        # fusing any of them.
        self._settle()
        if self._unpublished:
            self._publication.update(self._evidence, self._unpublished, self._up, self._floor_height_m)
            self._unpublished.clear()


def _position(T_map_camera: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = T_map_camera[:3, 3].tolist()
    return x, y, z


def _vote(stored: StoredKeyframe, log_odds: float, *, seen: bool, answered: bool) -> Vote:
    return Vote(log_odds, seen, answered, stored.stamp_ns, _position(stored.T_map_camera))


def _digest(mask: NDArray[np.bool_]) -> bytes:
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=16).digest()
