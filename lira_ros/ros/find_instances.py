"""The action find_instances: searches that go on until enough was found, and that end whatever happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future as RosFuture

from lira_msgs.action import FindInstances
from lira_msgs.msg import InstanceMap
from lira_msgs.srv import CancelInstruction, ListInstructions, SubmitInstruction
from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.planning.search import InstanceSearch, SearchEnd, SearchOrder
from lira_ros.ros.conversions.instance import instance_to_message, map_to_message
from lira_ros.ros.conversions.instruction import status_to_message
from lira_ros.ros.errors import plain_sentence
from lira_ros.ros.instance_map_input import InstanceMaps
from lira_ros.ros.node import LiraNode

ACTION = "find_instances"
# Searches at the same time, each a coroutine that is looked at with every turn of the executor; reasoning takes 64
# instructions by default.
MAX_SEARCHES = 16
# How often searches are looked at, and how often one that has not changed says that it goes on.
STEP_PERIOD_S, HEARTBEAT_S = 0.2, 1.0
# The reasoning answers in milliseconds, but as long as nodes of its process load their models nobody does.
SERVICE_WAIT_S, ANSWER_WAIT_S, LOOK_PERIOD_S = 5.0, 30.0, 0.1
# A reasoning node that starts anew knows of no instruction, and says so only when it is asked.
CHECK_PERIOD_S, MOST_CHECKS_MISSED = 5.0, 3
# Without fusion nothing is ever found; a node that is started again is back within this time.
SILENCE_S = 15.0
# Whoever sent a goal listens to its feedback. Discovery of a client that came late takes up to 2.6 s.
ABANDONED_S = 10.0
# Results hold whole maps; who has asked for one gets it at once.
RESULT_TIMEOUT_S = 60


@dataclass(eq=False)
class _Running:
    """A goal that is followed; ended: (how, sentence, map) once it has ended, set in any thread."""

    handle: ServerGoalHandle
    search: InstanceSearch
    ended: RosFuture
    map: InstanceMap | None = None
    told: object = None
    told_s: float = 0.0
    following: bool = False
    released: bool = False

    def end(self, how: SearchEnd, message: str) -> None:
        """End the search unless it has ended."""
        if not self.ended.done():
            self.ended.set_result((how, message))


class FindInstancesServer:
    """Runs searches: each is an instruction that is submitted, followed in the instance maps, and cancelled again."""

    def __init__(self, node: LiraNode, maps: Callable[[], InstanceMaps]) -> None:
        """Offer the action on maps that may be others each time.

        A goal that comes while the node is not active is answered with NOT_AVAILABLE.
        """
        self._node = node
        self._maps = maps
        self._running: list[_Running] = []
        self._alive_s = self._listened_s = time.monotonic()
        group = ReentrantCallbackGroup()
        self._submit = node.create_client(SubmitInstruction, "submit_instruction", callback_group=group)
        self._cancel = node.create_client(CancelInstruction, "cancel_instruction", callback_group=group)
        self._list = node.create_client(ListInstructions, "list_instructions", callback_group=group)
        self._checks_missed = 0
        node.create_timer(CHECK_PERIOD_S, self._check, callback_group=group, clock=node.steady_clock)
        self._server = ActionServer(
            node,
            FindInstances,
            ACTION,
            self._execute,
            callback_group=group,
            cancel_callback=self._cancel_asked,
            result_timeout=RESULT_TIMEOUT_S,
        )

    @property
    def count(self) -> int:
        """Return how many searches run."""
        return len(self._running)

    def end_all(self, why: str) -> None:
        """End all searches as NOT_AVAILABLE, from any thread."""
        for running in list(self._running):
            running.end(SearchEnd.NOT_AVAILABLE, why)
        self._wake()

    def destroy(self) -> None:
        """Take the action down."""
        self.end_all(f"{self._node.get_name()} ends")
        self._server.destroy()

    # ---- executor thread -----------------------------------------------------------------------------------------

    def _cancel_asked(self, handle: ServerGoalHandle) -> CancelResponse:
        for running in self._running:
            if running.handle is handle:
                running.end(SearchEnd.CANCELLED, f"{running.search.instruction_id or ACTION}: cancelled as asked")
        return CancelResponse.ACCEPT

    async def _execute(self, handle: ServerGoalHandle) -> Any:
        goal = handle.request
        order = SearchOrder(goal.stop_after, max(0.0, goal.timeout_s), goal.stop_when_none)
        running = _Running(handle, InstanceSearch(order), RosFuture())
        earlier = [] if goal.alongside else list(self._running)
        if self._node.state != "active":
            running.end(SearchEnd.NOT_AVAILABLE, f"{self._node.get_name()} is {self._node.state}")
        elif len(self._running) - len(earlier) >= MAX_SEARCHES:
            running.end(SearchEnd.REFUSED, f"{MAX_SEARCHES} searches run already: wait for one, or cancel it")
        self._running.append(running)
        try:
            if not running.ended.done():
                await self._begin(running, earlier)
            await running.ended
            how, message = running.ended.result()
            await self._release(running)
        finally:
            self._running.remove(running)
        result = FindInstances.Result(
            code=getattr(FindInstances.Result, how.value),
            message=plain_sentence(message),
            instruction_id=running.search.instruction_id,
            map=running.map or InstanceMap(),
        )
        self._finish(handle, how)
        self._node.get_logger().info(f"{ACTION}: {result.message}")
        return result

    @staticmethod
    def _finish(handle: ServerGoalHandle, how: SearchEnd) -> None:
        # A goal that was asked to cancel ends as cancelled, even when it ended otherwise in the same moment; the code
        # of the result says how.
        if handle.is_cancel_requested:
            handle.canceled()
        elif how is SearchEnd.OK:
            handle.succeed()
        else:
            handle.abort()

    async def _begin(self, running: _Running, earlier: list[_Running]) -> None:
        """Submit the instruction; earlier searches end when it was accepted, or when they leave no room for it."""
        goal, codes = running.handle.request, SubmitInstruction.Response
        answer = await self._submitted(running)
        if answer is not None and answer.code in (codes.ID_IN_USE, codes.TOO_MANY_INSTRUCTIONS) and earlier:
            await self._preempt(earlier)
            answer = await self._submitted(running)
        if answer is None:
            return
        if not answer.accepted:
            running.end(SearchEnd.REFUSED, answer.message)
            return
        running.search.instruction_id = answer.id
        running.search.tick(self._node.get_clock().now().nanoseconds)
        running.following = True
        if not goal.alongside:
            await self._preempt([item for item in earlier if item in self._running])

    async def _preempt(self, earlier: list[_Running]) -> None:
        for other in earlier:
            other.end(SearchEnd.PREEMPTED, f"{other.search.instruction_id or ACTION}: a later goal took its place")
            await self._release(other)

    async def _release(self, running: _Running) -> None:
        """Keep what was found, then cancel the instruction of a search that has ended."""
        name = running.search.instruction_id
        if not name or running.released:
            return
        running.released = True
        if running.map is None:
            with contextlib.suppress(CancelledError):  # the worker is stopped: nothing is known any more
                running.map = await self._node.in_worker(lambda: self._map_of(name))
        if not running.handle.request.keep_instruction:
            await self._forget(name)

    async def _submitted(self, running: _Running) -> SubmitInstruction.Response | None:
        """Return what the reasoning answered; ends the search when it does not answer."""
        goal = running.handle.request
        if not await self._served(self._submit, running):
            if not running.ended.done():
                running.end(SearchEnd.NOT_AVAILABLE, f"no {self._submit.srv_name} within {SERVICE_WAIT_S:g} s")
            return None
        request = SubmitInstruction.Request(text=goal.text, id=goal.id)
        future = self._submit.call_async(request)
        for _ in range(round(ANSWER_WAIT_S / LOOK_PERIOD_S)):
            if await self._node.within(LOOK_PERIOD_S, future):
                return future.result()
            if running.ended.done():
                break
        # Whoever answers late has begun a search that nobody wants any more.
        future.add_done_callback(self._forget_late)
        running.end(SearchEnd.NOT_AVAILABLE, f"{self._submit.srv_name} did not answer within {ANSWER_WAIT_S:g} s")
        return None

    def _forget_late(self, future: RosFuture) -> None:
        answer = future.result()
        if answer is not None and answer.accepted:
            self._cancel.call_async(CancelInstruction.Request(id=answer.id))

    async def _served(self, client: Any, running: _Running) -> bool:
        for _ in range(round(SERVICE_WAIT_S / LOOK_PERIOD_S)):
            if client.service_is_ready() or running.ended.done():
                break
            await self._node.within(LOOK_PERIOD_S, RosFuture())
        return client.service_is_ready() and not running.ended.done()

    async def _forget(self, name: str) -> None:
        """Cancel an instruction; one that is gone already is no trouble."""
        if not self._cancel.service_is_ready():
            return
        future = self._cancel.call_async(CancelInstruction.Request(id=name))
        if not await self._node.within(ANSWER_WAIT_S, future):
            self._cancel.remove_pending_request(future)
            self._node.report("cancel", f"{self._cancel.srv_name} did not answer: instruction {name} stays active")

    def _check(self) -> None:
        """Ask the reasoning whether it still knows the instructions of the searches."""
        following = [item for item in self._running if item.following and not item.ended.done()]
        if not following or self._list.service_is_ready():
            self._checks_missed = 0
            if following:
                future = self._list.call_async(ListInstructions.Request())
                future.add_done_callback(lambda answered: self._compare(following, answered.result()))
            return
        self._checks_missed += 1
        if self._checks_missed >= MOST_CHECKS_MISSED:
            for item in following:
                item.end(SearchEnd.NOT_AVAILABLE, f"no {self._list.srv_name} any more: has the reasoning ended?")

    @staticmethod
    def _compare(following: list[_Running], answer: ListInstructions.Response | None) -> None:
        if answer is None or not answer.success:
            return
        active = {item.id for item in answer.instructions}
        for item in following:
            name = item.search.instruction_id
            if name not in active:
                item.end(SearchEnd.CANCELLED, f"{name}: the reasoning does not know it any more: it has started anew")

    # ---- worker thread -------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at all searches: count their time, tell what is new, end what has ended."""
        running = [item for item in self._running if item.following and not item.ended.done()]
        now_s, now_ns = time.monotonic(), self._node.get_clock().now().nanoseconds
        if not running:
            self._alive_s = self._listened_s = now_s
            return
        node = self._node
        if node.count_publishers(node.resolve_topic_name("instance_map")):
            self._alive_s = now_s
        if node.count_subscribers(f"{node.resolve_topic_name(ACTION)}/_action/feedback"):
            self._listened_s = now_s
        for item in running:
            self._step(item, now_s, now_ns)
        if any(item.ended.done() for item in running):
            self._wake()

    def _step(self, running: _Running, now_s: float, now_ns: int) -> None:
        search, maps = running.search, self._maps()
        name = search.instruction_id
        search.tick(now_ns)
        status, instances = maps.statuses.get(name), maps.instances(name)
        self._tell(running, status, now_s)
        ended = search.outcome(status, len(instances), name in maps.instructions, now_s)
        if ended is None and now_s - self._alive_s > SILENCE_S:
            topic = self._node.resolve_topic_name("instance_map")
            ended = SearchEnd.NOT_AVAILABLE, f"{name}: nobody publishes {topic} any more: has the fusion ended?"
        if ended is None and now_s - self._listened_s > ABANDONED_S:
            ended = SearchEnd.CANCELLED, f"{name}: the client of the search is gone"
        if ended is not None:
            running.map = self._map_of(name)
            running.end(*ended)

    def _tell(self, running: _Running, status: InstructionStatus | None, now_s: float) -> None:
        name = running.search.instruction_id
        instances = self._maps().instances(name)
        state = (status, self._maps().revision(name), len(instances))
        if state == running.told and now_s - running.told_s < HEARTBEAT_S:
            return
        running.told, running.told_s = state, now_s
        feedback = FindInstances.Feedback(elapsed_s=running.search.elapsed_s)
        feedback.status = status_to_message(status or _nothing_yet(name))
        for number in sorted(instances):
            message = instance_to_message(instances[number], with_voxels=False)
            message.embedding = []
            feedback.instances.append(message)
        running.handle.publish_feedback(feedback)

    def _map_of(self, name: str) -> InstanceMap:
        maps = self._maps()
        instances = sorted(
            maps.instances(name).values(),
            key=lambda item: -item.verdicts[name].score if name in item.verdicts else 0.0,
        )
        status = maps.statuses.get(name) or _nothing_yet(name)
        return map_to_message(instances, (), status, (), maps.revision(name), maps.stamp_ns, maps.frame_id)

    def _wake(self) -> None:
        executor = self._node.executor
        if executor is not None:
            executor.wake()


def _nothing_yet(name: str) -> InstructionStatus:
    return InstructionStatus(name, SearchState.PENDING, "submitted; nothing was heard of it yet")
