"""message_filters brings together the messages whose stamps belong together."""

import pytest

message_filters = pytest.importorskip("message_filters", reason="needs ROS 2 (make setup)")

from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402


def stamped(message_type, stamp_s: float):
    message = message_type()
    message.header.stamp = Time(nanoseconds=round(stamp_s * 1e9)).to_msg()
    return message


class Source(message_filters.SimpleFilter):
    """An input that the test feeds."""

    def give(self, *stamps_s: float) -> None:
        for stamp_s in stamps_s:
            self.signalMessage(stamped(Image, stamp_s))


def collect(synchronizer) -> list[tuple[float, ...]]:
    sets = []

    def take(*messages):
        sets.append(tuple(round(Time.from_msg(m.header.stamp).nanoseconds * 1e-9, 6) for m in messages))

    synchronizer.registerCallback(take)
    return sets


def test_callbacks_get_their_own_arguments_after_the_messages():
    source, calls = Source(), []
    source.registerCallback(lambda message, *extra: calls.append(extra), "left", 1)
    source.registerCallback(lambda message: calls.append("second"))
    source.give(1.0)
    assert calls == [("left", 1), "second"]


def test_exact_synchronizer_joins_equal_stamps_only_and_each_once():
    first, second = Source(), Source()
    sets = collect(message_filters.TimeSynchronizer([first, second], queue_size=10))
    first.give(1.0, 2.0, 3.0)
    second.give(3.0, 1.5, 1.0, 1.0)
    assert sets == [(3.0, 3.0), (1.0, 1.0)]


def test_exact_synchronizer_forgets_the_oldest_stamp_when_its_queue_is_full():
    first, second = Source(), Source()
    sets = collect(message_filters.TimeSynchronizer([first, second], queue_size=2))
    first.give(1.0, 2.0, 3.0)
    second.give(1.0, 2.0)
    assert sets == [(2.0, 2.0)]


def test_approximate_synchronizer_joins_three_inputs_within_the_slop_in_the_order_of_the_inputs():
    sources = [Source() for _ in range(3)]
    sets = collect(message_filters.ApproximateTimeSynchronizer(sources, 10, slop=0.05))
    sources[2].give(1.00)
    sources[0].give(1.02)
    sources[1].give(1.04)
    assert sets == [(1.02, 1.04, 1.00)]


def test_approximate_synchronizer_prefers_the_nearest_stamp():
    color, depth = Source(), Source()
    sets = collect(message_filters.ApproximateTimeSynchronizer([color, depth], 10, slop=0.05))
    depth.give(0.96, 1.01, 1.04)
    color.give(1.0)
    assert sets == [(1.0, 1.01)]


def test_approximate_synchronizer_uses_a_message_once():
    color, depth = Source(), Source()
    sets = collect(message_filters.ApproximateTimeSynchronizer([color, depth], 10, slop=0.1))
    color.give(1.0)
    depth.give(1.01, 1.02)
    assert sets == [(1.0, 1.01)]


def test_approximate_synchronizer_refuses_stamps_that_are_too_far_apart_even_if_each_is_near_the_new_one():
    sources = [Source() for _ in range(3)]
    sets = collect(message_filters.ApproximateTimeSynchronizer(sources, 10, slop=0.05))
    sources[0].give(0.96)
    sources[1].give(1.04)
    sources[2].give(1.0)
    assert sets == []


def test_headerless_messages_are_taken_only_when_allowed():
    for allowed, expected in ((False, 0), (True, 1)):
        first, second, sets = message_filters.SimpleFilter(), message_filters.SimpleFilter(), []
        synchronizer = message_filters.ApproximateTimeSynchronizer(
            [first, second], 10, slop=10.0, allow_headerless=allowed
        )
        synchronizer.registerCallback(lambda *messages, sets=sets: sets.append(messages))
        first.signalMessage(String(data="a"))
        second.signalMessage(String(data="b"))
        assert len(sets) == expected


def test_subscriber_subscribes_with_its_quality_of_service_and_passes_messages_on():
    class RecordingNode:
        def create_subscription(self, *args, **kwargs):
            self.args, self.kwargs = args, kwargs
            return "subscription"

    node, received = RecordingNode(), []
    subscriber = message_filters.Subscriber(node, CameraInfo, "color/camera_info", qos_profile=3)
    subscriber.registerCallback(received.append)
    message_type, topic, callback = node.args
    callback("message")
    assert (message_type, topic, node.kwargs["qos_profile"]) == (CameraInfo, "color/camera_info", 3)
    assert received == ["message"]
    assert subscriber.getTopic() == "color/camera_info"
