"""The bandwidth limit and the order of what is sent, without ROS and with a clock of their own."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.ros.bandwidth import FAIR_TURN, LARGEST_BURST_S, BandwidthLimit, SendQueue


class HandClock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return HandClock()


def test_the_limit_holds_on_average_and_bursts_are_bounded(clock):
    limit = BandwidthLimit(8.0, clock)  # 1 MB/s
    limit.spend(int(limit.allowance()))
    sent = 0
    for _ in range(1000):
        clock.now_s += 0.01
        while limit.allowance() > 0:
            limit.spend(30_000)
            sent += 30_000
    assert sent == pytest.approx(10e6, rel=0.01)
    assert limit.sent_bytes == sent + 1_000_000
    clock.now_s += 60.0
    assert limit.allowance() == 1e6 * LARGEST_BURST_S


def test_something_too_large_is_paid_off_afterwards(clock):
    limit = BandwidthLimit(8.0, clock)
    limit.spend(5_000_000)
    assert limit.allowance() == -4e6
    clock.now_s += 3.9
    assert limit.allowance() < 0
    clock.now_s += 0.2
    assert limit.allowance() == pytest.approx(1e5)


def test_without_a_limit_everything_may_be_sent(clock):
    limit = BandwidthLimit(0.0, clock)
    limit.spend(10**12)
    assert limit.allowance() == math.inf


def center(key):
    return np.array([float(key), 0.0, 0.0])


def take(queue, allowance, viewpoint=0.0, size=1):
    return queue.take(allowance, lambda _: size, center, np.array([viewpoint, 0.0, 0.0]))


def test_the_nearest_comes_first_and_of_equals_the_newest(clock):
    queue = SendQueue(clock)
    queue.add([7, 3, 5])
    clock.now_s += 1.0
    queue.add([4])
    assert take(queue, 3) == [3, 4, 5]
    queue.add([6])
    clock.now_s += 10.0
    queue.add([7])  # changed ten seconds after 6, and as near as a walk of one metre
    assert take(queue, 1)[0] in (6, 7)
    assert len(queue) == 1


def test_a_later_change_beats_an_earlier_one_at_the_same_distance(clock):
    queue = SendQueue(clock)
    queue.add([-2])
    clock.now_s += 1.0
    queue.add([2])
    assert take(queue, 2) == [2, -2]


def test_what_changes_again_while_it_waits_is_sent_once_and_keeps_its_place(clock):
    queue = SendQueue(clock)
    queue.add([1, 2])
    clock.now_s += 5.0
    queue.add([1])
    assert len(queue) == 2
    assert queue.longest_wait_s() == 5.0
    assert sorted(take(queue, 10)) == [1, 2]
    assert queue.longest_wait_s() == 0.0


def test_nothing_goes_out_without_allowance_and_one_goes_out_whatever_its_size(clock):
    queue = SendQueue(clock)
    queue.add([1, 2])
    assert take(queue, 0) == []
    assert take(queue, -5) == []
    assert take(queue, 1, size=1000) == [1]
    assert len(queue) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(2, 30))
def test_nothing_is_starved_by_what_changes_near_the_camera(per_turn, near):
    clock = HandClock()
    queue = SendQueue(clock)
    queue.add([1000, 2000])  # far away, and never changed again
    waiting = {1000, 2000}
    turns = 0
    while waiting:
        clock.now_s += 0.1
        queue.add(range(near))
        waiting -= set(take(queue, per_turn))
        turns += 1
        # Behind the things that waited before it, one of FAIR_TURN sent is the oldest.
        assert turns * per_turn <= FAIR_TURN * (near + 3) * per_turn, "a far place was never sent"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 20))
def test_everything_added_is_sent_exactly_once(keys, per_turn):
    queue = SendQueue(HandClock())
    queue.add(keys)
    sent = []
    while len(queue):
        sent += take(queue, per_turn)
    assert sorted(sent) == sorted(set(keys))
