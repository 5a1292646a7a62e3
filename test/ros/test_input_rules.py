"""The rules of camera input that need no node: held frames, stamps, registration, statistics."""

import platform

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from lira_ros.geometry.camera import Camera
from lira_ros.ros.conversions.camera import camera_to_info
from lira_ros.ros.conversions.image import depth_to_message, image_to_message
from lira_ros.ros.diagnostics import (
    Statistics,
    read_drops,
    read_problems,
    read_queues,
    read_stages,
    readable,
    to_status,
)
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.poses import FrameGate
from lira_ros.ros.synchronization import CameraInputConfiguration, FrameAssembler, ImageSet, StampOrder

SECOND = 1_000_000_000


class Poses:
    """A pose source that knows poses up to a stamp."""

    def __init__(self):
        self.known_ns = 0

    def lookup(self, camera_frame, stamp_ns):
        if camera_frame == "broken":
            raise ConversionError("/tf: contains NaN or infinity")
        return np.eye(4) if stamp_ns <= self.known_ns else None

    def missing(self):
        return "TF from camera to map"


def make_gate(capacity=3, timeout_s=1000.0):
    poses, delivered, dropped = Poses(), [], []
    gate = FrameGate(poses, capacity, timeout_s, lambda item, pose: delivered.append(item), dropped.append)
    return poses, gate, delivered, dropped


def test_frames_are_held_in_order_until_their_pose_is_known():
    poses, gate, delivered, dropped = make_gate()
    for stamp_ns in (1, 2, 3):
        gate.add("camera", stamp_ns, stamp_ns)
    assert (delivered, len(gate)) == ([], 3)
    poses.known_ns = 2
    gate.advance()
    assert (delivered, len(gate)) == ([1, 2], 1)
    poses.known_ns = 3
    gate.advance()
    assert (delivered, dropped) == ([1, 2, 3], [])


def test_a_full_gate_drops_the_oldest_and_says_so():
    _, gate, _, dropped = make_gate(capacity=2)
    for stamp_ns in (SECOND, 2 * SECOND, 3 * SECOND):
        gate.add("camera", stamp_ns, stamp_ns)
    assert len(gate) == 2
    assert dropped == ["the frame of 1.000 s was dropped: 2 frames wait for TF from camera to map"]


def test_frames_that_wait_too_long_and_impossible_poses_are_dropped():
    _, gate, delivered, dropped = make_gate(timeout_s=-1.0)
    gate.add("camera", SECOND, "late")
    gate.add("broken", SECOND, "broken")
    assert (delivered, len(gate)) == ([], 0)
    assert "waited -1 s for TF from camera to map" in dropped[0]
    assert dropped[1].endswith("/tf: contains NaN or infinity")


def test_single_old_stamps_are_refused_and_a_restart_is_noticed():
    order = StampOrder()
    assert [order.judge(stamp * SECOND) for stamp in (10, 11, 5, 12, 12)] == [
        "rises",
        "rises",
        "behind",
        "rises",
        "behind",
    ]
    assert [order.judge(stamp * SECOND) for stamp in (1, 2, 3, 4, 5)] == ["behind"] * 4 + ["restart"]
    assert order.judge(6 * SECOND) == "rises"


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50, unique=True))
def test_rising_stamps_are_never_refused(stamps):
    order = StampOrder()
    assert [order.judge(stamp) for stamp in sorted(stamps)] == ["rises"] * len(stamps)


CAMERA = Camera(16, 12, 14.0, 14.0, 7.5, 5.5)


def image_set(depth_frame="optical", depth_size=(12, 16), depth_camera=None, color=None):
    header = Header(frame_id="optical")
    pixels = np.zeros((12, 16, 3), np.uint8) if color is None else color
    info = None
    if depth_camera is not None:
        info = camera_to_info(depth_camera, Header(frame_id=depth_frame))
    return ImageSet(
        image_to_message(pixels, "rgb8", 5, "optical"),
        depth_to_message(np.full(depth_size, 2.0, np.float32), 5, depth_frame),
        camera_to_info(CAMERA, header),
        info,
    )


def assemble(images, extrinsic=None, info: CameraInfo | None = None):
    assembler = FrameAssembler(
        ("/c", "/d", "/ci", "/di"), CameraInputConfiguration(), lambda target, source, stamp_ns: extrinsic
    )
    if info is not None:
        images = ImageSet(images.color, images.depth, info, images.depth_info)
    return assembler.assemble(images, np.eye(4))


def test_registered_depth_passes_as_it_is():
    frame = assemble(image_set())
    assert (frame.depth_m == 2.0).all()
    assert frame.stamp_ns == 5


def test_a_depth_camera_of_its_own_is_reprojected():
    frame = assemble(image_set("depth", (6, 8), CAMERA.scaled(8, 6)), extrinsic=np.eye(4))
    assert (frame.depth_m[1:-1, 1:-1] == 2.0).all()


