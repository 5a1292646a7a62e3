"""tf2_ros answers what follows from the transforms it was given, compared with scipy."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

tf2_ros = pytest.importorskip("tf2_ros", reason="needs ROS 2 (make setup)")

from geometry_msgs.msg import TransformStamped  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.time import Time  # noqa: E402

LATEST = Time()


def at(stamp_s: float) -> Time:
    return Time(nanoseconds=round(stamp_s * 1e9))


def transform(parent: str, child: str, stamp_s: float, T_parent_child: np.ndarray) -> TransformStamped:
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    message.header.stamp = at(stamp_s).to_msg()
    vector, quaternion = message.transform.translation, message.transform.rotation
    vector.x, vector.y, vector.z = T_parent_child[:3, 3].tolist()
    x, y, z, w = Rotation.from_matrix(T_parent_child[:3, :3]).as_quat().tolist()
    quaternion.x, quaternion.y, quaternion.z, quaternion.w = x, y, z, w
    return message


def matrix(message: TransformStamped) -> np.ndarray:
    vector, quaternion = message.transform.translation, message.transform.rotation
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat([quaternion.x, quaternion.y, quaternion.z, quaternion.w]).as_matrix()
    result[:3, 3] = vector.x, vector.y, vector.z
    return result


def moved(x: float) -> np.ndarray:
    result = np.eye(4)
    result[0, 3] = x
    return result


def buffer_with(*messages: TransformStamped, static: tuple[TransformStamped, ...] = ()):
    buffer = tf2_ros.Buffer()
    for message in messages:
        buffer.set_transform(message, "test")
    for message in static:
        buffer.set_transform_static(message, "test")
    return buffer


def x_of(buffer, target: str, source: str, time: Time) -> float:
    return buffer.lookup_transform(target, source, time).transform.translation.x


numbers = st.floats(-10, 10, allow_nan=False, width=32)


@st.composite
def poses(draw):
    result = np.eye(4)
    result[:3, :3] = Rotation.from_rotvec([draw(st.floats(-3, 3)) for _ in range(3)]).as_matrix()
    result[:3, 3] = [draw(numbers) for _ in range(3)]
    return result


@given(first=poses(), second=poses(), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_between_two_samples_translation_is_linear_and_rotation_spherical(first, second, share):
    buffer = buffer_with(transform("map", "camera", 1.0, first), transform("map", "camera", 2.0, second))
    stamp = at(1.0 + share)
    share = (stamp.nanoseconds - 1_000_000_000) / 1e9
    found = matrix(buffer.lookup_transform("map", "camera", stamp))
    rotations = Rotation.from_matrix([first[:3, :3], second[:3, :3]])
    # At a half turn both ways round are shortest; scipy and tf2 may differ in which they take.
    if (rotations[0].inv() * rotations[1]).magnitude() < np.pi - 1e-3:
        np.testing.assert_allclose(found[:3, :3], Slerp([0, 1], rotations)(share).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(found[:3, 3], (1 - share) * first[:3, 3] + share * second[:3, 3], atol=1e-9)


@given(links=st.lists(poses(), min_size=5, max_size=5), parents=st.tuples(*(st.integers(0, i) for i in range(5))))
@settings(max_examples=60, deadline=None)
def test_any_two_frames_of_a_tree_are_joined_through_their_common_ancestor(links, parents):
    buffer, T_root = tf2_ros.Buffer(), [np.eye(4)]
    for child, (parent, link) in enumerate(zip(parents, links, strict=True), start=1):
        message = transform(f"f{parent}", f"f{child}", 1.0, link)
        # Static and moving transforms mix in one tree.
        (buffer.set_transform_static if child % 2 else buffer.set_transform)(message, "test")
        T_root.append(T_root[parent] @ link)
    for target in range(6):
        for source in range(6):
            found = buffer.lookup_transform(f"f{target}", f"f{source}", at(1.0))
            assert (found.header.frame_id, found.child_frame_id) == (f"f{target}", f"f{source}")
            np.testing.assert_allclose(matrix(found), np.linalg.inv(T_root[target]) @ T_root[source], atol=1e-6)


def test_the_stamp_of_the_answer_is_the_time_asked_for():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(0)), transform("map", "camera", 2.0, moved(1)))
    assert Time.from_msg(buffer.lookup_transform("map", "camera", at(1.25)).header.stamp).nanoseconds == 1_250_000_000


def test_time_zero_asks_for_the_latest_time_that_the_whole_chain_knows():
    messages = [transform("map", "odom", t, moved(t)) for t in (1.0, 2.0, 3.0)]
    messages += [transform("odom", "base", t, moved(10 * t)) for t in (1.0, 2.0, 2.5)]
    buffer = buffer_with(*messages, static=(transform("base", "camera", 0.0, moved(100)),))
    found = buffer.lookup_transform("map", "camera", LATEST)
    assert Time.from_msg(found.header.stamp).nanoseconds == 2_500_000_000
    assert found.transform.translation.x == pytest.approx(2.5 + 25 + 100)


def test_static_transforms_hold_at_all_times():
    buffer = buffer_with(static=(transform("base", "camera", 5.0, moved(0.1)),))
    for time in (LATEST, at(0.001), at(1e6)):
        assert x_of(buffer, "base", "camera", time) == pytest.approx(0.1)
    assert Time.from_msg(buffer.lookup_transform("base", "camera", LATEST).header.stamp).nanoseconds == 0


def test_samples_that_come_out_of_order_are_sorted_in():
    buffer = buffer_with(*(transform("map", "camera", t, moved(t)) for t in (3.0, 1.0, 2.0)))
    assert x_of(buffer, "map", "camera", at(1.5)) == pytest.approx(1.5)


def test_nothing_is_extrapolated():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(0)), transform("map", "camera", 2.0, moved(1)))
    for stamp_s, where in ((0.999, "past"), (2.001, "future")):
        with pytest.raises(tf2_ros.ExtrapolationException, match=where):
            buffer.lookup_transform("map", "camera", at(stamp_s))
        assert not buffer.can_transform("map", "camera", at(stamp_s))


def test_a_single_sample_holds_at_its_own_time_only():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(1)))
    assert x_of(buffer, "map", "camera", at(1.0)) == 1.0
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("map", "camera", at(1.1))


def test_two_frames_below_a_common_parent_do_not_need_its_own_pose():
    buffer = buffer_with(
        transform("map", "base", 1.0, moved(5)),
        static=(transform("base", "left", 0.0, moved(1)), transform("base", "right", 0.0, moved(-1))),
    )
    assert x_of(buffer, "left", "right", at(99.0)) == pytest.approx(-2)


def test_samples_older_than_the_cache_are_forgotten():
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=2))
    for stamp_s in (1.0, 2.0, 3.0, 4.0, 5.0):
        buffer.set_transform(transform("map", "camera", stamp_s, moved(stamp_s)), "test")
    assert buffer.can_transform("map", "camera", at(3.0))
    assert not buffer.can_transform("map", "camera", at(2.5))


def test_the_kinds_of_failure_are_told_apart():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(0)), transform("world", "arm", 1.0, moved(0)))
    with pytest.raises(tf2_ros.LookupException, match="lidar"):
        buffer.lookup_transform("map", "lidar", LATEST)
    with pytest.raises(tf2_ros.ConnectivityException):
        buffer.lookup_transform("map", "arm", at(1.0))
    with pytest.raises(tf2_ros.ConnectivityException):
        buffer.lookup_transform("map", "arm", LATEST)
    with pytest.raises(tf2_ros.InvalidArgumentException):
        buffer.lookup_transform("/map", "camera", LATEST)
    for name in ("LookupException", "ConnectivityException", "ExtrapolationException", "InvalidArgumentException"):
        assert issubclass(getattr(tf2_ros, name), tf2_ros.TransformException)


def test_can_transform_gives_a_reason_on_request():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(0)))
    assert buffer.can_transform("map", "camera", at(1.0), return_debug_tuple=True)[0]
    possible, reason = buffer.can_transform("map", "lidar", at(1.0), return_debug_tuple=True)
    assert not possible
    assert "lidar" in reason


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_malformed_transforms_are_ignored(value):
    good, no_name, itself, not_finite, no_rotation = (transform("map", "camera", 1.0, moved(1)) for _ in range(5))
    no_name.child_frame_id = ""
    itself.child_frame_id = "map"
    not_finite.transform.translation.x = value
    no_rotation.transform.rotation.w = 0.0
    buffer = buffer_with(no_name, itself, not_finite, no_rotation, good)
    assert x_of(buffer, "map", "camera", at(1.0)) == 1.0


def test_a_loop_of_frames_is_an_error_and_not_an_endless_search():
    buffer = buffer_with(
        transform("a", "b", 1.0, moved(0)), transform("b", "a", 1.0, moved(0)), transform("map", "c", 1.0, moved(0))
    )
    with pytest.raises(tf2_ros.TransformException):
        buffer.lookup_transform("map", "a", at(1.0))


def test_clear_forgets_what_moves_and_keeps_what_is_static():
    buffer = buffer_with(transform("map", "base", 1.0, moved(0)), static=(transform("base", "camera", 0.0, moved(1)),))
    buffer.clear()
    assert not buffer.can_transform("map", "base", LATEST)
    assert buffer.can_transform("base", "camera", LATEST)


def test_a_wait_ends_with_the_transform_or_with_the_timeout():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(1)))
    assert not buffer.can_transform("map", "camera", at(2.0), timeout=Duration(seconds=0.05))
    late = threading.Timer(0.1, buffer.set_transform, (transform("map", "camera", 3.0, moved(3)), "test"))
    late.start()
    found = buffer.lookup_transform("map", "camera", at(2.0), Duration(seconds=10))
    late.join()
    assert found.transform.translation.x == pytest.approx(2.0)


def test_a_future_completes_with_the_transform():
    buffer = buffer_with(transform("map", "camera", 1.0, moved(1)))
    future = buffer.wait_for_transform_async("map", "camera", at(2.0))
    assert not future.done()
    buffer.set_transform(transform("map", "camera", 3.0, moved(3)), "test")
    assert future.result().transform.translation.x == pytest.approx(2.0)


def test_readers_and_a_writer_share_a_buffer():
    buffer = buffer_with(*(transform("map", "camera", t / 10, moved(t / 10)) for t in range(1, 20)))
    wrong = []

    def read():
        for _ in range(300):
            found = buffer.lookup_transform("map", "camera", LATEST)
            stamp_s = Time.from_msg(found.header.stamp).nanoseconds * 1e-9
            if abs(found.transform.translation.x - stamp_s) > 1e-6:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for t in range(20, 300):
        buffer.set_transform(transform("map", "camera", t / 10, moved(t / 10)), "test")
    for reader in readers:
        reader.join()
    assert wrong == []
