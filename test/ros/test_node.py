"""LiraNode: lifecycle, parameters, services, inputs, diagnostics."""

import re
import threading
from dataclasses import dataclass

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from lira_ros.configuration import ConfigurationError, parameter
from lira_ros.ros import qos
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode, NodeConfiguration


@dataclass(frozen=True)
class ExampleConfiguration(NodeConfiguration):
    size_m: float = parameter(0.5, "a length", minimum=0.1, maximum=2.0, read_only=False)
    count: int = parameter(3, "a number", minimum=1)
    mode: str = parameter("fast", "a choice", choices=("fast", "exact"))
    names: tuple[str, ...] = parameter((), "a list", read_only=False)


class ExampleNode(LiraNode):
    node_name = "example_node"
    configuration_class = ExampleConfiguration

    def offer_services(self):
        self.texts = []
        self.threads = set()
        self.offer(Trigger, "~/ask", self.answer)

    def configure(self):
        if self.configuration.count == 13:
            raise ValueError("count: 13 is bad luck")
        self.worker.add_queue("texts", self.take, capacity=10)
        self.output = self.publish_on(String, "output", qos.latched())

    def activate(self):
        self.subscribe(String, "input", lambda message: self.worker.put("texts", message), qos.stream())

    def diagnose(self):
        return {"diagnosed in": threading.current_thread().name}

    def take(self, message):
        self.threads.add(threading.current_thread().name)
        if message.data == "bad":
            raise ConversionError("/input: expected a good text, got 'bad'")
        if message.data == "bug":
            raise RuntimeError("a mistake in the program")
        self.texts.append(message.data)

    def answer(self, request, response):
        if "explode" in self.texts:
            raise ValueError("exploded")
        self.threads.add(threading.current_thread().name)
        response.success, response.message = True, f"{len(self.texts)} texts"


def overrides(**values):
    return [Parameter(name, value=value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"colour": "red"}, "colour"),
        ({"size_m": 5.0}, "size_m"),
        ({"size_m": "wide"}, "size_m"),
        ({"count": 0}, "count"),
        ({"count": 2.5}, "count"),
        ({"mode": "slow"}, "mode"),
        ({"names": [1, 2]}, "names"),
    ],
)
def test_wrong_parameters_are_refused_by_name(ros_context, values, named):
    with pytest.raises(ConfigurationError, match=named):
        ExampleNode(parameter_overrides=overrides(**values))


def test_overrides_arrive_in_the_configuration(spinner):
    node = spinner.add(
        ExampleNode(parameter_overrides=overrides(size_m=1, names=["a", "b"], use_sim_time=False, autostart=False))
    )
    assert node.configuration == ExampleConfiguration(autostart=False, size_m=1.0, names=("a", "b"))


@dataclass(frozen=True)
class OtherConfiguration(NodeConfiguration):
    elsewhere: int = parameter(1, "of another node")


class OtherNode(ExampleNode):
    configuration_class = OtherConfiguration


def test_parameters_of_neighbors_in_the_same_process_are_passed_over(spinner):
    values = overrides(elsewhere=5, size_m=1.0, autostart=False)
    node = spinner.add(ExampleNode(neighbors=(ExampleNode, OtherNode), parameter_overrides=values))
    assert node.configuration.size_m == 1.0
    assert not node.has_parameter("elsewhere")
    with pytest.raises(ConfigurationError, match="nowhere"):
        ExampleNode(neighbors=(ExampleNode, OtherNode), parameter_overrides=overrides(nowhere=1))


def diagnosed(statuses):
    """Return the names of the threads in which the node looked at its own state."""
    pairs = [pair for status in statuses for pair in status.values]
    return [pair.value for pair in pairs if pair.key == "diagnosed in"]


