"""From fused instances to the map of those that conform to each instruction: judged again after every change."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.best_views import MAX_VIEWS
from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstanceView,
    InstructionStatus,
    Judgement,
    SearchState,
    Verdict,
)
from lira_ros.fusion.engine import FusionEngine, Outcome
from lira_ros.fusion.exploration import Exploration
from lira_ros.fusion.instance_map import Delta, InstanceMapView
from lira_ros.fusion.instance_query import (
    RELATIONS_AN_INSTANCE,
    InstanceAnswer,
    InstanceQuery,
    UnknownAnchorError,
    in_place,
    related,
)
from lira_ros.fusion.map_document import map_document
from lira_ros.fusion.map_state import (
    ConformingMapState,
    InstanceVoxels,
    ReasoningProgress,
    SavedSearch,
    Viewpoint,
)
from lira_ros.fusion.relation_table import NamedRelation, RelationTable
from lira_ros.fusion.steadying import SteadyVerdicts
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.fragment import Fragment
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Opinion
from lira_ros.state.columns import adopt


@dataclass(frozen=True)
class MapChange:
    """What a refresh changed for one instruction; delta is None when only the status changed."""

    instruction_id: str
    status: InstructionStatus
    delta: Delta | None


# Every new keyframe is pending for a moment. A search that has found nothing in all others does not begin anew for
# that: it says so only when this many, or this share of those answered, are still to be looked at.
FEW_KEYFRAMES, FEW_SHARE = 3, 0.1
# Answers to instructions that are not (yet) in the list are remembered for this many ids: the list and the answers
# come over different topics, and either may arrive first.
MAX_UNKNOWN_INSTRUCTIONS = 64


class _Search:
    """One instruction: how it was judged last, and its published map."""

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.view = InstanceMapView(instruction.id)
        self.judgement = Judgement(SearchState.PENDING, "No keyframe was looked at yet.", {})
        self.status = InstructionStatus(instruction.id, SearchState.PENDING, self.judgement.reason)
        self.judged_at: tuple[object, ...] | None = None
        self.steady = SteadyVerdicts(instruction.constraint)
        self.opinions: dict[int, Opinion] = {}  # of a judge that saw the table of instances, by instance id


class ConformingMap:
    """Fuses candidates and keeps, for every active instruction, the map of the instances that conform.

    Not thread-safe: it has one owner. Call ``refresh`` after adding data, at whatever rate publication wants.
    """

    def __init__(self, fusion: FusionEngine, inference: TargetInference) -> None:
        self.fusion = fusion
        self._inference = inference
        self._searches: dict[str, _Search] = {}
        self._answered: dict[str, set[int]] = {}
        self._lost: dict[str, set[int]] = {}  # answers that came and are not in the map
        self._progress: dict[str, ReasoningProgress] = {}
        self._keyframe_ids: set[int] = set()
        self._newest: Viewpoint | None = None
        self._exploration = Exploration()
        self._saved: dict[str, SavedSearch] = {}  # of a loaded map, until the instruction is in the list
        self.resets = 0  # ids of instances mean other things after each

    @property
    def stamp_ns(self) -> int:
        """Return the stamp of the newest keyframe [ns], 0 before the first."""
        return 0 if self._newest is None else self._newest.stamp_ns

    @property
    def up(self) -> NDArray[np.float64]:
        """Return the unit vector against gravity of the newest keyframe; +z before the first (REP-103)."""
        return np.array([0.0, 0.0, 1.0]) if self._newest is None else self._newest.up

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """Return the active instructions in the order given."""
        return tuple(search.instruction for search in self._searches.values())

    def set_instructions(self, instructions: Sequence[Instruction]) -> tuple[str, ...]:
        """Take over the list of active instructions; return the ids that are gone.

        An instruction with a known id but another text starts anew.
        """
        kept: dict[str, _Search] = {}
        restored: set[str] = set()
        for instruction in instructions:
            search = self._searches.get(instruction.id)
            saved = self._saved.get(instruction.id)
            if saved is not None and saved.text == instruction.text:
                kept[instruction.id] = self._restored(instruction)
                restored.add(instruction.id)
                continue
            if saved is not None:
                self._forget_answers(instruction.id)
            known = search is not None and search.instruction == instruction
            kept[instruction.id] = search if search is not None and known else _Search(instruction)
        gone = tuple(name for name, search in self._searches.items() if kept.get(name) is not search)
        for name in set(gone) - restored:
            self._forget_answers(name)
        self._searches = kept
        return gone

    def _forget_answers(self, instruction_id: str) -> None:
        self.fusion.forget_answers(instruction_id)
        for known in (self._answered, self._lost, self._progress, self._saved):
            known.pop(instruction_id, None)

    def _restored(self, instruction: Instruction) -> _Search:
        """Go on with an instruction of a loaded map."""
        saved = self._saved.pop(instruction.id)
        search = _Search(instruction)
        adopt(search.steady, saved.steady)
        search.opinions, search.status = saved.opinions, saved.status
        self._answered[instruction.id], self._lost[instruction.id] = saved.answered, saved.lost
        if saved.progress is not None:
            self._progress[instruction.id] = saved.progress
        return search

    def note_progress(self, instruction_id: str, progress: ReasoningProgress) -> None:
        """Take over what the reasoning says of its progress; it alone knows what it gave up or never received."""
        self._progress[instruction_id] = progress

    def set_opinions(self, instruction_id: str, opinions: Mapping[int, Opinion]) -> None:
        """Take over what a judge that saw the table of instances thinks of them, in place of what their views say.

        opinions: by instance id; those of before are forgotten. Raises KeyError for an unknown instruction.
        """
        search = self._searches[instruction_id]
        search.opinions, search.judged_at = dict(opinions), None

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store the keyframe for candidates that come now or later; raises FusionError for an id used twice."""
        self.fusion.add_keyframe(keyframe)
        if keyframe.id in self._keyframe_ids:  # it comes again, perhaps of a loaded map
            return
        self._keyframe_ids.add(keyframe.id)
        self._exploration.add(keyframe)
        if self._newest is None or keyframe.frame.stamp_ns >= self._newest.stamp_ns:
            self._newest = Viewpoint.of(keyframe)

    def has_keyframe(self, keyframe_id: int) -> bool:
        """Tell whether a keyframe came."""
        return keyframe_id in self._keyframe_ids

    def add_candidates(self, candidates: CandidateSet) -> Outcome:
        """Fuse a reasoner's answer. Raises FusionError naming what is wrong; the map is then unchanged."""
        outcome = self.fusion.add_candidates(candidates)
        self._note(self._answered, candidates.instruction_id, candidates.keyframe_id)
        return outcome

    def note_lost(self, instruction_id: str, keyframe_id: int) -> None:
        """Take note of an answer that came and could not be used, so that nobody waits for it."""
        self._note(self._lost, instruction_id, keyframe_id)

    def add_fragment(self, fragment: Fragment) -> None:
        """Refine instances with the voxels of a fragment."""
        self.fusion.add_fragment(fragment)

    def correct_poses(
        self,
        keyframe_poses: Mapping[int, NDArray[np.float64]],
        fragment_poses: Mapping[int, tuple[int, NDArray[np.float64]]],
    ) -> int:
        """Move what is known to corrected poses, see FusionEngine.correct_poses(); return how many moved."""
        newest = self._newest
        if newest is not None and newest.id in keyframe_poses:
            self._newest = replace(newest, T_map_camera=keyframe_poses[newest.id])
        return self.fusion.correct_poses(keyframe_poses, fragment_poses)

    def forget_places(self, keyframe_ids: Collection[int], fragment_ids: Collection[int]) -> int:
        """Forget what the map forgot, see FusionEngine.forget_places(); return how many instances went."""
        return self.fusion.forget_places(keyframe_ids, fragment_ids)

    def reset(self, *, same_session: bool = False) -> None:
        """Forget everything that was seen; instructions stay and start anew.

        same_session: keyframe ids go on, and what was answered so far is not answered again.
        """
        instructions = self.instructions
        self.resets += 1
        self.fusion.reset()
        self._keyframe_ids.clear()
        if same_session:
            for name, answered in self._answered.items():
                self._lost.setdefault(name, set()).update(answered)
        else:
            self._lost.clear()
            self._progress.clear()
        self._answered.clear()
        self._saved.clear()
        self._newest = None
        self._exploration = Exploration()
        self._searches = {instruction.id: _Search(instruction) for instruction in instructions}

    def export_state(self, frame_id: str) -> bytes:
        """Return all that is known as bytes, with a document for other programs; frame_id: of the map."""
        instances = self.fusion.instances()
        searches = [(item.instruction, item.status, item.judgement) for item in self._searches.values()]
        told = self.relations().relations_of(instances, RELATIONS_AN_INSTANCE * len(instances))
        frame = {"frame_id": frame_id, "stamp": self.stamp_ns, "up": [float(value) for value in self.up]}
        state = ConformingMapState(
            engine=self.fusion.export_state(),
            searches={
                **self._saved,
                **{
                    name: SavedSearch(
                        text=search.instruction.text,
                        status=search.status,
                        steady=search.steady,
                        opinions=search.opinions,
                        answered=self._answered.get(name, set()),
                        lost=self._lost.get(name, set()),
                        progress=self._progress.get(name),
                    )
                    for name, search in self._searches.items()
                },
            },
            keyframe_ids=self._keyframe_ids,
            newest=self._newest,
            exploration=self._exploration,
            document=map_document(instances, searches, told, frame),
            voxels={item.id: InstanceVoxels(item.voxel_size_m, item.voxels) for item in instances},
        )
        return state.to_bytes()

    def import_state(self, data: bytes) -> None:
        """Go on from what export_state() gave, in place of what is known; raises StateError with all as it was.

        Instructions are those of the list, now or when it comes: one with an id and a text of then goes on, others are
        new. Keyframes and fragments of then are to be added again.
        """
        state = ConformingMapState.from_bytes(data)
        self.fusion.import_state(state.engine)
        self.resets += 1
        self._answered, self._lost, self._progress = {}, {}, {}
        self._keyframe_ids, self._newest = state.keyframe_ids, state.newest
        self._exploration, self._saved = state.exploration, state.searches
        same = {item.id for item in self.instructions if item.id in self._saved}
        self._searches = {
            item.id: self._restored(item)
            if item.id in same and self._saved[item.id].text == item.text
            else _Search(item)
            for item in self.instructions
        }

    def refresh(self) -> tuple[MapChange, ...]:
        """Judge again whatever changed since the last refresh and return the changes, one an instruction."""
        changes: list[MapChange] = []
        instances: tuple[Instance, ...] | None = None
        for search in self._searches.values():
            progress = self._progress.get(search.instruction.id)
            # A keyframe alone changes what was seen of the scene, and how long an answer has been kept.
            open_question = search.status.state != SearchState.FOUND or search.steady.is_waiting
            looks = len(self._keyframe_ids) if open_question else 0
            key = (self.fusion.revision, looks, *self._counts(search), progress)
            if key == search.judged_at:
                continue
            search.judged_at = key
            if instances is None:
                instances = self.fusion.instances()
            judgement = self._judge(search, instances)
            delta = search.view.update(instances, judgement, self.stamp_ns, self.fusion.merged_into())
            status = self._status(search, judgement)
            if delta is not None or status != search.status:
                changes.append(MapChange(search.instruction.id, status, delta))
            search.judgement, search.status = judgement, status
        return tuple(changes)

    def statuses(self) -> tuple[InstructionStatus, ...]:
        """Return where each instruction stands, as of the last refresh."""
        return tuple(search.status for search in self._searches.values())

    def view(self, instruction_id: str) -> InstanceMapView:
        """Return the published map of one instruction; raises KeyError for an unknown id."""
        return self._searches[instruction_id].view

    def status(self, instruction_id: str) -> InstructionStatus:
        """Return where one instruction stands; raises KeyError for an unknown id."""
        return self._searches[instruction_id].status

    def judgement(self, instruction_id: str) -> Judgement:
        """Return the verdicts on every instance, as of the last refresh; raises KeyError for an unknown id."""
        return self._searches[instruction_id].judgement

    def rejected(self, instruction_id: str) -> tuple[Instance, ...]:
        """Return the instances that were judged and do not conform, each with its verdict, by id."""
        search = self._searches[instruction_id]
        shown = {instance.id for instance in search.view.instances}
        return tuple(
            replace(instance, verdicts={instruction_id: search.judgement.verdicts[instance.id]})
            for instance in self.fusion.instances()
            if instance.id not in shown and instance.id in search.judgement.verdicts
        )

    def relations(self) -> RelationTable:
        """Return how all instances stand to one another, seen from the newest keyframe, until something changes."""
        return self._inference.relations(self.fusion.instances(), self.up, self._camera_position())

    def query(self, query: InstanceQuery) -> InstanceAnswer:
        """Return the instances mapped so far that meet every condition of a query.

        They come by falling score with an instruction, else by rising distance with "near" or "far", else by id. An id
        that was merged into another stands for that one. Raises UnknownAnchorError for a relation to no instance.
        """
        everything = self.fusion.instances()
        merged = self.fusion.merged_into()
        wanted = {merged.get(instance_id, instance_id) for instance_id in query.ids}
        found = in_place([item for item in everything if not wanted or item.id in wanted], query)
        if query.relation is not None:
            kind, anchor_id = query.relation
            anchor = next((item for item in everything if item.id == merged.get(anchor_id, anchor_id)), None)
            if anchor is None:
                raise UnknownAnchorError(f"relative_to: no instance has the id {anchor_id} (any more)")
            found = related(found, kind, anchor, self.relations())
        verdicts: dict[int, Verdict] = {}
        if query.instruction is not None:
            judgement = self._inference.judge(
                everything,
                query.instruction,
                up=self.up,
                camera_position=self._camera_position(),
                keyframes_answered=len(self._keyframe_ids),
                keyframes_pending=0,
            )
            verdicts = {n: v for n, v in judgement.verdicts.items() if v.conformity == Conformity.CONFORMS}
            found = sorted((i for i in found if i.id in verdicts), key=lambda item: (-verdicts[item.id].score, item.id))
        found = found[: query.max_results or None]
        relations: tuple[NamedRelation, ...] = ()
        if query.with_relations:
            told = self.relations().relations_of(found, RELATIONS_AN_INSTANCE * len(found))
            relations = tuple(sorted(told, key=lambda item: (item.target, item.anchor)))
        return InstanceAnswer(tuple(found), {i.id: verdicts[i.id] for i in found if i.id in verdicts}, relations)

    def views(self, ids: Sequence[int], count: int) -> tuple[tuple[InstanceView, ...], tuple[int, ...]]:
        """Return pictures of instances, at most ``count`` of each (0 = all), and the ids that no instance has.

        ids: empty = all published instances. An id that was merged into another is answered by that one.
        """
        views: list[InstanceView] = []
        unknown: list[int] = []
        for instance_id in sorted(set(ids) or {instance.id for instance in self.fusion.instances()}):
            try:
                views += self.fusion.views(instance_id, count or MAX_VIEWS)
            except KeyError:
                unknown.append(instance_id)
        return tuple(views), tuple(unknown)

    def _judge(self, search: _Search, instances: tuple[Instance, ...]) -> Judgement:
        answered, pending = self._counts(search)
        settled = search.status.state == SearchState.NONE_CONFORM
        few = pending <= max(FEW_KEYFRAMES, FEW_SHARE * answered)
        judge = self._inference.judge
        if search.opinions:
            judge = functools.partial(judge, opinions=search.opinions)
        judgement = judge(
            instances,
            search.instruction,
            up=self.up,
            camera_position=self._camera_position(),
            keyframes_answered=answered,
            keyframes_pending=0 if settled and few else pending,
        )
        judgement = search.steady.steady(judgement, self.stamp_ns, answered)
        if judgement.state == SearchState.NONE_CONFORM:
            judgement = self._unless_more_is_to_be_seen(judgement, settled)
        progress = self._progress.get(search.instruction.id)
        if progress is not None and progress.failure and judgement.state != SearchState.FOUND and answered == 0:
            return replace(judgement, state=SearchState.FAILED, reason=f"The reasoner failed: {progress.failure}")
        if progress is not None and progress.waiting and judgement.state == SearchState.PENDING:
            return replace(judgement, reason=progress.waiting)
        return judgement

    def _unless_more_is_to_be_seen(self, judgement: Judgement, settled: bool) -> Judgement:
        """Say that nothing conforms only when enough of the scene was seen, with the figures either way."""
        explored = self._exploration.explored()
        if explored.is_enough(settled=settled):
            return replace(judgement, reason=f"{judgement.reason} Enough was seen: {explored.words()}.")
        reason = f"{judgement.reason} More is to be seen first: {explored.missing()}."
        return replace(judgement, state=SearchState.SEARCHING, reason=reason)

    def _counts(self, search: _Search) -> tuple[int, int]:
        """Return how many keyframes are answered, and how many answers are still to come."""
        # An answer whose keyframe did not come yet is not in the map.
        answered = self._answered.get(search.instruction.id, set()) & self._keyframe_ids
        progress = self._progress.get(search.instruction.id)
        if progress is None:
            return len(answered), len(self._keyframe_ids - answered)
        # An answer that was given but is still on its way counts as pending.
        arrived = len(answered | self._lost.get(search.instruction.id, set()))
        return len(answered), progress.pending + max(0, progress.answered - arrived)

    def _note(self, answers: dict[str, set[int]], instruction_id: str, keyframe_id: int) -> None:
        answers.setdefault(instruction_id, set()).add(keyframe_id)
        unknown = [name for name in answers if name not in self._searches]
        for name in unknown[:-MAX_UNKNOWN_INSTRUCTIONS]:
            del answers[name]

    def _camera_position(self) -> NDArray[np.float64]:
        return np.zeros(3) if self._newest is None else self._newest.T_map_camera[:3, 3]

    def _status(self, search: _Search, judgement: Judgement) -> InstructionStatus:
        answered, pending = self._counts(search)
        return InstructionStatus(
            instruction_id=search.instruction.id,
            state=judgement.state,
            reason=judgement.reason,
            keyframes_answered=answered,
            keyframes_pending=pending,
            instances_judged=len(judgement.verdicts),
            instances_found=len(search.view.instances),
        )
