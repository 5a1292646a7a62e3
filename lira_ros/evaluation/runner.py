"""Run the pipeline over a recording, without ROS, and keep what its report needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.sequence import Sequence as RecordedSequence
from lira_ros.datasets.sequence import SequenceError
from lira_ros.evaluation.record import RunRecord, Snapshot
from lira_ros.fusion.conforming_map import MapChange
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.mapper import MapperUpdate
from lira_ros.pipeline.pipeline import Pipeline
from lira_ros.reasoning.backends import GroundTruth
from lira_ros.reasoning.contracts import CandidateSet, Reasoner, Task
from lira_ros.reasoning.observed import ObservedReasoner


def ground_truth(sequence: RecordedSequence) -> GroundTruth | None:
    """Return the annotation of a recording as the oracle takes it, None without annotated objects."""
    objects = sequence.objects()
    if not objects:
        return None
    index_by_stamp = {sequence.stamp_ns(index): index for index in range(len(sequence))}

    def instance_image(stamp_ns: int) -> NDArray[np.uint16] | None:
        index = index_by_stamp.get(stamp_ns)
        return None if index is None else sequence.readable_instance_image(index)

    return GroundTruth(instance_image, objects, tuple(index_by_stamp))


@dataclass(frozen=True)
class Request:
    """An instruction and when it is given, in seconds of the recording."""

    text: str
    at_s: float = 0.0
    instruction_id: str = ""


class View(Protocol):
    """Whoever looks on while a recording is run, such as the viewer."""

    def begin_frame(self, pipeline: Pipeline, frame: Frame) -> None:
        """Look at a frame before it is mapped."""

    def note_answer(self, candidates: CandidateSet) -> None:
        """Look at what the reasoner answered."""

    def end_frame(self, pipeline: Pipeline, update: MapperUpdate, changes: tuple[MapChange, ...]) -> None:
        """Look at what a frame has changed."""

    def finish(self, pipeline: Pipeline, changes: tuple[MapChange, ...]) -> None:
        """Look at what the end of the recording has changed."""


class _ShownReasoner(ObservedReasoner):
    """Tell somebody who looks on what was answered."""

    def __init__(self, reasoner: Reasoner, view: View) -> None:
        super().__init__(reasoner)
        self._view = view

    def observe(self, task: Task, outcome: CandidateSet | Exception, latency_s: float) -> None:
        """Tell an answer."""
        if isinstance(outcome, CandidateSet):
            self._view.note_answer(outcome)


class _RememberingReasoner(ObservedReasoner):
    """Keep the answers for the pictures of the report."""

    def __init__(self, reasoner: Reasoner, record: RunRecord) -> None:
        super().__init__(reasoner)
        self._record = record

    def observe(self, task: Task, outcome: CandidateSet | Exception, latency_s: float) -> None:
        """Remember an answer."""
        if isinstance(outcome, CandidateSet):
            self._record.candidates[(task.keyframe.id, task.instruction.id)] = outcome


def run_sequence(
    sequence: RecordedSequence,
    requests: Sequence[Request],
    make_pipeline: Callable[[Reasoner], Pipeline],
    reasoner: Reasoner,
    progress: Callable[[int, RunRecord], None] = lambda index, record: None,
    *,
    keep_answers: bool = True,
    snapshots: int = 0,
    view: View | None = None,
) -> RunRecord:
    """Feed every frame of a recording, give the instructions in time, and return the record.

    keep_answers: keep what the reasoner answered, with its masks, for the pictures of a report.
    snapshots: how many times, evenly spread over the recording, to note what conforms and what the map holds; the last
    time is the end.
    view: looks on.
    Frames that cannot be read are left out and counted in ``sequence.skipped``. The reasoner is not closed. Raises
    InstructionError for an instruction that is refused and SequenceError for a recording of which no frame can be read.
    """
    record = RunRecord(title=sequence.name)
    asked = reasoner if view is None else _ShownReasoner(reasoner, view)
    pipeline = make_pipeline(_RememberingReasoner(asked, record) if keep_answers else asked)
    record.latency = pipeline.latency
    waiting = sorted(requests, key=lambda request: request.at_s)
    start_ns: int | None = None
    started = perf_counter()
    now_s = 0.0
    for index, frame in enumerate(sequence.readable()):
        start_ns = frame.stamp_ns if start_ns is None else start_ns
        now_s = (frame.stamp_ns - start_ns) * 1e-9
        waiting = _submit_due(waiting, now_s, frame.stamp_ns, pipeline, record)
        if view is not None:
            view.begin_frame(pipeline, frame)
        arrived = perf_counter()
        update, changes = pipeline.add_frame(frame)
        if update.rejected is not None:
            record.note_refused(update.rejected)
        if update.keyframe is not None:
            record.keyframes[update.keyframe.id] = update.keyframe
        _note(changes, pipeline, record, now_s, start_ns, perf_counter() - arrived)
        if view is not None:
            view.end_frame(pipeline, update, changes)
        if (index + 1) * snapshots // len(sequence) > index * snapshots // len(sequence) and index + 1 < len(sequence):
            record.snapshots.append(_snapshot(pipeline, record, now_s))
        progress(index + 1, record)
    if start_ns is None and len(sequence):
        raise SequenceError(
            f"{sequence.name}: none of {len(sequence)} frames can be read; {' '.join(sequence.notices)}"
        )
    _submit_due(waiting, float("inf"), 0, pipeline, record)
    ended = perf_counter()
    changes = pipeline.finish()
    _note(changes, pipeline, record, now_s, start_ns or 0, perf_counter() - ended)
    if view is not None:
        view.finish(pipeline, changes)
    for instruction_id in record.instructions:
        _collect(pipeline, record, instruction_id)
    if snapshots:
        record.snapshots.append(_snapshot(pipeline, record, now_s))
    record.instances = pipeline.map.fusion.instances()
    record.failures = pipeline.failures
    record.mesh = pipeline.mapper.mesh()
    record.duration_s = perf_counter() - started
    return record


def _snapshot(pipeline: Pipeline, record: RunRecord, now_s: float) -> Snapshot:
    conforming = {name: pipeline.conforming(name) for name in record.instructions}
    return Snapshot(now_s, conforming, pipeline.map.fusion.instances())


def _submit_due(
    waiting: list[Request], now_s: float, stamp_ns: int, pipeline: Pipeline, record: RunRecord
) -> list[Request]:
    for request in waiting:
        if request.at_s <= now_s:
            instruction = pipeline.submit(request.text, request.instruction_id, stamp_ns=stamp_ns)
            record.instructions[instruction.id] = instruction
            record.submitted_s[instruction.id] = request.at_s
    return [request for request in waiting if request.at_s > now_s]


def _note(
    changes: tuple[MapChange, ...],
    pipeline: Pipeline,
    record: RunRecord,
    now_s: float,
    start_ns: int,
    delay_s: float,
) -> None:
    for change in changes:
        record.note_status(change.status, now_s)
        if change.delta is not None:
            conforming = pipeline.conforming(change.instruction_id)
            record.note_conforming(change.instruction_id, conforming, start_ns, delay_s)
            record.latency.add("sensor stamp to published instance", delay_s)


def _collect(pipeline: Pipeline, record: RunRecord, instruction_id: str) -> None:
    conforming = pipeline.conforming(instruction_id)
    record.conforming[instruction_id] = conforming
    record.statuses[instruction_id] = pipeline.status(instruction_id)
    record.rejected[instruction_id] = pipeline.map.rejected(instruction_id)
