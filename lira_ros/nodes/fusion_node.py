"""Fuse candidates and fragments into instances, judge them, and publish the map of those that conform."""

from __future__ import annotations

import functools
import time
from collections import deque
from dataclasses import asdict, dataclass

from std_srvs.srv import Trigger

from lira_msgs.msg import CandidateArray, FragmentPoses, InstructionArray, InstructionStatusArray, VoxelFragment
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import GetInstanceMap, GetInstanceViews, QueryInstances
from lira_ros.configuration import parameter, section
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap, ReasoningProgress
from lira_ros.fusion.contracts import SearchState
from lira_ros.fusion.engine import Outcome, create_fusion
from lira_ros.fusion.table_judging import TableJudging, create_table_judging
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.pipeline.warm_up import warm_up_fusion
from lira_ros.reasoning.language.parser import InstructionError
from lira_ros.reasoning.relevance import LanguageConfiguration, create_relevance
from lira_ros.reasoning.remote.configuration import JudgeConfiguration
from lira_ros.ros import qos
from lira_ros.ros.conversions.candidate import candidates_from_message
from lira_ros.ros.conversions.fragment import fragment_from_message
from lira_ros.ros.conversions.fragment_poses import poses_from_message
from lira_ros.ros.conversions.instruction import instruction_from_message, status_from_message
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.instance_map_output import InstanceMapOutput
from lira_ros.ros.instance_services import InstanceServices
from lira_ros.ros.node import LiraNode, NodeConfiguration, run
from lira_ros.ros.sessions import MappingSessions
from lira_ros.ros.state_services import StateServices

# Judging and publishing may take this part of the worker's time; the rest is for what comes in.
PUBLISH_SHARE = 0.35
# Messages wait here while an earlier one is fused; candidates are answered for each keyframe and instruction.
KEYFRAME_QUEUE, FRAGMENT_QUEUE, CANDIDATE_QUEUE = 200, 60, 400
# Topics overtake each other by milliseconds, and the history that a late joiner gets takes a second or two.
OVERDUE_S, OVERDUE_PERIOD_S = 5.0, 1.0
# What waits for more keyframes is fused when none came for so long: the robot stands, or the recording is over.
QUIET_S = 10.0
# How often it is looked whether the table for a judge has changed; how often that is asked is a parameter.
JUDGE_PERIOD_S = 0.5


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
    judge: JudgeConfiguration = section(JudgeConfiguration)


