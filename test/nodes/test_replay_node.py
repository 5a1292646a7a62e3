"""The replay node: topics, frames and stamps of a RealSense, loop, clock, clear words without a recording."""

import numpy as np
import pytest
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from lira_ros.datasets.sequence import Sequence
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.pose import from_quaternion
from lira_ros.nodes import replay_node
from lira_ros.ros import qos
from lira_ros.ros.conversions.camera import camera_model
from lira_ros.ros.conversions.geometry import transform_from_message
from lira_ros.ros.conversions.image import color_from_image, depth_from_image
from lira_ros.ros.conversions.time import stamp_to_ns

CAMERA = Camera(16, 12, 14.0, 14.0, 7.5, 5.5)
START_NS = 1_600_000_000_000_000_000


class FakeSequence(Sequence):
    """Five frames at 20 Hz."""

    def __init__(self):
        self.skipped = {}
        self.rate_hz = 20.0

    def stamp_ns(self, index):
        return START_NS + index * 50_000_000

    def __len__(self):
        return 5

    def frame(self, index):
        if index == 3:
            raise replay_node.SequenceError("frame-000003.depth.png: is broken")
        return Frame(
            START_NS + index * 50_000_000,
            np.full((12, 16, 3), index, dtype=np.uint8),
            np.full((12, 16), 1.0 + index / 10, dtype=np.float32),
            CAMERA,
            from_quaternion((index, 2, 3), (0.1, 0.2, 0.3, np.sqrt(0.86)), "T"),
        )


@pytest.fixture
def replay(spinner, monkeypatch):
    monkeypatch.setattr(replay_node, "open_sequence", lambda path: FakeSequence())

    def start(**values):
        values = {"recording": "anything", "exit_at_end": False, "wait_for_subscribers": True, **values}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        return spinner.add(replay_node.ReplayNode(parameter_overrides=overrides))

    return start


def test_a_recording_looks_like_a_realsense(replay, collect, wait_for):
    colors = collect(Image, "/camera/camera/color/image_raw", qos.stream())
    depths = collect(Image, "/camera/camera/aligned_depth_to_color/image_raw", qos.stream())
    infos = collect(CameraInfo, "/camera/camera/color/camera_info", qos.stream())
    depth_infos = collect(CameraInfo, "/camera/camera/aligned_depth_to_color/camera_info", qos.stream())
    transforms = collect(TFMessage, "/tf", qos.stream(100))
    static = collect(TFMessage, "/tf_static", qos.latched())
    node = replay()
    wait_for(lambda: len(colors) == 4 and len(depths) == 4 and len(transforms) == 4, what="all frames")
    wait_for(lambda: len(infos) == 4 and len(depth_infos) == 4 and static, what="all camera infos")
    assert node.statistics.problems()["frame unreadable"].text == "frame-000003.depth.png: is broken"
    expected = [FakeSequence().frame(index) for index in (0, 1, 2, 4)]
    link = {item.child_frame_id: item for item in static[0].transforms}
    T_link_optical = transform_from_message(link["camera_color_frame"], "tf") @ transform_from_message(
        link["camera_color_optical_frame"], "tf"
    )
    for frame, color, depth, info, tf in zip(expected, colors, depths, infos, transforms, strict=True):
        for message in (color, depth, info):
            assert stamp_to_ns(message.header.stamp) == frame.stamp_ns
            assert message.header.frame_id == "camera_color_optical_frame"
        assert (color.encoding, depth.encoding) == ("rgb8", "16UC1")
        np.testing.assert_array_equal(color_from_image(color, "c"), frame.color)
        np.testing.assert_allclose(depth_from_image(depth, "d"), frame.depth_m, atol=5e-4)
        assert camera_model(info, "i").camera == CAMERA
        transform = tf.transforms[0]
        assert (transform.header.frame_id, transform.child_frame_id) == ("map", "camera_link")
        assert stamp_to_ns(transform.header.stamp) == frame.stamp_ns
        np.testing.assert_allclose(
            transform_from_message(transform, "tf") @ T_link_optical, frame.T_map_camera, atol=1e-9
        )
    # The optical frame looks along x of camera_link, with its y axis down (REP-103).
    np.testing.assert_allclose(T_link_optical[:3, 2], (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(T_link_optical[:3, 1], (0, 0, -1), atol=1e-12)


def test_loop_and_clock(replay, collect, wait_for):
    colors = collect(Image, "/robot/color/image_raw", qos.stream(1000))
    clocks = collect(Clock, "/clock", qos.stream(1000))
    node = replay(rate=20.0, loop=True, publish_clock=True, wait_for_subscribers=False, camera_namespace="/robot")
    wait_for(lambda: len(colors) >= 9, what="two rounds")
    stamps = [stamp_to_ns(message.header.stamp) for message in colors]
    assert min(np.diff(stamps)) < 0  # it starts again
    times = [stamp_to_ns(message.clock) for message in clocks]
    assert START_NS in times
    assert max(times) <= START_NS + 250_000_000
    assert node.state == "active"


def test_a_loop_that_goes_on_never_turns_the_clock_back(replay, collect, wait_for):
    colors = collect(Image, "/robot/color/image_raw", qos.stream(1000))
    clocks = collect(Clock, "/clock", qos.stream(1000))
    loop = {"loop": True, "loop_goes_on": True, "publish_clock": True}
    replay(rate=20.0, wait_for_subscribers=False, camera_namespace="/robot", **loop)
    wait_for(lambda: len(colors) >= 9, what="two rounds")
    stamps = [stamp_to_ns(message.header.stamp) for message in colors[:9]]
    steps = np.diff(stamps)
    assert min(steps) == 50_000_000  # also from the last frame to the first
    assert max(steps) == 100_000_000  # over the frame that cannot be read
    times = [stamp_to_ns(message.clock) for message in clocks]
    assert min(np.diff(times)) >= 0


def test_a_missing_recording_is_named(spinner, wait_for, tmp_path):
    for recording, text in (("", "recording: expected a folder"), (str(tmp_path / "none"), "no such file or folder")):
        overrides = [Parameter("recording", value=recording), Parameter("exit_at_end", value=False)]
        node = spinner.add(replay_node.ReplayNode(parameter_overrides=overrides))
        wait_for(lambda node=node: node._error, what="the error")
        assert text in node._error
        assert node.state == "unconfigured"
