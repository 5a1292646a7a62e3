"""Show a run of the pipeline over a recording, without ROS."""

from __future__ import annotations

from lira_ros.fusion.conforming_map import MapChange
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.mapper import MapperUpdate
from lira_ros.mapping.mesh_regions import MeshRegions
from lira_ros.pipeline.pipeline import Pipeline
from lira_ros.reasoning.contracts import CandidateSet
from lira_ros.reasoning.language.parser import describe
from lira_ros.viewer.configuration import ViewerConfiguration
from lira_ros.viewer.findings import Findings
from lira_ros.viewer.output import Output
from lira_ros.viewer.scene import Scene

# Judged instances change with every answer; they are for looking closer and renewed this often [s of the recording].
JUDGED_PERIOD_S = 5.0


class PipelineView:
    """Follows a pipeline frame by frame."""

    def __init__(self, output: Output, configuration: ViewerConfiguration) -> None:
        self._scene = Scene(output.stream, configuration)
        self._findings = Findings(output.stream)
        self._regions = MeshRegions()
        self._mesh_period_ns = round(configuration.mesh_period_s * 1e9)
        self._revision = 0
        self._frames = 0
        self._stamp_ns = 0
        self._mesh_ns: int | None = None
        self._judged_ns: int | None = None
        self._texts: dict[str, tuple[str, str]] = {}
        self._answers: list[CandidateSet] = []

    def note_answer(self, candidates: CandidateSet) -> None:
        """Show what the reasoner answered for a keyframe."""
        self._answers.append(candidates)  # its keyframe is not shown yet

    def begin_frame(self, pipeline: Pipeline, frame: Frame) -> None:
        """Set the time, and take over what is asked for; called before a frame is mapped."""
        self._frames += 1
        self._stamp_ns = frame.stamp_ns
        self._scene.set_time(frame.stamp_ns, self._frames)
        pipeline.latency.listener = lambda stage, seconds: self._findings.plot(stage, 1e3 * seconds)
        texts = {item.id: (item.text, describe(item.constraint)) for item in pipeline.book.active}
        if texts != self._texts:
            self._texts = texts
            self._findings.show_instructions(texts)

    def end_frame(self, pipeline: Pipeline, update: MapperUpdate, changes: tuple[MapChange, ...]) -> None:
        """Show what a frame has changed."""
        if update.keyframe is not None:
            self._scene.add_keyframe(update.keyframe)
            self._scene.show_camera(update.keyframe.frame.T_map_camera)
        self._show_answers()
        self._show_changes(changes)
        if self._mesh_ns is None or self._stamp_ns - self._mesh_ns >= self._mesh_period_ns:
            self._mesh_ns = self._stamp_ns
            self._update_mesh(pipeline)
        if self._judged_ns is None or self._stamp_ns - self._judged_ns >= JUDGED_PERIOD_S * 1e9:
            self._judged_ns = self._stamp_ns
            self._show_judged(pipeline)

    def finish(self, pipeline: Pipeline, changes: tuple[MapChange, ...]) -> None:
        """Show what the end of the recording has changed, and all of the mesh."""
        self._show_answers()
        self._show_changes(changes)
        self._show_judged(pipeline)
        self._update_mesh(pipeline)
        self._scene.show_mesh(all_of_it=True)

    def _show_answers(self) -> None:
        for candidates in self._answers:
            text, _ = self._texts.get(candidates.instruction_id, (candidates.instruction_id, ""))
            self._scene.show_answer(candidates, text)
        self._answers.clear()

    def _show_changes(self, changes: tuple[MapChange, ...]) -> None:
        for change in changes:
            if change.delta is not None:
                removed = {item.id: item for item in change.delta.removed}
                self._findings.show_changes(change.instruction_id, change.delta.changed, removed)
                gone = tuple(set(removed) - self._findings.instance_ids())
                self._scene.set_instances({item.id: item for item in change.delta.changed}, gone)
            self._findings.show_status(change.status)

    def _show_judged(self, pipeline: Pipeline) -> None:
        for name in self._texts:
            self._findings.show_judged(name, pipeline.map.rejected(name))

    def _update_mesh(self, pipeline: Pipeline) -> None:
        self._revision, blocks = pipeline.mapper.mesh_blocks(self._revision)
        for key in self._regions.update(blocks):
            region = self._regions.get(key)
            self._scene.update_mesh(key, region.revision, region.vertices, region.triangles, region.colors)
        self._scene.show_mesh()
