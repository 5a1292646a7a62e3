"""The whole suite in one process without ROS: the order in which things happen, once.

A frame is integrated; when it became a keyframe, every active instruction is asked about it; candidates and
closed fragments are fused; the instances are judged. An instruction that comes late is also asked about the
keyframes that were already seen. The nodes do the same over topics.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from lira_ros.configuration import ConfigurationError, section
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap, MapChange, ReasoningProgress
from lira_ros.fusion.contracts import Instance, InstructionStatus, Judgement
from lira_ros.fusion.engine import FusionError, create_fusion
from lira_ros.fusion.table_judging import instance_table, table_layout
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.packed_keyframe import PackedKeyframe
from lira_ros.mapping import storage
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper, MapperUpdate
from lira_ros.pipeline.latency import LatencyRecord
from lira_ros.reasoning import saved_state
from lira_ros.reasoning.asking import ask
from lira_ros.reasoning.contracts import (
    MAX_REASON_CHARACTERS,
    CandidateSet,
    Instruction,
    Reasoner,
    ReasoningError,
    Task,
)
from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.remote.configuration import JudgeConfiguration
from lira_ros.reasoning.remote.judge import TargetJudge, create_judge, wants_judge
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration

# How often in a row, at the end of a run, a server may be away before what it was to answer stays unanswered.
LAST_ATTEMPTS = 5
# The end of a run does not wait longer than this for one of them.
LONGEST_PAUSE_S = 10.0
# Colour of saved keyframes as PNG.
LOSSLESS = 0


@dataclass(frozen=True)
class PipelineConfiguration:
    """Everything that can be set of the suite, by room."""

    mapping: MappingConfiguration = section(MappingConfiguration)
    instructions: InstructionConfiguration = section(InstructionConfiguration)
    scheduler: SchedulerConfiguration = section(SchedulerConfiguration)
    fusion: FusionConfiguration = section(FusionConfiguration)
    judge: JudgeConfiguration = section(JudgeConfiguration)


class Pipeline:
    """Map frames, answer instructions, keep the map of what conforms. Not thread-safe: it has one owner.

    A judge over the table of instances, where one is configured, is asked at the end of a run only. Raises
    ConfigurationError when the rooms do not agree on the size of a voxel, ReasoningError when the judge cannot be made.
    """

    def __init__(self, configuration: PipelineConfiguration, reasoner: Reasoner, relevance: Relevance) -> None:
        if configuration.mapping.voxel_size_m != configuration.fusion.voxel_size_m:
            raise ConfigurationError(
                f"fusion.voxel_size_m: expected mapping.voxel_size_m, {configuration.mapping.voxel_size_m}, "
                f"got {configuration.fusion.voxel_size_m}"
            )
        self._table_judge = create_judge(configuration.judge)
        self.mapper = Mapper(configuration.mapping)
        self.book = InstructionBook(configuration.instructions, any_language=reasoner.any_language)
        self.scheduler = ReasoningScheduler(configuration.scheduler)
        fusion = create_fusion(configuration.fusion, relevance.text_encoder())
        self.map = ConformingMap(fusion, TargetInference(relevance))
        self.latency = LatencyRecord()
        self.failures: list[str] = []
        self._reasoner = reasoner

    def submit(self, text: str, instruction_id: str = "", *, replace: bool = False, stamp_ns: int = 0) -> Instruction:
        """Accept an instruction; raises InstructionError when it is refused."""
        instruction = self.book.submit(text, instruction_id, replace=replace, stamp_ns=stamp_ns)
        self.scheduler.add_instruction(instruction)
        self.map.set_instructions(self.book.active)
        return instruction

    def cancel(self, instruction_id: str = "") -> tuple[str, ...]:
        """Cancel one instruction, or all with an empty id; raises KeyError for an unknown one."""
        cancelled = self.book.cancel(instruction_id)
        for name in cancelled:
            self.scheduler.remove_instruction(name)
        self.map.set_instructions(self.book.active)
        return cancelled

    def add_frame(self, frame: Frame) -> tuple[MapperUpdate, tuple[MapChange, ...]]:
        """Map one frame, ask about it when it became a keyframe, and return what changed."""
        with self.latency.measure("map a frame"):
            update = self.mapper.add_frame(frame)
        if update.keyframe is not None:
            self.scheduler.add_keyframe(update.keyframe)
            self.map.add_keyframe(update.keyframe)
            self._answer()
        if update.fragment is not None:
            with self.latency.measure("fuse a fragment"):
                self.map.add_fragment(update.fragment)
        return update, self._judge()

    def finish(self) -> tuple[MapChange, ...]:
        """Close the open fragment, answer what is pending and judge for the last time."""
        for fragment in self.mapper.flush():
            self.map.add_fragment(fragment)
        away = 0
        self._answer()
        while (pause_s := self.scheduler.pause_s()) is not None and away < LAST_ATTEMPTS:
            time.sleep(min(pause_s, LONGEST_PAUSE_S))
            away = 0 if self._answer() else away + 1
        with self.latency.measure("fuse candidates"):
            self.map.fusion.finish()
        if self._table_judge is not None:
            with closing(self._table_judge), self.latency.measure("judge the table"):
                self._judge_table(self._table_judge)
        return self._judge()

    def save(self, path: str | Path) -> int:
        """Write the map with instances, instructions and keyframes to a file and return the number of fragments.

        The file is one that the nodes load as well. Raises MapFileError when it cannot be written.
        """
        map_state = self.mapper.snapshot()
        poses = map_state.keyframe_poses
        keyframes = [PackedKeyframe.of(keyframe, LOSSLESS) for keyframe in self.scheduler.keyframes()]
        return storage.save(
            path,
            replace(
                map_state,
                keyframes=[item.at(poses.get(item.id, item.T_map_camera)) for item in keyframes],
                parts={
                    "instructions": saved_state.export_state(self.book, self.scheduler),
                    "instances": self.map.export_state("map"),
                },
            ),
        )

    def load(self, path: str | Path) -> None:
        """Go on from a file of save() or of the nodes, with its ids; nothing that was answered is asked again.

        Raises MapFileError or StateError for a file that cannot be used; the pipeline is then to be made anew.
        """
        state = storage.load(path)
        fragments = self.mapper.restore(state, path)
        for name, take in (
            ("instructions", lambda data: saved_state.import_state(data, self.book, self.scheduler)),
            ("instances", self.map.import_state),
        ):
            part = state.parts.get(name)
            if part is not None:
                take(bytes(part))
        self.map.set_instructions(self.book.active)
        for fragment in fragments:
            self.map.add_fragment(fragment)
        for packed in state.keyframes:
            keyframe = packed.unpack()
            self.scheduler.add_keyframe(keyframe)
            self.map.add_keyframe(keyframe)
        self._answer()
        self._judge()

    def status(self, instruction_id: str) -> InstructionStatus:
        """Return where an instruction stands; raises KeyError for an unknown id."""
        return self.map.status(instruction_id)

    def conforming(self, instruction_id: str) -> tuple[Instance, ...]:
        """Return the instances that conform to an instruction, best first."""
        return self.map.view(instruction_id).instances

    def judgement(self, instruction_id: str) -> Judgement:
        """Return the verdict on every instance for one instruction."""
        return self.map.judgement(instruction_id)

    def _answer(self) -> bool:
        """Ask until nothing is due; return whether anything was answered."""
        answered = False
        while tasks := self.scheduler.next_tasks(
            self._reasoner.batch_size, lambda item: self._reasoner.lane(item).name
        ):
            began_s = perf_counter()
            answers = ask(self._reasoner, tasks)
            each_s = (perf_counter() - began_s) / len(tasks)
            for task, answer in zip(tasks, answers, strict=True):
                self.latency.add("reason over a keyframe", each_s)
                answered |= self._take(task, answer)
        for instruction in self.book.active:
            progress = self.scheduler.progress(instruction.id)
            self.map.note_progress(
                instruction.id, ReasoningProgress(progress.answered, progress.pending, progress.last_failure)
            )
        return answered

    def _take(self, task: Task, answer: CandidateSet | ReasoningError) -> bool:
        failure: ReasoningError | FusionError
        if isinstance(answer, ReasoningError):
            failure = answer
        else:
            try:
                with self.latency.measure("fuse candidates"):
                    self.map.add_candidates(answer)
            except FusionError as error:
                failure = error
            else:
                return self.scheduler.report_answered(task)
        self._note_failure(f"keyframe {task.keyframe.id}, {task.instruction.id}: {failure}")
        self.scheduler.report_failed(task, failure)
        return False

    def _note_failure(self, sentence: str) -> None:
        self.failures.append(plain_text(sentence, MAX_REASON_CHARACTERS))

    def _judge_table(self, judge: TargetJudge) -> None:
        instances = self.map.fusion.instances()
        layout = table_layout(instances, self.map.relations())
        for instruction in self.book.active:
            if wants_judge(instruction.constraint):
                try:
                    opinions = judge.judge(instance_table(instances, instruction.id), instruction, layout)
                    self.map.set_opinions(instruction.id, opinions)
                except ReasoningError as error:
                    self._note_failure(f"judge, {instruction.id}: {error}")

    def _judge(self) -> tuple[MapChange, ...]:
        with self.latency.measure("judge instances"):
            return self.map.refresh()
