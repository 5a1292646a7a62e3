"""The monitor keeps keyframes where they lie after corrections, whichever message comes first."""

import numpy as np
import pytest
from wall_scene import SESSION, keyframe_message, view

from lira_msgs.msg import FragmentPoses
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_ros.evaluation.record import RunRecord
from lira_ros.ros import qos
from lira_ros.ros.client import InstructionClient
from lira_ros.ros.conversions.fragment_poses import MapPoses, poses_to_message
from lira_ros.ros.monitor import Monitor


@pytest.fixture
def monitor(ros_context):
    with InstructionClient("", 5.0) as client:
        yield Monitor(client, RunRecord("a test"), "color/camera_info")


def test_keyframes_lie_where_corrections_put_them(monitor, peer):
    keyframes = peer.create_publisher(KeyframeMessage, "keyframes", qos.keyframes())
    corrections = peer.create_publisher(FragmentPoses, "fragment_poses", qos.latched())
    moved = {number: view(number)[0].frame.T_map_camera.copy() for number in (1, 2)}
    for T in moved.values():
        T[0, 3] += 0.5

    def spin_until(condition):
        for _ in range(200):
            monitor.spin(0.05)
            if condition():
                return
        pytest.fail("the message did not come within 10 s")

    def pose(number):
        keyframe = monitor.record.keyframes.get(number)
        return None if keyframe is None else keyframe.frame.T_map_camera

    keyframes.publish(keyframe_message(1))
    spin_until(lambda: pose(1) is not None)
    np.testing.assert_allclose(pose(1), view(1)[0].frame.T_map_camera, atol=1e-9)
    corrections.publish(poses_to_message(MapPoses({}, moved), SESSION, 1, "map", 1))
    spin_until(lambda: np.allclose(pose(1), moved[1]))
    keyframes.publish(keyframe_message(2))
    spin_until(lambda: pose(2) is not None)
    np.testing.assert_allclose(pose(2), moved[2], atol=1e-9)