def test_life_of_a_node(spinner, peer, wait_for, call_service):
    node = spinner.add(ExampleNode())
    wait_for(lambda: node.state == "active", what="autostart")
    statuses = []
    peer.create_subscription(DiagnosticArray, "/diagnostics", lambda message: statuses.extend(message.status), 10)
    publisher = peer.create_publisher(String, "input", qos.stream())
    wait_for(lambda: publisher.get_subscription_count() == 1, what="the subscription")
    for text in ("one", "bad", "bug", "two"):
        publisher.publish(String(data=text))
    wait_for(lambda: node.texts == ["one", "two"], what="the good texts")

    answer = call_service(peer, Trigger, "/example_node/ask")
    assert answer.success
    assert answer.message == "2 texts"
    assert node.threads == {"example_node"}  # handlers and services share the one worker thread

    def warned():
        return [status for status in statuses if status.level == DiagnosticStatus.WARN]

    status = wait_for(warned, what="a warning in the diagnostics")[-1]
    values = {pair.key: pair.value for pair in status.values}
    assert status.name == "/example_node"
    assert re.fullmatch(
        "1 times, last [0-9]+ s ago: /input: expected a good text, got 'bad'", values["problem texts refused"]
    )
    assert values["problem texts failed"].startswith("1 times")
    assert values["queue texts"] == "0 waiting, 2 done, 0 dropped"
    assert re.fullmatch("/input, [0-9.]+ Hz, 4 messages", values["input input"])
    assert wait_for(lambda: diagnosed(statuses), what="what the worker says")[-1] == "example_node"

    description = call_service(
        peer, DescribeParameters, "/example_node/describe_parameters", DescribeParameters.Request(names=["size_m"])
    ).descriptors[0]
    assert description.description == "a length"
    assert description.floating_point_range[0].to_value == 2.0
    for value, accepted in ((1.5, True), (9.0, False)):
        request = SetParameters.Request(parameters=[Parameter("size_m", value=value).to_parameter_msg()])
        result = call_service(peer, SetParameters, "/example_node/set_parameters", request).results[0]
        assert result.successful == accepted
        assert accepted or "size_m" in result.reason
    request = SetParameters.Request(parameters=[Parameter("count", value=4).to_parameter_msg()])
    assert not call_service(peer, SetParameters, "/example_node/set_parameters", request).results[0].successful
    assert node.configuration.size_m == 1.5

    publisher.publish(String(data="explode"))
    wait_for(lambda: "explode" in node.texts)
    answer = call_service(peer, Trigger, "/example_node/ask")
    assert not answer.success
    assert "exploded" in answer.message

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        return call_service(peer, ChangeState, "/example_node/change_state", request).success

    assert not change(Transition.TRANSITION_ACTIVATE)  # is active already: refused, and the node lives
    assert change(Transition.TRANSITION_DEACTIVATE)
    assert node.state == "inactive"
    wait_for(lambda: publisher.get_subscription_count() == 0, what="the end of the subscription")
    assert change(Transition.TRANSITION_CLEANUP)
    answer = call_service(peer, Trigger, "/example_node/ask")
    assert not answer.success
    assert "unconfigured" in answer.message
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    wait_for(lambda: publisher.get_subscription_count() == 1, what="the new subscription")


def test_failed_configuration_keeps_the_node_alive(spinner, peer, wait_for, call_service):
    node = spinner.add(ExampleNode(parameter_overrides=overrides(count=13)))
    statuses = []
    peer.create_subscription(DiagnosticArray, "/diagnostics", lambda message: statuses.extend(message.status), 10)
    status = wait_for(lambda: [item for item in statuses if item.level == DiagnosticStatus.ERROR])[-1]
    assert status.message == "configure failed: count: 13 is bad luck"
    assert node.state == "unconfigured"


def test_silent_inputs_are_named_with_their_qos(spinner, peer, wait_for):
    node = spinner.add(ExampleNode())
    wait_for(lambda: node.state == "active", what="autostart")
    entry = node.inputs[0]
    entry.last_arrival_s -= 60.0
    assert entry.missing() == "/input (std_msgs/msg/String, reliable, volatile, depth 50): no publisher"
    publisher = peer.create_publisher(String, "input", qos.sensor_input())
    wait_for(lambda: entry.publishers() == ["/peer"], what="the publisher")
    assert "/peer offers incompatible QoS (best effort, volatile)" in entry.missing()
    peer.destroy_publisher(publisher)
    wait_for(lambda: not entry.publishers(), what="the end of the publisher")
    peer.create_publisher(String, "input", qos.stream())
    wait_for(entry.publishers, what="the second publisher")
    assert (
        entry.missing()
        == "/input (std_msgs/msg/String, reliable, volatile, depth 50): 1 publisher, but no message for 60 s"
    )


def test_a_latched_input_may_be_silent_after_its_message(spinner, peer, wait_for):
    node = spinner.add(ExampleNode(parameter_overrides=overrides(autostart=False)))
    publisher = peer.create_publisher(String, "state", qos.latched())
    publisher.publish(String(data="known"))
    entry = node.subscribe(String, "state", lambda message: None, qos.latched())
    wait_for(lambda: entry.messages == 1, what="the latched message")
    entry.last_arrival_s -= 60.0
    assert entry.missing() is None
    peer.destroy_publisher(publisher)
    wait_for(lambda: entry.missing() is not None, what="the end of the publisher")
    assert entry.missing().endswith("no publisher")


def test_qos_of_an_input_can_be_overridden(spinner, wait_for):
    values = {
        "qos_overrides./input.subscription.reliability": "best_effort",
        "qos_overrides./input.subscription.depth": 7,
    }
    node = spinner.add(ExampleNode(parameter_overrides=overrides(**values)))
    wait_for(lambda: node.state == "active", what="autostart")
    assert qos.describe(node.inputs[0].profile) == "best effort, volatile, depth 7"
