"""Jumps of the global frame, told from motion and spread over a walk."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from lira_ros.geometry.drift import (
    LONGEST_JUMP_FRAMES,
    Change,
    JumpDetector,
    can_be_drift,
    partial_motions,
    spread_correction,
)
from lira_ros.geometry.pose import inverse


def transform(turn=(0.0, 0.0, 0.0), translation=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    T[:3, 3] = translation
    return T


vectors = arrays(np.float64, 3, elements=st.floats(-1.5, 1.5, allow_subnormal=False))
transforms = st.builds(transform, vectors, vectors)


@settings(deadline=None, max_examples=60)
@given(transforms, st.floats(0.1, 0.9))
def test_parts_of_a_motion_add_up_to_it(T, fraction):
    start, part, rest, end = partial_motions(T, np.array([0.0, fraction, 1.0 - fraction, 1.0]))
    np.testing.assert_allclose(start, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(end, T, atol=1e-9)
    np.testing.assert_allclose(rest @ part, T, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(transforms, transforms, st.floats(0.0, 1.0))
def test_the_origin_does_not_matter(T, elsewhere, fraction):
    fractions = np.array([fraction])
    seen_elsewhere = partial_motions(elsewhere @ T @ inverse(elsewhere), fractions)[0]
    np.testing.assert_allclose(
        seen_elsewhere, elsewhere @ partial_motions(T, fractions)[0] @ inverse(elsewhere), atol=1e-7
    )


def test_a_steady_drift_is_taken_out_of_a_walk():
    steps = [transform((0, 0, 0.3), (0.1, 0, 0))] * 40
    drift = transform((0, 0, 0.002), (0.001, 0.002, 0))
    true, drifted = [np.eye(4)], [np.eye(4)]
    for step in steps:
        true.append(true[-1] @ step)
        drifted.append(drift @ drifted[-1] @ step)
    T_new_old = true[-1] @ inverse(drifted[-1])
    corrected = spread_correction(T_new_old, np.array(drifted))
    error = np.linalg.norm(corrected[:, :3, 3] - np.array(true)[:, :3, 3], axis=1)
    before = np.linalg.norm(np.array(drifted)[:, :3, 3] - np.array(true)[:, :3, 3], axis=1)
    assert before.max() > 0.07
    assert error.max() < 1e-9
    np.testing.assert_allclose(corrected[0], true[0])
    np.testing.assert_allclose(corrected[-1], true[-1], atol=1e-9)


@pytest.mark.parametrize("count", [0, 1])
def test_a_first_keyframe_alone_stays(count):
    poses = np.array([transform((0, 1, 0), (3, 2, 1))] * count).reshape(-1, 4, 4)
    np.testing.assert_array_equal(spread_correction(transform(translation=(1, 0, 0)), poses), poses)


def test_a_jump_that_is_long_for_the_way_is_no_drift():
    walk = np.array([transform((0, 0, 0.3 * i), (0.1 * i, 0, 0)) for i in range(41)])  # 4 m
    assert can_be_drift(transform(translation=(0, 0.9, 0)), walk)
    assert not can_be_drift(transform(translation=(0, 1.1, 0)), walk)
    assert not can_be_drift(transform(translation=(0, 0.9, 0)), walk[:5])
    # Who has not moved has not drifted.
    assert not can_be_drift(transform(translation=(0, 0.1, 0)), walk[:1])
    # A turn about the place of the camera moves nothing there.
    there = walk[-1]
    assert can_be_drift(there @ transform((0, 0, 0.5)) @ inverse(there), walk)


def changes(detector, transforms_of_map, T_local_camera=None):
    camera = transform() if T_local_camera is None else T_local_camera
    return [detector.judge(T, T @ camera) for T in transforms_of_map]


def test_a_jump_is_told_when_the_frame_is_steady_again():
    before, after = transform((0, 0, 0.1), (1, 2, 0)), transform((0, 0, 0.2), (1.3, 2, 0))
    judged = changes(JumpDetector(0.05, 1.0), [before] * 3 + [after] * 3)
    assert [item.change.value for item in judged] == ["steady"] * 3 + ["unsettled", "jumped", "steady"]
    np.testing.assert_allclose(judged[4].T_new_old @ before, after, atol=1e-12)


def test_poses_between_the_old_and_the_new_are_not_used_and_do_not_split_the_jump():
    between = [transform(translation=(x, 0, 0)) for x in (0.0, 0.0, 0.13, 0.27, 0.4, 0.4)]
    judged = changes(JumpDetector(0.05, 1.0), between)
    assert [item.change.value for item in judged] == ["steady"] * 2 + ["unsettled"] * 3 + ["jumped"]
    np.testing.assert_allclose(judged[-1].T_new_old, transform(translation=(0.4, 0, 0)), atol=1e-12)


def test_motion_alone_is_never_a_jump():
    detector = JumpDetector(0.05, 1.0)
    T = transform((0, 0, 0.4), (5, 1, 0))
    for index in range(50):
        motion = transform((0, 0, 0.2 * index), (0.3 * index, 0, 0))
        assert detector.judge(T, T @ motion).change is Change.STEADY


def test_corrections_in_small_steps_never_add_up_to_a_jump():
    judged = changes(JumpDetector(0.05, 1.0), [transform(translation=(0.02 * i, 0, 0)) for i in range(50)])
    assert {item.change for item in judged} == {Change.STEADY}


def test_a_small_turn_about_a_far_origin_is_a_jump():
    far = transform(translation=(20.0, 0.0, 0.0))
    turn = transform((0, 0, np.radians(0.5)))
    assert changes(JumpDetector(0.05, 1.0), [transform(), turn, turn], far)[-1].change is Change.JUMPED
    assert changes(JumpDetector(0.05, 1.0), [transform(), turn, turn])[-1].change is Change.STEADY


def test_a_frame_that_never_settles_is_not_waited_for():
    wild = [transform(translation=(0.1 * i, 0, 0)) for i in range(30)]
    judged = changes(JumpDetector(0.05, 1.0), wild)
    assert Change.JUMPED not in {item.change for item in judged}
    assert [item.change for item in judged].count(Change.DRIFTING) == (len(wild) - 1) // (LONGEST_JUMP_FRAMES + 1)


def test_after_clear_the_next_frame_is_a_start():
    detector = JumpDetector(0.05, 1.0)
    changes(detector, [transform()] * 2)
    detector.clear()
    assert changes(detector, [transform(translation=(9, 0, 0))])[0].change is Change.STEADY