class FusionNode(LiraNode):
    """Owns the instances; joins keyframes, fragments and candidates by id, whenever they arrive."""

    node_name = "fusion_node"
    configuration_class = FusionNodeConfiguration
    headline = ("instructions", "instances")
    _judging: TableJudging | None = None

    def offer_services(self) -> None:
        """Offer to fetch, to query and to reset the map."""
        for kind, name, answer in (
            (GetInstanceMap, "get_instance_map", lambda *call: self._answers.get_map(*call)),
            (QueryInstances, "query_instances", lambda *call: self._answers.query(*call)),
            (GetInstanceViews, "get_instance_views", lambda *call: self._answers.get_views(*call)),
        ):
            self.offer(kind, name, answer, kind.Response.NOT_CONFIGURED)
        self.offer(Trigger, "~/reset", self._reset)
        StateServices(self, lambda: self._sessions, self._give_state, self._take_state, self._state_begun)

    def configure(self) -> None:
        """Create the map and the publishers."""
        relevance = create_relevance(self.configuration.language)
        warm_up_fusion(relevance)
        inference = TargetInference(relevance)
        fusion = create_fusion(self.configuration.fusion, relevance.text_encoder())
        self._map = ConformingMap(fusion, inference)
        self._quiet_since_s = time.monotonic()
        self._sessions = MappingSessions(CANDIDATE_QUEUE)
        self._unmatched: deque[tuple[float, int]] = deque(maxlen=CANDIDATE_QUEUE)
        self._output = InstanceMapOutput(self, self._map, self._sessions)
        self._answers = InstanceServices(self, self._map, self._sessions, self._output)
        self.worker.add_queue("instructions", self._take_instructions, 1)
        self.worker.add_queue("progress", self._take_progress, 1)
        self.worker.add_queue("keyframes", self._add_keyframe, KEYFRAME_QUEUE)
        self.worker.add_queue("fragments", self._add_fragment, FRAGMENT_QUEUE)
        self.worker.add_queue("fragment_poses", self._take_poses, 1)  # each is the whole list
        self.worker.add_queue("candidates", self._add_candidates, CANDIDATE_QUEUE)
        self.worker.add_periodic(
            "publish", 1.0 / self.configuration.publish_rate_hz, self._publish_changes, PUBLISH_SHARE
        )
        self.worker.add_periodic("publish full maps", 1.0 / self.configuration.full_map_rate_hz, self._publish_maps)
        self.worker.add_periodic("overdue", OVERDUE_PERIOD_S, self._report_overdue)
        self.worker.add_periodic("finish", QUIET_S, self._finish)
        failed = functools.partial(self.report, "judge")
        self._judging = create_table_judging(self.configuration.judge, self._map, self.worker.submit, failed)
        if self._judging is not None:
            self.worker.add_periodic("judge", JUDGE_PERIOD_S, self._judging.offer)

    def activate(self) -> None:
        """Listen to mapping and reasoning."""
        for message_type, topic, queue, profile, required in (
            (InstructionArray, "instructions", "instructions", qos.latched(), True),
            (InstructionStatusArray, "reasoning_status", "progress", qos.latched(), False),
            (KeyframeMessage, "keyframes", "keyframes", qos.keyframes(), True),
            (VoxelFragment, "fragments", "fragments", qos.fragments(), False),
            (FragmentPoses, "fragment_poses", "fragment_poses", qos.latched(), False),
            (CandidateArray, "candidates", "candidates", qos.candidates(), False),
        ):
            self.subscribe(
                message_type,
                topic,
                lambda message, queue=queue: self.worker.put(queue, message),
                profile,
                required=required,
            )

    def deactivate(self) -> None:
        """Show nothing any more; the instances stay."""
        self.worker.submit(self._output.withdraw)

    def withdraw(self) -> None:
        """Show nothing any more."""
        self._output.withdraw()

    def cleanup(self) -> None:
        """End the judging."""
        judging, self._judging = self._judging, None
        if judging is not None:
            judging.close()

    def shut_down(self) -> None:
        """End the judging besides everything else."""
        super().shut_down()
        self.cleanup()

    def forget_queued(self) -> None:
        """Keep everything: messages name their mapping session, and the mapping begins another when time goes back."""

    def diagnose(self) -> dict[str, object]:
        """Return the size of the map."""
        return {
            "session": self._sessions.current,
            "instructions": len(self._map.instructions),
            **asdict(self._map.fusion.statistics()),
            **(self._judging.diagnose() if self._judging is not None else {}),
        }

    # ---- worker ------------------------------------------------------------------------------------------------

    def _take_instructions(self, message: InstructionArray) -> None:
        instructions = []
        for item in message.instructions:
            try:
                instructions.append(instruction_from_message(item))
            except InstructionError as error:
                topic = self.resolve_topic_name("instructions")
                self.report("instruction refused", f"{topic}: instruction {item.id!r}: {error}")
        known = {item.id for item in self._map.instructions}
        gone = self._map.set_instructions(instructions)
        self._output.follow_instructions(known, gone)

    def _take_progress(self, message: InstructionStatusArray) -> None:
        for item in message.statuses:
            status = status_from_message(item)
            progress = ReasoningProgress(
                status.keyframes_answered,
                status.keyframes_pending,
                failure=status.reason if status.state == SearchState.FAILED else "",
                waiting=status.reason if status.state == SearchState.PENDING else "",
            )
            self._map.note_progress(status.instruction_id, progress)

    def _add_keyframe(self, message: KeyframeMessage) -> None:
        topic = self.resolve_topic_name("keyframes")
        keyframe = keyframe_from_message(message, topic)
        self._begin_session(message.session, message.header.frame_id, f"{topic}: keyframe {message.id}")
        self._map.add_keyframe(keyframe)
        self._quiet_since_s = time.monotonic()

    def _add_fragment(self, message: VoxelFragment) -> None:
        topic = self.resolve_topic_name("fragments")
        where = f"{topic}: fragment {message.id}"
        if message.clear:
            self._begin_session(message.session, message.header.frame_id, where)
        elif self._is_current("fragments", message, where):
            self._map.add_fragment(fragment_from_message(message, topic))

    def _take_poses(self, message: FragmentPoses) -> None:
        topic = self.resolve_topic_name("fragment_poses")
        if not self._is_current("fragment_poses", message, topic):
            return
        poses = poses_from_message(message, topic)
        if poses.removed or poses.removed_keyframes:
            self._map.forget_places(poses.removed_keyframes, poses.removed)
        moved = self._map.correct_poses(poses.keyframes, poses.fragments)
        self.statistics.count("pose corrections")
        self.statistics.count("instances moved", moved)

    def _add_candidates(self, message: CandidateArray) -> None:
        topic = self.resolve_topic_name("candidates")
        if not self._is_current("candidates", message, f"{topic}: keyframe {message.keyframe_id}"):
            return
        try:
            outcome = self._map.add_candidates(candidates_from_message(message, topic))
        except ValueError:
            self._map.note_lost(message.instruction_id, message.keyframe_id)
            raise
        if outcome is Outcome.WAITING:
            self._unmatched.append((time.monotonic(), message.keyframe_id))

    def _is_current(self, queue: str, message: CandidateArray | FragmentPoses | VoxelFragment, where: str) -> bool:
        """Tell whether a message is of the current session; one of a session to come is kept until that begins."""
        self._sessions.refuse_ended(message.session, where)
        if message.session != self._sessions.current:
            self._sessions.keep(message.session, queue, message)
            return False
        self._sessions.check_frame(message.header.frame_id, where)
        return True

    def _begin_session(self, session: int, map_frame: str, where: str) -> None:
        before = self._sessions.current
        if not self._sessions.begin(session, map_frame, where):
            return
        if before:
            self.get_logger().info("a new mapping session has begun: the instance map starts anew")
            self._forget()
        self._take_early()

    def _take_early(self) -> None:
        for queue, message in self._sessions.take_early():
            self.worker.put(queue, message)

    def _forget(self, *, same_session: bool = False) -> None:
        self._map.reset(same_session=same_session)
        self._unmatched.clear()
        self._output.start_anew()

    def _finish(self) -> None:
        if time.monotonic() - self._quiet_since_s >= QUIET_S:
            self._map.fusion.finish()

    def _report_overdue(self) -> None:
        """Say which messages name a session or a keyframe that did not come; nothing else would ever tell."""
        current = self._sessions.current
        for item in self._sessions.take_overdue(OVERDUE_S):
            topic = self.resolve_topic_name(item.queue)
            names = {"candidates": ("keyframe", "keyframe_id"), "fragments": ("fragment", "id")}
            kind, field = names.get(item.queue, ("poses of map", "sequence"))
            what = f"{kind} {getattr(item.message, field)}"
            self.report(
                f"{topic} of another session",
                f"{topic}: {what}: expected mapping session {current or 'of a keyframe'}, got {item.session}",
            )
        while self._unmatched and self._unmatched[0][0] < time.monotonic() - OVERDUE_S:
            _, keyframe_id = self._unmatched.popleft()
            if not self._map.has_keyframe(keyframe_id):
                topic = self.resolve_topic_name("candidates")
                self.report(
                    f"{topic} without keyframe",
                    f"{topic}: keyframe {keyframe_id}: no such keyframe came within {OVERDUE_S:g} s; the answer waits",
                )

    def _publish_changes(self) -> None:
        if self.state == "active":
            self._output.publish_changes()
            self._answers.prepare()

    def _publish_maps(self) -> None:
        if self.state == "active":
            self._output.publish_stale_maps()

    # ---- services ----------------------------------------------------------------------------------------------

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._forget(same_session=True)
        response.success = True
        response.message = "all instances are forgotten; instructions stay"

    def _give_state(self) -> bytes:
        if self.state == "active":
            self._output.publish_changes()
        return self._map.export_state(self._sessions.map_frame)

    def _take_state(self, data: bytes) -> str:
        if data:
            self._map.import_state(data)
        else:
            self._map.reset()
        return f"{len(self._map.fusion.instances())} instances go on with their ids"

    def _state_begun(self) -> None:
        self._unmatched.clear()
        self._output.start_anew()
        self._take_early()


def main(args: list[str] | None = None) -> int:
    """Run the fusion node until SIGINT or SIGTERM."""
    return run(FusionNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
