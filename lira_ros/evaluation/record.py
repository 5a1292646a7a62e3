"""What a run leaves behind for its report: maps, views, events and latencies, however it was run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lira_ros.fusion.contracts import Instance, InstructionStatus, SearchState
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.surface import Mesh
from lira_ros.pipeline.latency import LatencyRecord
from lira_ros.reasoning.contracts import CandidateSet, Instruction


@dataclass(frozen=True)
class StateChange:
    """An instruction changed its state; at_s is in seconds of the recording."""

    instruction_id: str
    at_s: float
    state: SearchState


@dataclass(frozen=True)
class Publication:
    """An instance was published as conforming for the first time.

    seen_s: sensor stamp of the newest keyframe in it, in seconds of the recording.
    delay_s: from that sensor stamp to the publication, in seconds of real time.
    """

    instruction_id: str
    instance_id: int
    label: str
    seen_s: float
    delay_s: float


@dataclass
class RefusedFrames:
    """Frames that were not mapped for one reason: how many, and the sentence about the first of them."""

    count: int
    first: str


@dataclass(frozen=True)
class Snapshot:
    """What conformed to each instruction at one moment; at_s is in seconds of the recording.

    instances: everything in the map then, empty where only what conforms is published (a record of the nodes).
    """

    at_s: float
    conforming: dict[str, tuple[Instance, ...]]
    instances: tuple[Instance, ...] = ()


@dataclass
class RunRecord:
    """Everything that the report of a run shows."""

    title: str
    instructions: dict[str, Instruction] = field(default_factory=dict)
    submitted_s: dict[str, float] = field(default_factory=dict)
    statuses: dict[str, InstructionStatus] = field(default_factory=dict)
    conforming: dict[str, tuple[Instance, ...]] = field(default_factory=dict)
    rejected: dict[str, tuple[Instance, ...]] = field(default_factory=dict)
    keyframes: dict[int, Keyframe] = field(default_factory=dict)
    candidates: dict[tuple[int, str], CandidateSet] = field(default_factory=dict)
    states: list[StateChange] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    latency: LatencyRecord = field(default_factory=LatencyRecord)
    duration_s: float = 0.0
    refused: dict[str, RefusedFrames] = field(default_factory=dict)
    mesh: Mesh | None = None
    instances: tuple[Instance, ...] = ()  # everything in the map at the end, whether it conforms or not
    failures: list[str] = field(default_factory=list)  # questions that the reasoner or the fusion failed at
    snapshots: list[Snapshot] = field(default_factory=list)

    def note_refused(self, sentence: str) -> None:
        """Count a frame that was not mapped; sentences that differ in their figures only are one reason."""
        reason = re.sub(r"[-+]?\d[\d.e+-]*", "#", sentence)
        self.refused.setdefault(reason, RefusedFrames(0, sentence)).count += 1

    def note_status(self, status: InstructionStatus, at_s: float) -> None:
        """Take over the newest status of an instruction and remember when its state changed."""
        before = self.statuses.get(status.instruction_id)
        if before is None or before.state != status.state:
            self.states.append(StateChange(status.instruction_id, at_s, status.state))
        self.statuses[status.instruction_id] = status

    def note_conforming(
        self, instruction_id: str, instances: tuple[Instance, ...], start_ns: int, delay_s: float
    ) -> None:
        """Take over the newest map of an instruction and remember instances that are in it for the first time."""
        known = {p.instance_id for p in self.publications if p.instruction_id == instruction_id}
        for instance in instances:
            if instance.id not in known:
                seen_s = (instance.last_seen_ns - start_ns) * 1e-9
                self.publications.append(Publication(instruction_id, instance.id, instance.label, seen_s, delay_s))
        self.conforming[instruction_id] = instances
