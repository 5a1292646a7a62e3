"""When a tracker is told anew what to follow."""

import sys

import numpy as np
import pytest

from lira_ros.reasoning.segmentation.following import MIN_PIXELS, MaskFollower

SECOND = 1_000_000_000
SIZE = (40, 60)
COLOR = np.zeros((*SIZE, 3), np.uint8)


class Recorder:
    """Returns what it was started with, and counts."""

    def __init__(self):
        self.starts = []

    def start(self, color, masks):
        self.starts.append(dict(masks))

    def update(self, color):
        return self.starts[-1]


def ids(*squares):
    """Return an image of ids with squares given as (id, row, column, edge)."""
    image = np.zeros(SIZE, np.int32)
    for number, row, column, edge in squares:
        image[row : row + edge, column : column + edge] = number
    return image


def follower(restart_s=2.0, max_instances=4):
    return MaskFollower(Recorder(), restart_s, max_instances)


def test_nothing_is_followed_before_masks_show_something():
    subject = follower()
    assert not subject.wants(ids(), 1)
    assert not subject.track(COLOR).any()
    assert subject.wants(ids((1, 0, 0, 10)), 1)


def test_it_starts_anew_for_a_new_instance_after_a_while_and_never_from_the_past():
    subject = follower()
    shown = ids((1, 0, 0, 10))
    subject.start(COLOR, shown, SECOND)
    np.testing.assert_array_equal(subject.track(COLOR), shown)
    assert not subject.wants(shown, SECOND + 1)
    assert not subject.wants(ids(), SECOND + 1)
    assert subject.wants(ids((1, 0, 0, 10), (2, 20, 20, 10)), SECOND + 1)
    assert not subject.wants(ids((2, 20, 20, 10)), SECOND - 1)
    assert subject.wants(shown, 3 * SECOND)
    subject.start(COLOR, ids((2, 20, 20, 10)), 3 * SECOND)
    assert subject.followed == {2}


def test_what_is_gone_for_good_is_not_followed_for_ever():
    subject = follower()
    subject.start(COLOR, ids((1, 0, 0, 10)), SECOND)
    assert subject.wants(ids(), 3 * SECOND)
    subject.start(COLOR, ids(), 3 * SECOND)
    assert not subject.track(COLOR).any()
    assert subject.wants(ids((1, 0, 0, 10)), 3 * SECOND + 1)


def test_specks_are_not_followed_and_the_largest_come_first():
    edge = int(MIN_PIXELS**0.5)
    subject = follower(max_instances=2)
    shown = ids((1, 0, 0, 8), (2, 10, 0, 12), (3, 24, 0, 10), (4, 0, 40, edge))
    assert not follower().wants(ids((4, 0, 40, edge)), 1)
    subject.start(COLOR, shown, SECOND)
    assert subject.followed == {2, 3}
    # All places are taken: another instance does not start it again and again.
    assert not subject.wants(ids((1, 0, 0, 30)), SECOND + 1)


def test_where_two_overlap_the_smaller_is_shown():
    subject = follower()
    subject.start(COLOR, ids((1, 0, 0, 20)), SECOND)
    both = {1: ids((1, 0, 0, 20)) > 0, 2: ids((2, 5, 5, 6)) > 0}
    subject._tracker.starts.append(both)
    tracked = subject.track(COLOR)
    assert (tracked[both[2]] == 2).all()
    assert (tracked == 1).sum() == 400 - 36


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match="instance masks: expected"):
        follower().start(COLOR, np.zeros((3, 3), np.int32), SECOND)


def test_after_clearing_it_follows_nothing():
    subject = follower()
    subject.start(COLOR, ids((1, 0, 0, 10)), SECOND)
    subject.clear()
    assert not subject.track(COLOR).any()
    assert subject.wants(ids((1, 0, 0, 10)), 5)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="transformers runs from Python 3.11 on")
def test_a_video_model_follows_by_the_ids_of_the_map_in_bounded_memory():
    import torch
    from tiny_vision_models import sam2_video

    from lira_ros.reasoning.compute import ComputeConfiguration
    from lira_ros.reasoning.segmentation.video_tracking import MaskTracker

    torch.set_num_threads(1)
    tracker = MaskTracker(sam2_video(), ComputeConfiguration("cpu", "float32"))
    subject = MaskFollower(tracker, restart_s=1.0, max_instances=4)
    rng = np.random.default_rng(3)
    shown = ids((5, 0, 0, 16), (8, 20, 30, 18))
    stored = []
    for number in range(12):
        color = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        stamp_ns = number * SECOND // 4
        if subject.wants(shown, stamp_ns):
            subject.start(color, shown, stamp_ns)
            continue
        tracked = subject.track(color)
        assert tracked.shape == SIZE
        assert set(np.unique(tracked)) <= {0, 5, 8}
        stored.append(tracker.stored_bytes())
    assert subject.started_ns == 2 * SECOND
    assert max(stored[3:]) == max(stored[:3])
