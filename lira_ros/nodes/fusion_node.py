"""Fuse candidates and fragments into instances, judge them, and publish the map of those that conform."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from lira_msgs.msg import (
    CandidateArray,
    InstanceMap,
    InstanceMapUpdate,
    InstructionArray,
    InstructionStatusArray,
    VoxelFragment,
)
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import GetInstanceMap, QueryInstances
from lira_ros.configuration import parameter, section
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap, MapChange, ReasoningProgress
from lira_ros.fusion.contracts import SearchState
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.configuration import LanguageConfiguration, load_encoder
from lira_ros.reasoning.language.parser import InstructionError, parse
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros import qos
from lira_ros.ros.conversions.candidate import candidates_from_message
from lira_ros.ros.conversions.fragment import fragment_from_message
from lira_ros.ros.conversions.instance import (
    DetectionLabels,
    InstanceMarkers,
    detections_to_message,
    instance_to_message,
    instances_to_cloud,
    map_to_message,
    update_to_message,
)
from lira_ros.ros.conversions.instruction import instruction_from_message, statuses_to_message
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode, NodeConfiguration, run

# Messages wait here while an earlier one is fused; candidates are answered for each keyframe and instruction.
KEYFRAME_QUEUE, FRAGMENT_QUEUE, CANDIDATE_QUEUE = 200, 60, 400


@dataclass(frozen=True)
class FusionNodeConfiguration(NodeConfiguration):
    """Parameters of the fusion node."""

    publish_rate_hz: float = parameter(
        10.0, "How often changes are judged and published at most", minimum=0.1, maximum=60.0
    )
    full_map_rate_hz: float = parameter(
        1.0,
        "How often the latched full maps are renewed at most; updates carry the changes between",
        minimum=0.05,
        maximum=60.0,
    )
    fusion: FusionConfiguration = section(FusionConfiguration)
    language: LanguageConfiguration = section(LanguageConfiguration)


class FusionNode(LiraNode):
    """Owns the instances; joins keyframes, fragments and candidates by id, whenever they arrive."""

    node_name = "fusion_node"
    configuration_class = FusionNodeConfiguration

    def offer_services(self) -> None:
        """Offer to fetch, to query and to reset the map."""
        self.offer(GetInstanceMap, "get_instance_map", self._get_map, GetInstanceMap.Response.NOT_CONFIGURED)
        self.offer(QueryInstances, "query_instances", self._query, QueryInstances.Response.NOT_CONFIGURED)
        self.offer(Trigger, "~/reset", self._reset)

    def configure(self) -> None:
        """Create the map and the publishers."""
        encoder, note = load_encoder(self.configuration.language)
        if note:
            self.report("language", note)
        inference = TargetInference(Relevance(encoder))
        self._map = ConformingMap(InstanceFusion(self.configuration.fusion), inference)
        self._session = 0
        self._map_frame = ""
        self._sequence = 0
        self._stale: set[str] = set()
        self._markers = InstanceMarkers()
        self._labels = DetectionLabels()
        self._maps = self.publish_on(InstanceMap, "instance_map", qos.instance_maps())
        self._updates = self.publish_on(InstanceMapUpdate, "instance_map/updates", qos.stream())
        self._marker_output = self.publish_on(MarkerArray, "instances/markers", qos.latched())
        self._points = self.publish_on(PointCloud2, "instances/points", qos.latched())
        self._detections = self.publish_on(Detection3DArray, "instances/detections", qos.latched())
        self._label_info = self.publish_on(LabelInfo, "instances/label_info", qos.latched())
        self._status = self.publish_on(InstructionStatusArray, "instruction_status", qos.latched())
        self.worker.add_queue("instructions", self._take_instructions, 1)
        self.worker.add_queue("progress", self._take_progress, 1)
        self.worker.add_queue("keyframes", self._add_keyframe, KEYFRAME_QUEUE)
        self.worker.add_queue("fragments", self._add_fragment, FRAGMENT_QUEUE)
        self.worker.add_queue("candidates", self._add_candidates, CANDIDATE_QUEUE)
        self.worker.add_periodic("publish", 1.0 / self.configuration.publish_rate_hz, self._publish_changes)
        self.worker.add_periodic("publish full maps", 1.0 / self.configuration.full_map_rate_hz, self._publish_maps)

    def activate(self) -> None:
        """Listen to mapping and reasoning."""
        for message_type, topic, queue, profile, required in (
            (InstructionArray, "instructions", "instructions", qos.latched(), True),
            (InstructionStatusArray, "reasoning_status", "progress", qos.latched(), False),
            (KeyframeMessage, "keyframes", "keyframes", qos.keyframes(), True),
            (VoxelFragment, "fragments", "fragments", qos.fragments(), False),
            (CandidateArray, "candidates", "candidates", qos.candidates(), False),
        ):
            self.subscribe(
                message_type,
                topic,
                lambda message, queue=queue: self.worker.put(queue, message),
                profile,
                required=required,
            )

    def time_jumped(self) -> None:
        """Start anew; the mapping starts a new session as well."""
        self._forget()

    def diagnose(self) -> dict[str, object]:
        """Return the size of the map."""
        if self.state not in ("inactive", "active"):
            return {}
        return {"instructions": len(self._map.instructions), **asdict(self._map.fusion.statistics())}

    # ---- worker ------------------------------------------------------------------------------------------------

    def _take_instructions(self, message: InstructionArray) -> None:
        instructions = []
        for item in message.instructions:
            try:
                instructions.append(instruction_from_message(item))
            except InstructionError as error:
                topic = self.resolve_topic_name("instructions")
                self.report("instruction refused", f"{topic}: instruction {item.id!r}: {error}")
        for name in self._map.set_instructions(instructions):
            self._stale.discard(name)
        self._show()
        self._publish_status()

    def _take_progress(self, message: InstructionStatusArray) -> None:
        for item in message.statuses:
            failure = item.reason if item.state == SearchState.FAILED else ""
            progress = ReasoningProgress(item.keyframes_answered, item.keyframes_pending, failure)
            self._map.note_progress(item.instruction_id, progress)

    def _add_keyframe(self, message: KeyframeMessage) -> None:
        self._enter_session(message.session)
        self._map_frame = message.header.frame_id
        self._map.add_keyframe(keyframe_from_message(message, self.resolve_topic_name("keyframes")))

    def _add_fragment(self, message: VoxelFragment) -> None:
        if message.session != self._session:
            self.report("fragment of another session", f"fragment {message.id} of session {message.session} is ignored")
            return
        self._map.add_fragment(fragment_from_message(message, self.resolve_topic_name("fragments")))

    def _add_candidates(self, message: CandidateArray) -> None:
        topic = self.resolve_topic_name("candidates")
        where = f"{topic}: keyframe {message.keyframe_id}"
        if message.session != self._session:
            raise ConversionError(f"{where}: expected mapping session {self._session}, got {message.session}")
        if self._map_frame and message.header.frame_id != self._map_frame:
            raise ConversionError(f"{where}: expected frame {self._map_frame!r}, got {message.header.frame_id!r}")
        self._map.add_candidates(candidates_from_message(message, topic))

    def _enter_session(self, session: int) -> None:
        if session != self._session:
            if self._session:
                self.get_logger().info("a new mapping session has begun: the instance map starts anew")
                self._forget()
            self._session = session

    def _forget(self) -> None:
        self._map.reset()
        self._session = 0
        self._marker_output.publish(self._markers.clear())
        for instruction, status in zip(self._map.instructions, self._map.statuses(), strict=True):
            self._sequence += 1
            update = update_to_message(
                (), (), status, (0, 0), self._sequence, self._map.stamp_ns, self._map_frame, clear=True
            )
            self._updates.publish(update)
            self._stale.add(instruction.id)
        self._publish_status()

    def _publish_changes(self) -> None:
        if self.state != "active":
            return
        changes = self._map.refresh()
        for change in changes:
            if change.delta is not None:
                self._publish_update(change)
        if changes:
            self._publish_status()
        if any(change.delta is not None for change in changes):
            self._show()

    def _publish_update(self, change: MapChange) -> None:
        delta = change.delta
        assert delta is not None
        self._sequence += 1
        self._stale.add(change.instruction_id)
        revisions = (delta.base_revision, delta.revision)
        self._updates.publish(
            update_to_message(
                delta.changed,
                delta.removed,
                change.status,
                revisions,
                self._sequence,
                self._map.stamp_ns,
                self._map_frame,
            )
        )
        if delta.changed:
            age_ns = self.get_clock().now().nanoseconds - max(item.last_seen_ns for item in delta.changed)
            self.statistics.latency("sensor stamp to published instance", age_ns * 1e-9)

    def _publish_maps(self) -> None:
        # One latched topic holds the maps of all instructions: all are sent again when one has changed, so that the
        # last messages are always one of each.
        if not self._stale or self.state != "active":
            return
        self._stale.clear()
        for instruction in self._map.instructions:
            self._maps.publish(self._full_map(instruction.id, include_rejected=False))

    def _full_map(self, instruction_id: str, *, include_rejected: bool) -> InstanceMap:
        view = self._map.view(instruction_id)
        return map_to_message(
            view.instances,
            self._map.rejected(instruction_id) if include_rejected else (),
            self._map.status(instruction_id),
            view.revision,
            self._map.stamp_ns,
            self._map_frame,
        )

    def _publish_status(self) -> None:
        self._status.publish(statuses_to_message(self._map.statuses(), self._map.stamp_ns, self._map_frame))

    def _show(self) -> None:
        shown = {item.id: self._map.view(item.id).instances for item in self._map.instructions}
        stamp_ns = self._map.stamp_ns
        self._marker_output.publish(self._markers.message(shown, stamp_ns, self._map_frame))
        labels_before = self._labels.count
        self._detections.publish(detections_to_message(shown, self._labels, stamp_ns, self._map_frame))
        if self._labels.count != labels_before:
            self._label_info.publish(self._labels.message(stamp_ns, self._map_frame))
        unique = {instance.id: instance for instances in shown.values() for instance in instances}
        self._points.publish(instances_to_cloud(unique.values(), stamp_ns, self._map_frame))

    # ---- services ----------------------------------------------------------------------------------------------

    def _get_map(self, request: GetInstanceMap.Request, response: GetInstanceMap.Response) -> None:
        names = [item.id for item in self._map.instructions]
        if not names:
            response.code = GetInstanceMap.Response.NO_INSTRUCTION
            response.message = "no instruction is active; submit one first"
            return
        wanted = request.instruction_id or names[-1]
        if wanted not in names:
            response.code = GetInstanceMap.Response.UNKNOWN_ID
            response.message = f"instruction_id {wanted!r}: no such instruction; active: {', '.join(names)}"
            return
        self._publish_changes()
        response.success = True
        response.code = GetInstanceMap.Response.OK
        response.map = self._full_map(wanted, include_rejected=request.include_rejected)
        response.message = f"{wanted}: {len(response.map.instances)} instances conform"

    def _query(self, request: QueryInstances.Request, response: QueryInstances.Response) -> None:
        center = np.array([request.center.x, request.center.y, request.center.z])
        if request.use_sphere and not (
            np.isfinite(center).all() and request.radius_m > 0 and math.isfinite(request.radius_m)
        ):
            response.code = QueryInstances.Response.INVALID_REGION
            response.message = (
                f"expected a finite center and radius_m > 0, got {center.tolist()} and {request.radius_m}"
            )
            return
        query = None
        if request.text:
            try:
                query = Instruction("query", request.text, parse(request.text))
            except InstructionError as error:
                codes = QueryInstances.Response
                response.code = codes.TEXT_TOO_LONG if error.code == "TEXT_TOO_LONG" else codes.NOT_UNDERSTOOD
                response.message = error.message
                return
        sphere = (center, request.radius_m) if request.use_sphere else None
        instances = self._map.query(query, set(request.ids), request.label, sphere)
        response.success = True
        response.code = QueryInstances.Response.OK
        response.header.stamp = stamp_from_ns(self._map.stamp_ns)
        response.header.frame_id = self._map_frame
        response.instances = [instance_to_message(i, with_voxels=request.include_voxels) for i in instances]
        response.message = f"{len(instances)} instances"

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._forget()
        response.success = True
        response.message = "all instances are forgotten; instructions stay"


def main(args: list[str] | None = None) -> int:
    """Run the fusion node until SIGINT or SIGTERM."""
    return run(FusionNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
