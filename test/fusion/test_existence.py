import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.fusion.existence import CONFIRMED_LOOKS, ExistenceVotes, Vote

HIT, MISS = 0.8, -1.4
SECOND = 1_000_000_000


def votes_of(*entries, every_s=2.0, every_m=0.0):
    """Return votes of keyframes at even times on a straight way: (keyframe id, log-odds, whether it was seen)."""
    votes = ExistenceVotes()
    for keyframe_id, log_odds, seen in entries:
        place = (every_m * keyframe_id, 0.0, 0.0)
        votes.cast(keyframe_id, Vote(log_odds, seen, True, round(every_s * keyframe_id * SECOND), place))
    return votes


def seen(count, **spacing):
    return votes_of(*((i, HIT, True) for i in range(1, count + 1)), **spacing)


def test_existence_does_not_depend_on_the_order_of_arrival():
    votes = [(1, 0.8, True), (2, 0.8, True), (3, -1.4, False), (4, -1.4, False), (5, 3.0, True), (6, 3.0, True)]
    forward, backward = votes_of(*votes), votes_of(*votes[::-1])
    assert forward.probability() == backward.probability() == pytest.approx(0.97)


def test_existence_starts_with_the_first_sighting():
    assert votes_of((1, -1.4, False), (2, 0.8, True)).probability() == 1 / (1 + math.exp(-0.8))


def test_ten_keyframes_of_one_second_from_one_place_are_not_ten_looks():
    standing = seen(10, every_s=0.1)
    assert standing.sightings() == 10
    assert standing.looks() == pytest.approx(1.45)
    assert standing.looks() < CONFIRMED_LOOKS
    assert standing.probability() < seen(2).probability()


@pytest.mark.parametrize(
    "spacing", [{"every_s": 2.0}, {"every_s": 0.0, "every_m": 0.3}, {"every_s": 9.0, "every_m": 5}]
)
def test_two_looks_from_other_times_or_places_confirm(spacing):
    assert seen(2, **spacing).looks() == pytest.approx(2.0)
    assert seen(1, **spacing).looks() < CONFIRMED_LOOKS <= seen(2, **spacing).looks()


@pytest.mark.parametrize("rate_hz", [1, 5, 30])
def test_what_is_seen_through_fades_in_seconds_and_not_in_keyframes(rate_hz):
    votes = seen(10)
    start_s, count = 20.0, 0
    while votes.probability() >= 0.5:
        count += 1
        stamp_ns = round((start_s + count / rate_hz) * SECOND)
        votes.cast(10 + count, Vote(MISS, False, True, stamp_ns, (0.0, 0.0, 0.0)))
    assert 2.0 < (count - 1) / rate_hz <= 4.0


def test_the_way_between_views_counts_like_time():
    votes = seen(10)
    for number in range(1, 4):
        votes.cast(10 + number, Vote(MISS, False, True, 20 * SECOND + number, (0.3 * number, 0.0, 0.0)))
    assert votes.probability() < 0.5
    assert votes.last_against().position_m == (0.3 * 3, 0.0, 0.0)
    votes.cast(14, Vote(HIT, True, True, 21 * SECOND, (0.0, 0.0, 0.0)))
    assert votes.last_against() is None


@settings(deadline=None, max_examples=60)
@given(
    entries=st.lists(
        st.tuples(st.floats(-1.5, -0.1) | st.floats(0.1, 1.5), st.floats(0.0, 3.0)), min_size=2, max_size=8
    ),
    cut=st.integers(0, 8),
    order=st.randoms(use_true_random=False),
)
def test_folding_and_order_change_nothing(entries, cut, order):
    stamp, votes = 0.0, []
    for number, (log_odds, wait_s) in enumerate(entries, 1):
        stamp += wait_s
        votes.append(
            (number, Vote(log_odds, log_odds > 0, number % 3 > 0, round(stamp * SECOND), (0.1 * number, 0, 0)))
        )
    whole, folded, shuffled = ExistenceVotes(), ExistenceVotes(), ExistenceVotes()
    for number, vote in votes:
        whole.cast(number, vote)
        folded.cast(number, vote)
    order.shuffle(votes)
    for number, vote in votes:
        shuffled.cast(number, vote)
        assert 0.119 < shuffled.probability() < 0.971
    folded.fold(cut)
    assert sorted(folded) == [number for number in range(1, len(votes) + 1) if number > cut]
    for other in (folded, shuffled):
        assert other.sightings() == whole.sightings()
        assert other.looks() == pytest.approx(whole.looks())
        for answered_only in (False, True):
            assert other.probability(answered_only) == pytest.approx(whole.probability(answered_only))


def test_corrected_cameras_change_the_way_between_views():
    votes = seen(3, every_s=0.0, every_m=0.3)
    assert votes.looks() == pytest.approx(3.0)
    for keyframe_id in (1, 2, 3):
        votes.place(keyframe_id, (0.0, 0.0, 0.0))
    assert votes.looks() == pytest.approx(1.0)
