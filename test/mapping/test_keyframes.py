import numpy as np
from scipy.spatial.transform import Rotation

from lira_ros.mapping.keyframes import KeyframeSelector


def pose(angle_deg=0.0, x=0.0):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("y", angle_deg, degrees=True).as_matrix()
    T[0, 3] = x
    return T


def test_motion_since_the_last_keyframe_counts_not_since_the_last_frame():
    selector = KeyframeSelector(15.0, 0.1)
    ids = [selector.select(pose(x=0.03 * i)) for i in range(9)]
    assert ids == [1, None, None, None, 2, None, None, None, 3]


def test_turning_alone_is_enough():
    selector = KeyframeSelector(15.0, 0.1)
    assert [selector.select(pose(angle)) for angle in (0, 14, 16, 30, 32)] == [1, None, 2, None, 3]


def test_restart_takes_the_next_frame_and_counts_on():
    selector = KeyframeSelector(15.0, 0.1)
    selector.select(pose())
    selector.restart(41)
    assert selector.select(pose()) == 42
