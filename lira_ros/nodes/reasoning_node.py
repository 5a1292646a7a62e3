"""Accept instructions and answer each keyframe with the candidates that matter for them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from sensor_msgs.msg import Image

from lira_msgs.msg import CandidateArray, InstructionArray, InstructionStatusArray
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import CancelInstruction, ListInstructions, SubmitInstruction
from lira_ros.configuration import parameter, section
from lira_ros.datasets import open_sequence
from lira_ros.evaluation.runner import ground_truth
from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.pipeline.warm_up import warm_up_reasoning
from lira_ros.reasoning import saved_state
from lira_ros.reasoning.asking import Outcome, Questioner
from lira_ros.reasoning.backends import ReasonerConfiguration, back_ends_of, create_reasoner
from lira_ros.reasoning.contracts import CandidateSet, ReasoningError, ServerUnavailable, Task
from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.language.parser import InstructionError, describe
from lira_ros.reasoning.overlay import draw_overlay
from lira_ros.reasoning.relevance import LanguageConfiguration, create_relevance
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration
from lira_ros.ros import qos
from lira_ros.ros.conversions.candidate import candidates_to_message
from lira_ros.ros.conversions.image import image_to_message
from lira_ros.ros.conversions.instruction import (
    instruction_to_message,
    instructions_to_message,
    status_from_message,
    status_to_message,
    statuses_to_message,
)
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.errors import plain_trace
from lira_ros.ros.node import LiraNode, NodeConfiguration, run
from lira_ros.ros.search_status import SLOW_S, search_status, trouble
from lira_ros.ros.sessions import MappingSessions
from lira_ros.ros.state_services import StateServices

# Of more instructions than these the diagnostics do not say what is wrong; list_instructions does.
MAX_TROUBLES = 16
# Keyframes wait as messages (about 0.3 MB each) until the worker takes them into the store.
KEYFRAME_QUEUE = 200
# Nothing else may happen while a server is away; this often it is looked whether it is time to ask again.
ASK_PERIOD_S = 0.2
# How often it is said for how long answers have been coming.
SLOW_PERIOD_S = 5.0


@dataclass(frozen=True)
class ReasoningNodeConfiguration(NodeConfiguration):
    """Parameters of the reasoning node."""

    overlay_rate_hz: float = parameter(
        2.0, "Most images with masks published per second; 0 = none", minimum=0.0, maximum=30.0, read_only=False
    )
    recording: str = parameter("", "Recording with annotated objects that the oracle back end answers from")
    reasoner: ReasonerConfiguration = section(ReasonerConfiguration)
    language: LanguageConfiguration = section(LanguageConfiguration)
    instructions: InstructionConfiguration = section(InstructionConfiguration)
    scheduler: SchedulerConfiguration = section(SchedulerConfiguration)


class ReasoningNode(LiraNode):
    """Owns the instructions and the keyframe store; asks the reasoner, newest keyframe first.

    The reasoner thinks in threads of its own: keyframes and services do not wait for it.
    """

    node_name = "reasoning_node"
    configuration_class = ReasoningNodeConfiguration
    headline = ("reasoner", "instructions", "keyframes stored")
    _questioner: Questioner | None = None

    def offer_services(self) -> None:
        """Offer to submit, cancel and list instructions."""
        self.offer(SubmitInstruction, "submit_instruction", self._submit, SubmitInstruction.Response.NOT_CONFIGURED)
        self.offer(CancelInstruction, "cancel_instruction", self._cancel, CancelInstruction.Response.NOT_CONFIGURED)
        self.offer(ListInstructions, "list_instructions", self._list, ListInstructions.Response.NOT_CONFIGURED)
        StateServices(self, lambda: self._sessions, self._give_state, self._take_state, self._publish_instructions)

    def configure(self) -> None:
        """Load the back end; a missing model is said here and not on the first keyframe."""
        recording = self.configuration.recording
        truth = ground_truth(open_sequence(recording)) if recording else None
        relevance = create_relevance(self.configuration.language)
        if "compact" in back_ends_of(self.configuration.reasoner):
            warm_up_reasoning(relevance)
        reasoner = create_reasoner(self.configuration.reasoner, relevance, truth)
        self._book = InstructionBook(self.configuration.instructions, any_language=reasoner.any_language)
        self._scheduler = ReasoningScheduler(self.configuration.scheduler)
        self._sessions = MappingSessions(capacity=1)
        self._newest_ns = 0
        self._judged: dict[str, InstructionStatus] = {}
        self._overlay_s = float("-inf")
        self._candidates = self.publish_on(CandidateArray, "candidates", qos.candidates())
        self._instructions = self.publish_on(InstructionArray, "instructions", qos.latched())
        self._status = self.publish_on(InstructionStatusArray, "reasoning_status", qos.latched())
        self._overlay = self.publish_on(Image, "reasoning/overlay", qos.image_output())
        self.worker.add_queue("keyframes", self._add_keyframe, KEYFRAME_QUEUE)
        self.worker.add_queue("statuses", self._take_statuses, 1)
        worker = self.worker
        self._questioner = Questioner(reasoner, lambda outcome: worker.put("answers", outcome))
        # A thread is given work only when no answer waits, so that at most two of its answers wait: none is lost.
        worker.add_queue("answers", self._take_outcome, 2 * max(1, reasoner.parallel_calls))
        # Idle work comes after everything that came in: the newest keyframe is there to be asked about.
        worker.set_idle_work(self._ask)
        worker.add_periodic("ask again", ASK_PERIOD_S, self._ask)
        worker.add_periodic("publish slow", SLOW_PERIOD_S, self._publish_slow)

    def activate(self) -> None:
        """Listen for keyframes, and for what fusion makes of the answers."""
        self.subscribe(
            KeyframeMessage, "keyframes", lambda message: self.worker.put("keyframes", message), qos.keyframes()
        )
        self.subscribe(
            InstructionStatusArray,
            "instruction_status",
            lambda message: self.worker.put("statuses", message),
            qos.latched(),
            required=False,
        )

    def cleanup(self) -> None:
        """End the threads that ask, and close the back end."""
        questioner, self._questioner = self._questioner, None
        if questioner is None:
            return
        try:
            if not questioner.close():
                self.get_logger().warning(f"{questioner.reasoner.name} is still thinking, its thread is left behind")
        except Exception as error:  # the node ends or begins anew without it either way
            self.get_logger().error(f"{questioner.reasoner.name} could not be closed:\n{plain_trace(error)}")

    def shut_down(self) -> None:
        """End the threads that ask besides everything else."""
        super().shut_down()
        self.cleanup()

    def forget_queued(self) -> None:
        """Keep everything: messages name their mapping session, and the mapping begins another when time goes back."""

    def diagnose(self) -> dict[str, object]:
        """Return how much is asked and stored, and what the back end says of itself."""
        assert self._questioner is not None
        reasoner = self._questioner.reasoner
        progress = {item.id: self._scheduler.progress(item.id) for item in self._book.active}
        thinking_s = self._questioner.longest_s
        troubles = [(name, said) for name, item in progress.items() if (said := trouble(item, thinking_s))]
        return {
            "session": self._sessions.current,
            "reasoner": reasoner.name,
            "instructions": len(self._book.active),
            "keyframes stored": self._scheduler.keyframe_count,
            "keyframe image bytes": self._scheduler.keyframe_bytes,
            "keyframes forgotten": self._scheduler.forgotten_keyframes,
            "questions in flight": self._questioner.in_flight,
            "questions pending": sum(item.pending for item in progress.values()),
            "questions skipped, nothing new in sight": sum(item.skipped for item in progress.values()),
            "questions given up": sum(item.failed for item in progress.values()),
            "oldest question s": f"{max((item.oldest_s for item in progress.values()), default=0.0):.1f}",
            "longest call s": f"{thinking_s:.1f}",
            **{f"trouble of {name}": said for name, said in troubles[:MAX_TROUBLES]},
            **{f"{reasoner.name} {name}": value for name, value in reasoner.diagnose().items()},
        }

    # ---- worker ------------------------------------------------------------------------------------------------

    def _add_keyframe(self, message: KeyframeMessage) -> None:
        topic = self.resolve_topic_name("keyframes")
        keyframe = keyframe_from_message(message, topic)
        if self._sessions.begin(message.session, message.header.frame_id, f"{topic}: keyframe {message.id}"):
            self._scheduler.clear_keyframes()
            self._newest_ns = 0
        self._newest_ns = max(self._newest_ns, keyframe.frame.stamp_ns)
        self._scheduler.add_keyframe(keyframe)
        self._publish_status()

    def _take_statuses(self, message: InstructionStatusArray) -> None:
        self._judged = {item.instruction_id: status_from_message(item) for item in message.statuses}

    def _ask(self) -> bool:
        questioner = self._questioner
        if questioner is None or self.state != "active" or not questioner.free:
            return False
        tasks = self._scheduler.next_tasks(questioner.reasoner.batch_size, questioner.lane)
        if tasks:
            self.statistics.count("questions asked", len(tasks))
            questioner.ask(tasks)
        return bool(tasks)

    def _take_outcome(self, outcome: Outcome) -> None:
        for task, answer in zip(outcome.tasks, outcome.answers, strict=True):
            if isinstance(answer, Exception):
                self._take_failure(task, answer)
            elif self._scheduler.report_answered(task):
                self._take_answer(task, answer)
            else:
                self.statistics.count("answers that came too late")
        self._publish_status()

    def _take_failure(self, task: Task, error: Exception) -> None:
        # A back end may wrap any model; whatever it raises means "no answer".
        again = self._scheduler.report_failed(task, error)
        self.statistics.count("questions to be asked again", int(again))
        key = "reasoner unavailable" if isinstance(error, ServerUnavailable) else "reasoner failed"
        expected = isinstance(error, ReasoningError)
        question = f"keyframe {task.keyframe.id} for {task.instruction.id} is {'asked again' if again else 'given up'}"
        name = self._questioner.reasoner.name if self._questioner is not None else "reasoner"
        self.report(key, f"{name}: {question}: {error if expected else repr(error)}")
        if not expected:
            self.get_logger().error(plain_trace(error))

    def _take_answer(self, task: Task, answer: CandidateSet) -> None:
        self.statistics.latency("answer a keyframe", answer.latency_s)
        self.statistics.count("candidates", len(answer.candidates))
        self._candidates.publish(candidates_to_message(answer, self._sessions.current, self._sessions.map_frame))
        self._publish_overlay(task, answer)

    def _publish_overlay(self, task: Task, answer: CandidateSet) -> None:
        rate_hz = self.configuration.overlay_rate_hz
        now_s = time.monotonic()
        if rate_hz <= 0 or now_s - self._overlay_s < 1.0 / rate_hz or self._overlay.get_subscription_count() == 0:
            return
        self._overlay_s = now_s
        picture = draw_overlay(task.keyframe.frame.color, answer, task.instruction.text)
        self._overlay.publish(image_to_message(picture, "rgb8", task.keyframe.frame.stamp_ns, self._sessions.map_frame))

    def _own_status(self, instruction_id: str) -> InstructionStatus:
        return search_status(instruction_id, self._scheduler.progress(instruction_id), self._thinking_s())

    def _listed_status(self, instruction_id: str) -> InstructionStatus:
        """Return what fusion says of an instruction, and what keeps answers from coming, which it cannot know."""
        judged = self._judged.get(instruction_id)
        if judged is None or judged.state in (SearchState.PENDING, SearchState.FAILED):
            return self._own_status(instruction_id)
        said = trouble(self._scheduler.progress(instruction_id), self._thinking_s())
        return replace(judged, reason=f"{judged.reason} {said}".rstrip())

    def _thinking_s(self) -> float:
        return self._questioner.longest_s if self._questioner is not None else 0.0

    def _publish_slow(self) -> None:
        """Say how long answers have been coming; nothing else happens while a model hangs or a server is away."""
        if any(self._scheduler.progress(item.id).oldest_s >= SLOW_S for item in self._book.active):
            self._publish_status()

    def _publish_status(self) -> None:
        statuses = [self._own_status(item.id) for item in self._book.active]
        self._status.publish(statuses_to_message(statuses, self._newest_ns, self._sessions.map_frame))

    def _publish_instructions(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self._instructions.publish(instructions_to_message(self._book.active, now_ns))
        self._publish_status()

    # ---- services ----------------------------------------------------------------------------------------------

    def _submit(self, request: SubmitInstruction.Request, response: SubmitInstruction.Response) -> None:
        try:
            instruction = self._book.submit(
                request.text, request.id, replace=request.replace, stamp_ns=self.get_clock().now().nanoseconds
            )
        except InstructionError as error:
            code = getattr(SubmitInstruction.Response, error.code)
            self.statistics.count(f"instructions refused, {error.code}")
            self.refuse(response, "submit_instruction", code, error.message)
            return
        self._scheduler.add_instruction(instruction)
        self._judged.pop(instruction.id, None)
        self._publish_instructions()
        response.accepted = True
        response.code = SubmitInstruction.Response.OK
        response.id = instruction.id
        response.understood = describe(instruction.constraint)
        response.message = f"{instruction.id}: looking for {response.understood}"
        self.get_logger().info(response.message)

    def _cancel(self, request: CancelInstruction.Request, response: CancelInstruction.Response) -> None:
        try:
            cancelled = self._book.cancel(request.id)
        except KeyError:
            message = f"id {request.id[:80]!r}: no such instruction; active: {self._active_ids()}"
            self.refuse(response, "cancel_instruction", CancelInstruction.Response.UNKNOWN_ID, message)
            return
        for name in cancelled:
            self._scheduler.remove_instruction(name)
            self._judged.pop(name, None)
        self._publish_instructions()
        response.success = True
        response.code = CancelInstruction.Response.OK
        response.cancelled = list(cancelled)
        response.message = f"cancelled {', '.join(cancelled) or 'nothing, no instruction was active'}"

    def _list(self, request: ListInstructions.Request, response: ListInstructions.Response) -> None:
        response.success = True
        response.code = ListInstructions.Response.OK
        response.instructions = [instruction_to_message(item) for item in self._book.active]
        response.statuses = [status_to_message(self._listed_status(item.id)) for item in self._book.active]
        response.message = f"{len(response.instructions)} active: {self._active_ids()}"

    def _give_state(self) -> bytes:
        return saved_state.export_state(self._book, self._scheduler)

    def _take_state(self, data: bytes) -> str:
        problems: tuple[str, ...] = ()
        if data:
            problems = saved_state.import_state(data, self._book, self._scheduler)
            self._judged.clear()
        else:
            self._scheduler.clear_keyframes()
        self._newest_ns = 0
        return "; ".join((f"instructions: {self._active_ids()}", *problems))

    def _active_ids(self) -> str:
        return ", ".join(item.id for item in self._book.active) or "none"


def main(args: list[str] | None = None) -> int:
    """Run the reasoning node until SIGINT or SIGTERM."""
    return run(ReasoningNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
