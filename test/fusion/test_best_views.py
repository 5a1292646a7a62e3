import cv2
import numpy as np
import pytest
from box_scene import CAMERA, UP, Box, keyframe
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.fusion import best_views
from lira_ros.fusion.best_views import MAX_BYTES, MAX_VIEWS, SAME_SIDE_RAD, BestViews
from lira_ros.fusion.lifting import StoredKeyframe

BOX = Box(1, (-0.2, -0.2, 0.0), (0.2, 0.2, 0.4))
CENTER = np.array([0.0, 0.0, 0.2])


def seen(keyframe_id, position, boxes=(BOX,)):
    """Return a stored keyframe and the mask of the box on its comparison grid."""
    key, ids = keyframe(keyframe_id, boxes, position)
    stored = StoredKeyframe(key)
    return stored, stored.grid(ids == 1)


def around(angle, radius_m=1.6):
    return (radius_m * np.cos(angle), radius_m * np.sin(angle), 1.0)


def picture_of(view):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(view.jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def angle_between(a, b):
    return np.arccos(np.clip(np.dot(a.direction, b.direction), -1.0, 1.0))


def test_the_best_view_of_each_side_stays():
    views, stored = BestViews(), {}
    for number in range(12):
        for step, (radius_m, score) in enumerate(((2.2, 0.9), (1.2, 0.9), (1.2, 0.4))):
            identity = 1 + 3 * number + step
            stored[identity], mask = seen(identity, around(number * np.pi / 6, radius_m))
            views.add(stored[identity], mask, score, CENTER)
    found = views.pictures(7, CENTER, stored, 10)
    assert len(found) == MAX_VIEWS
    assert all((view.keyframe_id - 1) % 3 == 1 for view in found)  # near, with a good score
    assert all(view.instance_id == 7 and view.stamp_ns == view.keyframe_id * 100_000_000 for view in found)
    angles = [angle_between(a, b) for i, a in enumerate(found) for b in found[:i]]
    assert min(angles) >= SAME_SIDE_RAD
    fewer = views.pictures(7, CENTER, stored, 2)
    assert [view.jpeg for view in fewer] == [view.jpeg for view in found[:2]]


def test_a_picture_shows_the_thing_with_a_margin():
    stored, mask = seen(1, around(0.3))
    views = BestViews()
    views.add(stored, mask, 1.0, CENTER)
    (view,) = views.pictures(1, CENTER, {1: stored}, 4)
    picture = picture_of(view)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # The image is 160 wide: the grid is the image, and colour is kept at half of it.
    shape = np.array([rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1]) / 2
    assert (np.array(picture.shape[:2]) >= shape * 1.1).all()
    assert (np.array(picture.shape[:2]) <= shape * 1.7 + 4).all()
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2].astype(int)
    assert np.abs(middle - (200, 30, 30)).max() < 40
    assert np.abs(picture[0, 0].astype(int) - 120).max() < 40  # the floor around it
    assert view.visible_px == mask.sum()
    expected = np.array(around(0.3)) - CENTER
    np.testing.assert_allclose(view.direction, expected / np.linalg.norm(expected), atol=1e-6)


def test_pictures_outlive_their_keyframe_and_are_bounded():
    stored, _ = seen(1, around(0.0, 0.7))
    rng = np.random.default_rng(0)
    stored.color = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)  # what compresses worst
    views = BestViews()
    views.add(stored, np.ones((120, 160), np.bool_), 1.0, CENTER)
    (before,) = views.pictures(1, CENTER, {1: stored}, 4)
    views.keep(stored)
    (after,) = views.pictures(1, CENTER, {}, 4)
    assert after.jpeg == before.jpeg
    assert len(after.jpeg) <= MAX_BYTES
    assert max(picture_of(after).shape) <= best_views.LONGEST_SIDE_PX


def test_corrected_and_cleared_keyframes():
    views, keyframes = BestViews(), {}
    for number, angle in enumerate((0.0, 2.0), 1):
        keyframes[number], mask = seen(number, around(angle))
        views.add(keyframes[number], mask, 1.0, CENTER)
    views.place(1, (0.0, 0.0, 5.2))
    directions = {view.keyframe_id: view.direction for view in views.pictures(1, CENTER, keyframes, 4)}
    np.testing.assert_allclose(directions[1], UP)
    views.drop(1)
    assert 1 not in views
    assert [view.keyframe_id for view in views.pictures(1, CENTER, keyframes, 4)] == [2]


def test_what_was_merged_brings_its_views():
    first, second, keyframes = BestViews(), BestViews(), {}
    for number, angle in enumerate((0.0, 1.5, 3.0, 4.5), 1):
        keyframes[number], mask = seen(number, around(angle))
        (first if number <= 2 else second).add(keyframes[number], mask, 1.0, CENTER)
    first.absorb(second, CENTER)
    assert {view.keyframe_id for view in first.pictures(1, CENTER, keyframes, 9)} == {1, 2, 3, 4}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 6.28), st.floats(0.1, 1.0), st.integers(1, 400)), min_size=1, max_size=15))
def test_any_views_stay_few_and_apart(looks):
    views, keyframes = BestViews(), {}
    key, _ = keyframe(1, (BOX,), around(0.0))
    for number, (angle, score, cells) in enumerate(looks, 1):
        stored = keyframes[number] = StoredKeyframe(key)
        stored.id = number
        stored.place(np.block([[np.eye(3), np.array(around(angle)).reshape(3, 1)], [np.zeros((1, 3)), np.eye(1)]]))
        mask = np.zeros((CAMERA.height_px, CAMERA.width_px), np.bool_)
        mask.ravel()[:cells] = True
        views.add(stored, mask, score, CENTER)
        found = views.pictures(1, CENTER, keyframes, 99)
        assert 1 <= len(found) <= MAX_VIEWS
        for i, a in enumerate(found):
            assert all(angle_between(a, b) >= SAME_SIDE_RAD - 1e-6 for b in found[:i])
    values = [np.sqrt(view.visible_px) * view.score for view in found]
    assert values == sorted(values, reverse=True)
    best = max(np.sqrt(cells) * score for _, score, cells in looks)
    assert values[0] == pytest.approx(best)