def test_other_intrinsics_in_the_same_frame_are_reprojected():
    wide = Camera(16, 12, 7.0, 7.0, 7.5, 5.5)
    frame = assemble(image_set("optical", (12, 16), wide))
    assert (frame.depth_m == 2.0).all()


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (image_set("depth"), "/d: expected depth registered to /c .* no camera info of that frame came on /di"),
        (image_set("optical", (6, 8)), "got 8 x 6 in frame 'optical'; it could be reprojected"),
        (image_set("depth", (6, 8), CAMERA.scaled(8, 6)), "TF has no transform from 'depth' to 'optical'"),
        (image_set("depth", (6, 8), CAMERA), "TF has no transform"),
        (image_set(color=np.zeros((6, 8, 3), np.uint8)), "/c: expected 16 x 12 pixels as /ci says, got 8 x 6"),
    ],
)
def test_depth_that_cannot_be_registered_is_refused_with_the_reason(images, text):
    with pytest.raises(ConversionError, match=text):
        assemble(images)


def test_distorted_images_are_rectified():
    info = camera_to_info(CAMERA, Header(frame_id="optical"))
    info.d = [0.3, 0.0, 0.0, 0.0, 0.0]
    color = np.zeros((12, 16, 3), np.uint8)
    color[:, 3] = 255
    frame = assemble(image_set(color=color), info=info)
    assert frame.camera == CAMERA
    assert not np.array_equal(frame.color, color)
    assert set(np.unique(frame.depth_m)) <= {0.0, 2.0}


def test_statistics_become_a_status():
    statistics = Statistics()
    statistics.count("frames", 3)
    statistics.latency("integrate", 0.010)
    statistics.latency("integrate", 0.030)
    statistics.arrived("frames mapped")
    status = to_status("/node", "active", statistics, [], "", {"own": 5})
    values = {pair.key: pair.value for pair in status.values}
    assert (status.level, status.message) == (DiagnosticStatus.OK, "active")
    assert values["count frames"] == "3"
    assert values["stage integrate"] == "p50 20.0 ms, p95 29.0 ms, p99 29.8 ms"
    assert values["frames mapped"] == "0.2 Hz"
    assert values["own"] == "5"
    assert status.hardware_id == f"lira_ros on {platform.node()}"
    headline = ("frames mapped", "own", "nothing of this name")
    assert to_status("/n", "active", statistics, [], "", {"own": 5}, headline).message == (
        "active: frames mapped 0.2 Hz, own 5"
    )
    statistics.problem("bad", "/topic: expected a, got b")
    status = to_status("/node", "active", statistics, [], "", {})
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "/topic: expected a, got b")
    status = to_status("/node", "active", statistics, ["/topic: no publisher"], "", {})
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "waiting for /topic: no publisher")
    assert to_status("/node", "unconfigured", statistics, [], "failed", {}).level == DiagnosticStatus.ERROR


def test_what_a_status_says_can_be_read_back():
    statistics = Statistics()
    for milliseconds in (10, 20, 30):
        statistics.latency("sensor stamp to map", milliseconds / 1e3)
    statistics.count("frames refused", 4)
    statistics.count("fragments cleared", 9)
    statistics.problem("frame refused", "/depth: 3 dropped")
    statistics.problem("frame refused", "/depth: 3 dropped")
    extra = {"queue frames": "0 waiting, 12 done, 7 dropped", "queue services": "0 waiting, 1 done, 0 dropped"}
    status = to_status("/node", "active", statistics, [], "", extra)
    values = {pair.key: pair.value for pair in status.values}
    assert read_stages(values) == {"sensor stamp to map": {"p50_ms": 20.0, "p95_ms": 29.0, "p99_ms": 29.8}}
    assert read_drops(values) == {"frames refused": 4, "frame refused": 2, "queue frames": 7}
    assert read_queues(values)["frames"] == {"waiting": 0, "done": 12, "dropped": 7}
    assert read_problems(values) == {"frame refused": 2}
    assert values["problem frame refused"] == "2 times, last 0 s ago: /depth: 3 dropped"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("map frames_integrated", 12, ("map frames integrated", "12")),
        ("map integrate_ms", 8.123456, ("map integrate", "8.123 ms")),
        ("map bytes", 3 * 2**20, ("map memory", "3.0 MiB")),
        ("keyframe image bytes", 2**19, ("keyframe image memory", "0.5 MiB")),
        ("map/mesh_updates bytes_sent", 5, ("map/mesh_updates bytes sent", "5")),
        ("map/mesh_updates sent_bytes", 2**20, ("map/mesh_updates sent", "1.0 MiB")),
        ("map/mesh longest wait_s", "0.25", ("map/mesh longest wait", "0.25 s")),
        ("refused", {"mask": 2, "box": 1}, ("refused", "mask 2, box 1")),
        ("refused", {}, ("refused", "")),
        ("paused", False, ("paused", "false")),
        ("reasoner", "compact", ("reasoner", "compact")),
        ("bytes", 5, ("bytes", "5")),
        ("oldest_s", 2, ("oldest", "2 s")),
    ],
)
def test_values_are_shown_in_words_with_the_unit_behind_the_number(key, value, shown):
    assert readable(key, value) == shown
