"""From fused instances to the map of those that conform to each instruction: judged again after every change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Instance, InstructionStatus, Judgement, SearchState
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.instance_map import Delta, InstanceMapView
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.fragment import Fragment
from lira_ros.reasoning.contracts import CandidateSet, Instruction


@dataclass(frozen=True)
class MapChange:
    """What a refresh changed for one instruction; delta is None when only the status changed."""

    instruction_id: str
    status: InstructionStatus
    delta: Delta | None


class _Search:
    """One instruction: which keyframes answered it, how it was judged last, and its published map."""

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.answered: set[int] = set()
        self.view = InstanceMapView(instruction.id)
        self.judgement = Judgement(SearchState.PENDING, "No keyframe was looked at yet.", {})
        self.status = InstructionStatus(instruction.id, SearchState.PENDING, self.judgement.reason)
        self.judged_at: tuple[int, int, int] | None = None


class ConformingMap:
    """Fuses candidates and keeps, for every active instruction, the map of the instances that conform.

    Not thread-safe: it has one owner. Call ``refresh`` after adding data, at whatever rate publication wants.
    """

    def __init__(self, fusion: InstanceFusion, inference: TargetInference) -> None:
        self.fusion = fusion
        self._inference = inference
        self._searches: dict[str, _Search] = {}
        self._keyframe_ids: set[int] = set()
        self._newest: Keyframe | None = None

    @property
    def stamp_ns(self) -> int:
        """Return the stamp of the newest keyframe [ns], 0 before the first."""
        return 0 if self._newest is None else self._newest.frame.stamp_ns

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
        for instruction in instructions:
            search = self._searches.get(instruction.id)
            known = search is not None and search.instruction == instruction
            kept[instruction.id] = search if search is not None and known else _Search(instruction)
        gone = tuple(name for name, search in self._searches.items() if kept.get(name) is not search)
        self._searches = kept
        return gone

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store the keyframe for candidates that come now or later."""
        self._keyframe_ids.add(keyframe.id)
        if self._newest is None or keyframe.frame.stamp_ns >= self._newest.frame.stamp_ns:
            self._newest = keyframe
        self.fusion.add_keyframe(keyframe)

    def add_candidates(self, candidates: CandidateSet) -> None:
        """Fuse a reasoner's answer. Raises FusionError naming what is wrong; the map is then unchanged."""
        self.fusion.add_candidates(candidates)
        search = self._searches.get(candidates.instruction_id)
        if search is not None:
            search.answered.add(candidates.keyframe_id)

    def add_fragment(self, fragment: Fragment) -> None:
        """Refine instances with the voxels of a fragment."""
        self.fusion.add_fragment(fragment)

    def reset(self) -> None:
        """Forget everything that was seen; instructions stay and start anew."""
        instructions = self.instructions
        self.fusion.reset()
        self._keyframe_ids.clear()
        self._newest = None
        self._searches = {instruction.id: _Search(instruction) for instruction in instructions}

    def refresh(self) -> tuple[MapChange, ...]:
        """Judge again whatever changed since the last refresh and return the changes, one an instruction."""
        changes: list[MapChange] = []
        instances: tuple[Instance, ...] | None = None
        for search in self._searches.values():
            key = (self.fusion.revision, len(search.answered), len(self._keyframe_ids))
            if key == search.judged_at:
                continue
            search.judged_at = key
            if instances is None:
                instances = self.fusion.instances()
            judgement = self._judge(search, instances)
            delta = search.view.update(instances, judgement, self.stamp_ns)
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

    def query(self, instruction: Instruction) -> Judgement:
        """Judge everything mapped so far against an instruction that is not active."""
        seen = len(self._keyframe_ids)
        return self._inference.judge(
            self.fusion.instances(),
            instruction,
            up=self.up,
            camera_position=self._camera_position(),
            keyframes_answered=seen,
            keyframes_pending=0,
        )

    def _judge(self, search: _Search, instances: tuple[Instance, ...]) -> Judgement:
        return self._inference.judge(
            instances,
            search.instruction,
            up=self.up,
            camera_position=self._camera_position(),
            keyframes_answered=len(search.answered),
            keyframes_pending=len(self._keyframe_ids - search.answered),
        )

    def _camera_position(self) -> NDArray[np.float64]:
        return np.zeros(3) if self._newest is None else self._newest.frame.T_map_camera[:3, 3]

    def _status(self, search: _Search, judgement: Judgement) -> InstructionStatus:
        return InstructionStatus(
            instruction_id=search.instruction.id,
            state=judgement.state,
            reason=judgement.reason,
            keyframes_answered=len(search.answered),
            keyframes_pending=len(self._keyframe_ids - search.answered),
            instances_judged=len(judgement.verdicts),
            instances_found=len(search.view.instances),
        )
