"""The base of all nodes: a lifecycle node with a worker, checked parameters, watched inputs and diagnostics.

A node class says what it is with ``node_name`` and ``configuration_class`` and overrides a few hooks::

    class ExampleNode(LiraNode):
        node_name = "example_node"
        configuration_class = ExampleConfiguration      # a dataclass that inherits NodeConfiguration

        def offer_services(self): ...   # once, so that a service called before configuration is answered
        def configure(self): ...        # allocate, create publishers, add the queues of self.worker
        def activate(self): ...         # self.subscribe(...), callbacks only do self.worker.put(...)
        def deactivate(self): ...       # rarely needed: subscriptions are destroyed by the base class
        def cleanup(self): ...          # forget what configure allocated; publishers are destroyed by the base class

    def main(args=None):
        return run(ExampleNode, args=args)

Hooks run in the executor thread, handlers of queues and services in the worker thread, one after another.
"""

from __future__ import annotations

import functools
import inspect
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.task import Future as RosFuture

from lira_ros import unused_memory
from lira_ros.configuration import ConfigurationError, parameter
from lira_ros.ros import parameters, qos
from lira_ros.ros.dds import configure_dds
from lira_ros.ros.diagnostics import Statistics, to_status
from lira_ros.ros.errors import plain_lines, plain_sentence, plain_trace
from lira_ros.ros.inputs import Input
from lira_ros.ros.worker import Worker

HOUSEKEEPING_PERIOD_S = 1.0  # REP-107: diagnostics at 1 Hz
REPORT_PERIOD_S = 5.0  # as often as a warning is repeated, and a silent input is named
# A clock that goes back by less than this is jitter of two /clock messages, not a looped bag.
CLOCK_JUMP_S = 0.5


@dataclass(frozen=True)
class NodeConfiguration:
    """Values that every node has."""

    autostart: bool = parameter(
        True, "Configure and activate the node by itself; false leaves that to a lifecycle manager"
    )


