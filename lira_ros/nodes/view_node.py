"""Show running nodes in the Rerun viewer: the map as it grows, what the camera sees, what was found and why."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.client import Client
from rclpy.task import Future
from std_srvs.srv import Trigger

from lira_msgs.msg import CandidateArray, FragmentPoses, InstanceMap, MeshUpdate
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import GetInstanceMap
from lira_ros.configuration import parameter, section
from lira_ros.ros import qos
from lira_ros.ros.conversions.candidate import candidates_from_message
from lira_ros.ros.conversions.fragment_poses import poses_from_message
from lira_ros.ros.conversions.geometry import pose_from_message
from lira_ros.ros.conversions.instance import instance_from_message
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.conversions.mesh import update_from_bytes
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.diagnostics import read_stages
from lira_ros.ros.instance_map_input import InstanceChange, InstanceMapInput
from lira_ros.ros.node import LiraNode, NodeConfiguration, run
from lira_ros.ros.sessions import MappingSessions
from lira_ros.viewer.configuration import ViewerConfiguration
from lira_ros.viewer.output import Output

# Messages wait here while an earlier one is shown; what is dropped is counted, and the others are not slowed down.
KEYFRAME_QUEUE, CANDIDATE_QUEUE, MESH_QUEUE, POSE_QUEUE, DIAGNOSTICS_QUEUE, JUDGED_QUEUE = 200, 200, 20, 30, 20, 16
# How often instructions are looked at, and the regions of the mesh that wait for their turn.
FOLLOW_PERIOD_S, MESH_PERIOD_S = 0.5, 1.0
# Stages of the diagnostics that are plotted: what a person waits for, and the two that take most of it.
STAGES = ("sensor stamp to map", "sensor stamp to published instance", "integrate", "answer a keyframe")
NICENESS = 10  # half of what there is: it yields, and still gets its turn on a busy computer


@dataclass(frozen=True)
class ViewNodeConfiguration(NodeConfiguration):
    """Parameters of the view node."""

    judged_period_s: float = parameter(
        3.0,
        "How often what was judged and does not conform is asked for [s], 0 = never",
        minimum=0.0,
        maximum=3600.0,
    )
    viewer: ViewerConfiguration = section(ViewerConfiguration)


class ViewNode(LiraNode):
    """Listens to everything that is for people and logs it; its worker is the only thread that talks to the viewer."""

    node_name = "view_node"
    configuration_class = ViewNodeConfiguration
    _output: Output | None = None
    _clients_made: tuple[Client, ...] = ()

    def open_viewer(self) -> None:
        """Open the viewer or the file; raises ViewerError."""
        self._output = Output(self.configuration.viewer)
        from lira_ros.viewer.findings import Findings
        from lira_ros.viewer.scene import Scene

        self.get_logger().info(self._output.notice)
        self._scene = Scene(self._output.stream, self.configuration.viewer)
        self._findings = Findings(self._output.stream)

    def configure(self) -> None:
        """Open the viewer and prepare what is to be shown."""
        self.open_viewer()
        self._sessions = MappingSessions(CANDIDATE_QUEUE)
        self._mesh_sequence: int | None = None
        self._frames = 0
        self._stamp_ns = 0
        self._to_judge: set[str] = set()
        self._asking: Future | None = None
        self._maps = InstanceMapInput(self, self._changed)  # first, so that what comes is known by its name
        for name, handler, capacity in (
            ("keyframes", self._add_keyframe, KEYFRAME_QUEUE),
            ("poses", self._add_pose, POSE_QUEUE),
            ("fragment_poses", self._correct, 1),  # each is the whole list
            ("candidates", self._add_candidates, CANDIDATE_QUEUE),
        ):
            self.worker.add_queue(name, handler, capacity)
        self.worker.add_queue("mesh", self._update_mesh, MESH_QUEUE)
        self.worker.add_queue("judged", self._show_judged, JUDGED_QUEUE)
        self.worker.add_queue("diagnostics", self._plot, DIAGNOSTICS_QUEUE)
        self.worker.add_periodic("follow", FOLLOW_PERIOD_S, self._follow)
        self.worker.add_periodic("mesh parts", MESH_PERIOD_S, self._show_mesh)
        self._get_map = self.create_client(GetInstanceMap, "get_instance_map")
        self._full_mesh = self.create_client(Trigger, "mapping_node/publish_full_mesh")
        self._clients_made = (self._get_map, self._full_mesh)
        if self.configuration.judged_period_s > 0:
            self.worker.add_periodic("ask for judged", self.configuration.judged_period_s, self._ask_judged)

    def activate(self) -> None:
        """Listen to everything that is for people."""
        for message_type, topic, queue, profile, required, raw in (
            (KeyframeMessage, "keyframes", "keyframes", qos.keyframes(), True, False),
            (PoseStamped, "pose", "poses", qos.sensor_input(), False, False),
            (FragmentPoses, "fragment_poses", "fragment_poses", qos.latched(), False, False),
            (CandidateArray, "candidates", "candidates", qos.stream(), False, False),
            (MeshUpdate, "map/mesh_updates", "mesh", qos.mesh_updates(), False, True),
            (DiagnosticArray, "/diagnostics", "diagnostics", qos.stream(DIAGNOSTICS_QUEUE), False, False),
        ):
            take = functools.partial(self.worker.put, queue)
            self.subscribe(message_type, topic, take, profile, required=required, raw=raw)
        self._maps.open()

    def cleanup(self) -> None:
        """Complete the recording."""
        output, self._output = self._output, None
        if output is not None:
            self._scene.show_mesh(all_of_it=True)
            output.close()
        if self.context.ok():
            for client in self._clients_made:
                self.destroy_client(client)
        self._clients_made = ()

    def shut_down(self) -> None:
        """Complete the recording besides everything else."""
        super().shut_down()
        self.cleanup()

    def autostart_failed(self) -> None:
        """End: a viewer that cannot be opened does not open later."""
        self.end_process(1)

    def time_jumped(self) -> None:
        """Go on: the mapping begins another session, which is shown anew."""

    def forget_queued(self) -> None:
        """Keep everything: messages name their mapping session."""

    def diagnose(self) -> dict[str, object]:
        """Return how much was shown."""
        return {"session": self._sessions.current, "frames": self._frames}

    # ---- worker ------------------------------------------------------------------------------------------------

    def _at(self, stamp_ns: int) -> None:
        """Let what follows be shown at its stamp: what a sensor saw."""
        self._stamp_ns = max(self._stamp_ns, stamp_ns)
        self._scene.set_time(stamp_ns, self._frames)

    def _now(self) -> None:
        """Let what follows be shown at the newest stamp: what was understood, which comes when it comes."""
        self._scene.set_time(self._stamp_ns, self._frames)

    def _begin(self, session: int, map_frame: str, where: str) -> None:
        before = self._sessions.current
        if self._sessions.begin(session, map_frame, where) and before:
            self._stamp_ns = 0
            self._scene.begin_session()

    def _add_pose(self, message: PoseStamped) -> None:
        self._frames += 1
        self._at(stamp_to_ns(message.header.stamp))
        self._scene.show_camera(pose_from_message(message.pose, self.resolve_topic_name("pose")))

    def _add_keyframe(self, message: KeyframeMessage) -> None:
        topic = self.resolve_topic_name("keyframes")
        keyframe = keyframe_from_message(message, topic)
        self._begin(message.session, message.header.frame_id, f"{topic}: keyframe {message.id}")
        self._at(keyframe.frame.stamp_ns)
        self._scene.add_keyframe(keyframe)

    def _correct(self, message: FragmentPoses) -> None:
        if message.session == self._sessions.current:
            topic = self.resolve_topic_name("fragment_poses")
            self._now()
            self._scene.correct(poses_from_message(message, topic).keyframes)

    def _add_candidates(self, message: CandidateArray) -> None:
        if message.session != self._sessions.current:
            return  # a picture that is not shown: nothing waits for it
        candidates = candidates_from_message(message, self.resolve_topic_name("candidates"))
        asked = self._maps.maps.instructions.get(candidates.instruction_id)
        self._now()
        self._scene.show_answer(candidates, candidates.instruction_id if asked is None else asked.text)

    def _update_mesh(self, data: bytes) -> None:
        topic = self.resolve_topic_name("map/mesh_updates")
        head, regions = update_from_bytes(data, topic)
        self._begin(head.session, head.frame_id, topic)
        self._now()
        if head.clear:
            self._scene.clear_mesh()
        elif self._mesh_sequence is not None and head.sequence != self._mesh_sequence + 1:
            self.report("mesh updates lost", f"{topic}: updates were lost: the whole mesh is asked for")
            if self._full_mesh.service_is_ready():
                self._full_mesh.call_async(Trigger.Request())
        self._mesh_sequence = head.sequence
        for region in regions:
            shape = (region.vertices, region.triangles, region.colors)
            self._scene.update_mesh(region.coordinates, region.revision, *shape)
        self._scene.show_mesh()

    def _show_mesh(self) -> None:
        self._now()
        self._scene.show_mesh()

    def _follow(self) -> None:
        """Show what is asked for and where it stands."""
        maps = self._maps.maps
        self._now()
        self._findings.show_instructions({name: (a.text, a.understood) for name, a in maps.instructions.items()})
        for status in maps.statuses.values():
            if status.instruction_id in maps.instructions:
                self._findings.show_status(status)

    def _changed(self, change: InstanceChange) -> None:
        self._follow()
        self._now()
        self._findings.show_changes(change.instruction_id, change.changed, change.removed)
        gone = tuple(set(change.removed) - self._findings.instance_ids())
        self._scene.set_instances({item.id: item for item in change.changed}, gone)
        self._to_judge.add(change.instruction_id)

    def _ask_judged(self) -> None:
        """Ask for what does not conform to an instruction whose map has changed; one question at a time."""
        self._to_judge &= set(self._maps.maps.instructions)
        waiting = self._asking is not None and not self._asking.done()
        if waiting or not self._to_judge or self.state != "active" or not self._get_map.service_is_ready():
            return
        request = GetInstanceMap.Request(instruction_id=self._to_judge.pop(), include_rejected=True)
        self._asking = self._get_map.call_async(request)
        self._asking.add_done_callback(self._judged)

    def _judged(self, future: Any) -> None:
        response = future.result()
        if response is not None and response.success:
            self.worker.put("judged", response.map)

    def _show_judged(self, message: InstanceMap) -> None:
        if message.instruction_id in self._maps.maps.instructions:
            self._now()
            rejected = [instance_from_message(item, "get_instance_map") for item in message.rejected]
            self._findings.show_judged(message.instruction_id, rejected)

    def _plot(self, message: DiagnosticArray) -> None:
        own = self.get_namespace().rstrip("/") + "/"
        self._now()
        for status in message.status:
            if not status.name.startswith(own):
                continue
            for stage, figures in read_stages({pair.key: pair.value for pair in status.values}).items():
                if stage in STAGES:
                    self._findings.plot(stage, figures["p95_ms"])


def main(args: list[str] | None = None) -> int:
    """Run the view node until SIGINT or SIGTERM; it gives way to the nodes whose work it shows."""
    os.nice(NICENESS)
    return run(ViewNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
