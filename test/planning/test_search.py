"""When a search ends, and how, whatever the clock does."""

import pytest

from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.planning.search import UNSEEN_S, InstanceSearch, SearchEnd, SearchOrder

SEARCHING = InstructionStatus("i1", SearchState.SEARCHING, "looking")
NONE = InstructionStatus("i1", SearchState.NONE_CONFORM, "nothing is red")


def search(**order) -> InstanceSearch:
    return InstanceSearch(SearchOrder(**order), "i1")


def ended(one: InstanceSearch, status=SEARCHING, found=0, is_active=True, steady_s=0.0):
    outcome = one.outcome(status, found, is_active, steady_s)
    return None if outcome is None else outcome[0]


def test_enough_is_enough_also_when_time_is_up_or_the_instruction_gone():
    one = search(stop_after=2, timeout_s=1.0)
    assert ended(one, found=1) is None
    one.elapsed_s = 5.0
    assert ended(one, found=2, is_active=False) is SearchEnd.OK
    assert ended(one, found=1) is SearchEnd.TIMED_OUT


def test_without_a_limit_it_goes_on():
    one = search()
    one.elapsed_s = 1e6
    assert ended(one, found=100) is None
    assert ended(one, NONE) is None


def test_nothing_conforms_ends_it_only_when_asked_and_only_while_nothing_is_there():
    one = search(stop_when_none=True)
    assert ended(one) is None
    assert ended(one, None) is None
    assert ended(one, NONE, found=1) is None
    how, message = one.outcome(NONE, 0, True, 0.0)
    assert how is SearchEnd.NONE_CONFORM
    assert "nothing is red" in message


def test_an_instruction_that_goes_was_cancelled_and_one_that_never_came_is_nobodys():
    one = search()
    assert ended(one, None, is_active=False, steady_s=100.0) is None
    assert ended(one, None, is_active=False, steady_s=100.0 + UNSEEN_S) is None
    assert ended(one, None, is_active=False, steady_s=100.1 + UNSEEN_S) is SearchEnd.NOT_AVAILABLE
    one = search()
    assert ended(one) is None
    assert ended(one, is_active=False) is SearchEnd.CANCELLED


@pytest.mark.parametrize(
    ("clock_s", "elapsed_s"),
    [((10, 11, 13), 3), ((10, 12, 4, 5), 3), ((0, 0, 1_000_000, 1_000_001), 1), ((7,), 0)],
)
def test_time_is_counted_from_step_to_step(clock_s, elapsed_s):
    """A clock that goes back (a looped bag) or only begins (simulated time) ends nothing."""
    one = search()
    for value in clock_s:
        one.tick(value * 10**9)
    assert one.elapsed_s == pytest.approx(elapsed_s)