class LiraNode(LifecycleNode):
    """A lifecycle node whose state is owned by one worker thread; see the module text for its use."""

    node_name: ClassVar[str]
    configuration_class: ClassVar[type[NodeConfiguration]]
    # Which values the sentence of the diagnostics names while all is well.
    headline: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, neighbors: Sequence[type[LiraNode]] = (), **node_arguments: Any) -> None:
        """Create the node; ``node_arguments`` go to rclpy (context, namespace, parameter_overrides, cli_args).

        ``neighbors``: the other node classes of the same process, whose parameters are not unknown here.

        Raises ConfigurationError that names a parameter which is unknown, of the wrong type or out of range.
        """
        super().__init__(self.node_name, automatically_declare_parameters_from_overrides=True, **node_arguments)
        self.statistics = Statistics()
        self.worker = self._new_worker()
        self._asked: Future[dict[str, object]] | None = None
        self._values: dict[str, object] = {}
        self._state = "unconfigured"
        self.exit_code = 0
        self._error = ""
        self._inputs: list[Input] = []
        self._outputs: list[Publisher] = []
        self._logged_s: dict[str, float] = {}
        try:
            self.configuration: Any = parameters.declare(
                self, self.configuration_class, [other.configuration_class for other in neighbors]
            )
        except ConfigurationError:
            self.destroy_node()
            raise
        parameters.watch(self, lambda: self.configuration, self._accept_configuration)
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.service_group = ReentrantCallbackGroup()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.diagnostics())
        self._next_report_s = time.monotonic() + REPORT_PERIOD_S
        self.create_timer(HOUSEKEEPING_PERIOD_S, self._housekeeping, clock=self._steady_clock)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-int(CLOCK_JUMP_S * 1e9)), on_clock_change=False
            ),
            post_callback=self._clock_jumped,
        )
        self._guard_transitions()
        self.offer_services()
        if self.configuration.autostart:
            self._autostart = self.create_timer(0.01, self._start, clock=self._steady_clock)

    # ---- hooks -------------------------------------------------------------------------------------------------

    def offer_services(self) -> None:
        """Offer the services of this kind of node."""

    def configure(self) -> None:
        """Allocate; an exception keeps the node unconfigured, with its text in log and diagnostics."""

    def activate(self) -> None:
        """Subscribe."""

    def deactivate(self) -> None:
        """Undo what activate() did besides subscriptions."""

    def cleanup(self) -> None:
        """Forget what configure() allocated."""

    def withdraw(self) -> None:
        """Take down what people are shown of this node, which is cleaned up or ends; called before cleanup().

        Runs in the executor thread when the worker has stopped. Not after a signal: the middleware is closed then.
        """

    def configuration_changed(self) -> None:
        """React to a changed ``self.configuration``; runs in the worker thread."""

    def time_jumped(self) -> None:
        """React to a clock that went back (a looped bag): forget what is newer; runs in the worker thread."""

    def forget_queued(self) -> None:
        """Drop what is queued from before the clock went back; runs in the executor thread, before time_jumped()."""
        self.worker.clear()

    def autostart_failed(self) -> None:
        """React to a node that could not come up by itself; by default it waits unconfigured for a manager."""

    def diagnose(self) -> dict[str, object]:
        """Return further values for the diagnostics of a configured node; runs in the worker thread."""
        return {}

    def missing_inputs(self) -> list[str]:
        """Return further sentences about what the node waits for, besides its silent topics."""
        return []

    # ---- what nodes use ----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Return "unconfigured", "inactive", "active" or "finalized"."""
        return self._state

    @property
    def steady_clock(self) -> Clock:
        """Return the clock of waits and of looking after things, which no simulated time stops."""
        return self._steady_clock

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Return the current subscriptions made with subscribe()."""
        return tuple(self._inputs)

    def publish_on(self, message_type: Any, topic: str, profile: QoSProfile) -> Publisher:
        """Create a publisher that lives until cleanup."""
        publisher = self.create_publisher(message_type, topic, profile)
        self._outputs.append(publisher)
        return publisher

    def subscribe(
        self,
        message_type: Any,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        *,
        required: bool = True,
        raw: bool = False,
        role: str = "",
    ) -> Input:
        """Subscribe until deactivation or unsubscribe(); QoS by ``qos_overrides.<topic>.subscription.*``.

        ``callback`` must only queue work; what it raises is reported and the node lives on. A required input that
        is silent for 5 s is named in log and diagnostics. raw: the callback gets serialised bytes. role: what the
        input is called in diagnostics, where ``topic`` is a resolved name already.
        """
        entry = Input(self, message_type, topic, profile, required, role)

        def received(message: Any) -> None:
            entry.received(message)
            try:
                callback(message)
            except Exception as error:
                self._failed(entry.topic, error)

        entry.subscription = self.create_subscription(
            message_type,
            topic,
            received,
            profile,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            raw=raw,
        )
        self._inputs.append(entry)
        return entry

    def unsubscribe(self, entry: Input) -> None:
        """End a subscription before deactivation, in the executor thread; one that has ended already is left alone."""
        if entry in self._inputs:
            self._inputs.remove(entry)
            self.destroy_subscription(entry.subscription)

    def offer(
        self,
        service_type: Any,
        name: str,
        answer: Callable[[Any, Any], Any],
        not_configured_code: int | None = None,
        *,
        last: bool = False,
    ) -> None:
        """Offer a service that is answered in the worker thread.

        ``answer(request, response)`` fills the response. A coroutine function runs in the executor thread instead,
        where it may await in_worker(), until(), within() and calls of other nodes, and nothing else. Before
        configuration the service answers with ``not_configured_code`` and a sentence; an exception becomes a sentence
        too, so that a caller never hangs. last: answer only when all that is queued now is done.
        """
        resolved = self.resolve_service_name(name)

        async def callback(request: Any, response: Any) -> Any:
            if self._state not in ("inactive", "active"):
                self._refuse(response, not_configured_code, f"{resolved}: {self.get_name()} is {self._state}")
                self.statistics.count(f"{resolved} refused")
                return response
            try:
                if inspect.iscoroutinefunction(answer):
                    await answer(request, response)
                else:
                    await self.in_worker(functools.partial(answer, request, response), last=last)
            except CancelledError:
                self._refuse(response, not_configured_code, f"{resolved}: {self.get_name()} was cleaned up meanwhile")
            except Exception as error:
                self._failed(resolved, error)
                response = type(response)()
                self._refuse(response, None, f"{resolved}: {error}")
            return response

        self.create_service(service_type, name, callback, qos_profile=qos.services(), callback_group=self.service_group)

    async def in_worker(self, function: Callable[[], Any], *, last: bool = False) -> Any:
        """Run a function in the worker thread and return its result; raises CancelledError when the worker is stopped.

        last: after all that is queued now. For coroutines of the executor thread.
        """
        return await self.until(self.worker.submit(function, last=last))

    async def until(self, task: Future[Any]) -> Any:
        """Wait for what another thread does and return its result; for coroutines of the executor thread."""
        finished = RosFuture()

        def wake(_: Future[Any]) -> None:
            finished.set_result(True)
            executor = self.executor
            if executor is not None:
                executor.wake()

        task.add_done_callback(wake)
        await finished
        return task.result()

    async def within(self, timeout_s: float, future: RosFuture) -> bool:
        """Wait until a future of rclpy is done, or for so long; return whether it is done.

        For coroutines of the executor thread, which must wait for nobody without an end.
        """
        over = RosFuture()

        def end(_: RosFuture | None = None) -> None:
            if not over.done():
                over.set_result(True)

        timer = self.create_timer(timeout_s, end, clock=self._steady_clock)
        future.add_done_callback(end)
        try:
            await over
        finally:
            self.destroy_timer(timer)
        return bool(future.done())

    def refuse(self, response: Any, service: str, code: int, message: str) -> None:
        """Answer a request with a code and a sentence, and count it in the diagnostics."""
        response.code, response.message = code, plain_sentence(message)
        resolved = self.resolve_service_name(service)
        self.report(f"{resolved} refused", f"{resolved}: {message}")

    def report(self, key: str, text: str) -> None:
        """Report a problem: counted in diagnostics under ``key``, logged at once and then at most every 5 s.

        The text is made one line without control characters: it may hold what came from outside.
        """
        text = plain_sentence(text)
        count = self.statistics.problem(key, text)
        now_s = time.monotonic()
        if now_s - self._logged_s.get(key, float("-inf")) >= REPORT_PERIOD_S:
            self._logged_s[key] = now_s
            self.get_logger().warning(text if count == 1 else f"{text} ({count} times so far)")

    def end_process(self, code: int) -> None:
        """End the process of this node with an exit code, from any thread; for nodes whose work can be done."""
        self.exit_code = code
        self.context.try_shutdown()

    def shut_down(self) -> None:
        """Stop worker, subscriptions and timers; called once before the node is destroyed, in any state."""
        if self._state == "finalized":
            return
        before, self._state = self._state, "finalized"
        self._close_inputs()
        if not self.worker.stop():
            self.get_logger().warning(f"{self.get_name()}: the worker is still busy, its thread is left behind")
        self._withdraw(before)
        self._jump_handle.unregister()

    # ---- lifecycle ---------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Allocate and start the worker; a failure leaves the node unconfigured and clean."""
        self.worker = self._new_worker()
        try:
            self.configure()
        except Exception as error:
            self._transition_failed("configure", error)
            self._release()
            return TransitionCallbackReturn.FAILURE
        self.worker.start()
        self._state, self._error = "inactive", ""
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe; a failure leaves the node inactive."""
        try:
            self.activate()
        except Exception as error:
            self._transition_failed("activate", error)
            self._close_inputs()
            return TransitionCallbackReturn.FAILURE
        self._state, self._error = "active", ""
        self.get_logger().info(
            f"{self.get_fully_qualified_name()} is active; inputs: "
            + (", ".join(f"{item.topic} ({qos.describe(item.profile)})" for item in self._inputs) or "none")
        )
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; what was queued is still worked off."""
        self._close_inputs()
        self._state = "inactive"
        try:
            self.deactivate()
        except Exception as error:
            self._transition_failed("deactivate", error)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and forget everything."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and forget everything for good."""
        self._release()
        self._state = "finalized"
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured, with the reason in log and diagnostics."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    # ---- inside ------------------------------------------------------------------------------------------------

    def _new_worker(self) -> Worker:
        return Worker(self.node_name, self._failed, self.statistics.latency)

    def _start(self) -> None:
        self._autostart.cancel()
        if self._state != "unconfigured":
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                if self.context.ok():  # a node that is told to end while it starts has not failed
                    self.autostart_failed()
                return

    def _release(self) -> None:
        self._close_inputs()
        self.worker.stop()
        self._withdraw(self._state)
        try:
            self.cleanup()
        except Exception as error:
            self._transition_failed("cleanup", error)
        for publisher in self._outputs:
            self.destroy_publisher(publisher)
        self._outputs.clear()
        self._state = "unconfigured"

    def _withdraw(self, state: str) -> None:
        """Take down what people are shown of a node that was in a state, as far as the middleware is still there."""
        if state not in ("inactive", "active") or not self.context.ok():
            return
        try:
            self.withdraw()
        except Exception as error:
            self._transition_failed("withdraw", error)

    def _close_inputs(self) -> None:
        for entry in self._inputs:
            self.destroy_subscription(entry.subscription)
        self._inputs.clear()

    def _transition_failed(self, transition: str, error: Exception) -> None:
        self._error = plain_lines(f"{transition} failed: {error}")
        if not self.context.ok():
            return  # the process ends while the node starts; nothing is wrong
        # Errors of our own are sentences for people; of others the place is needed.
        ours = isinstance(error, ValueError) or type(error).__module__.startswith("lira_ros.")
        details = "" if ours else "\n" + plain_trace(error)
        self.get_logger().error(f"{self.get_name()}: {self._error}{details}")

    def _failed(self, source: str, error: Exception) -> None:
        """Report what a callback, handler or service raised: bad input as one sentence, a bug with its trace."""
        if not self.context.ok():
            return  # publishers are gone while the process ends; nothing is wrong
        if isinstance(error, ValueError):
            self.report(f"{source} refused", str(error))
            return
        self.statistics.problem(f"{source} failed", plain_sentence(f"{type(error).__name__}: {error}"))
        self.get_logger().error(f"{source} failed:\n{plain_trace(error)}")

    def _refuse(self, response: Any, code: int | None, message: str) -> None:
        if code is not None and hasattr(response, "code"):
            response.code = code
        response.message = plain_sentence(message)

    def _accept_configuration(self, configuration: Any) -> None:
        self.configuration = configuration
        if self._state in ("inactive", "active"):
            self.worker.submit(self.configuration_changed)

    def _clock_jumped(self, jump: Any) -> None:
        if self._state not in ("inactive", "active"):
            return
        self.report("clock jumped back", f"the clock went back by {-jump.delta.nanoseconds / 1e9:.1f} s: starting anew")
        self.forget_queued()
        self.worker.submit(self.time_jumped)

    def _guard_transitions(self) -> None:
        """Answer an impossible transition with "no" instead of ending the process, as rclpy up to Jazzy does."""
        service = getattr(self, "_service_change_state", None)
        if service is None:
            return
        original = service.callback

        def change_state(request: Any, response: Any) -> Any:
            try:
                return original(request, response)
            except Exception as error:
                self.report("transition refused", f"{self.get_name()}: transition from {self._state} refused: {error}")
                response.success = False
                return response

        service.callback = change_state

    def _missing(self) -> list[str]:
        if self._state != "active":
            return []
        silent = [sentence for entry in self._inputs if entry.required and (sentence := entry.missing()) is not None]
        return silent + self.missing_inputs()

    def _housekeeping(self) -> None:
        if not self.context.ok() or self._state == "finalized":
            return
        unused_memory.give_back()
        waiting = self._missing()
        now_s = time.monotonic()
        if now_s >= self._next_report_s:
            self._next_report_s = now_s + REPORT_PERIOD_S
            for sentence in waiting:
                self.get_logger().warning(f"{self.get_name()} waits for {sentence}")
        for entry in self._inputs:
            publishers = entry.publishers()
            if entry.required and len(publishers) > 1:
                self.report(
                    f"{entry.topic} has several publishers",
                    f"{entry.topic}: expected one publisher, got {len(publishers)}: {', '.join(sorted(publishers))}",
                )
        status = to_status(
            self.get_fully_qualified_name(),
            self._state,
            self.statistics,
            waiting,
            self._error,
            self._extra(),
            self.headline,
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _extra(self) -> dict[str, object]:
        extra: dict[str, object] = {f"input {entry.role}": entry.describe() for entry in self._inputs}
        extra.update(self._diagnosed())
        lengths = self.worker.lengths()
        for name, counters in self.worker.statistics().items():
            extra[f"queue {name}"] = f"{lengths[name]} waiting, {counters.processed} done, {counters.dropped} dropped"
        return extra

    def _diagnosed(self) -> dict[str, object]:
        """Return the newest values of diagnose() and ask for the next: what the worker owns is read by the worker.

        Housekeeping does not wait for a busy worker; meanwhile it repeats the last values.
        """
        asked = self._asked
        if asked is not None and asked.done():
            self._asked = None
            if not asked.cancelled():
                error = asked.exception()
                if error is None:
                    self._values = asked.result()
                else:
                    self._failed("diagnose", error)
        if self._state not in ("inactive", "active"):
            self._values = {}
        elif self._asked is None:
            self._asked = self.worker.submit(self.diagnose)
        return self._values


def run(*node_classes: type[LiraNode], args: list[str] | None = None) -> int:
    """Run nodes in this process until SIGINT or SIGTERM; returns the exit code.

    Several classes share one single-threaded executor: callbacks only queue work, the work is done by each node's
    own worker. Parameters that are wrong end the process with code 2 and a sentence that names them.
    """
    configure_dds()
    nodes: list[LiraNode] = []
    code = 0
    try:
        rclpy.init(args=args)
        executor = SingleThreadedExecutor()
        for node_class in node_classes:
            nodes.append(node_class(neighbors=node_classes))
            executor.add_node(nodes[-1])
        while rclpy.ok():
            try:
                executor.spin()
            except (KeyboardInterrupt, ExternalShutdownException):
                break
            except Exception as error:
                if not rclpy.ok():
                    break  # a callback met the end of the process
                nodes[0].get_logger().error(f"a callback failed:\n{plain_trace(error)}")
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ConfigurationError as error:
        name = node_classes[len(nodes)].node_name
        print(f"{name}: {error}", file=sys.stderr)
        code = 2
    except Exception:
        if rclpy.ok():
            raise
        # The signal to end came while a node was being made: nothing of ROS works any more, and nothing is wrong.
    finally:
        # A second Ctrl-C (launch and terminal both send one) must not interrupt the clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for node in nodes:
            code = max(code, node.exit_code)
            node.shut_down()
            node.destroy_node()
        rclpy.try_shutdown()
    return code
