"""Instructions and what was asked of them, saved and loaded: nothing is asked twice, and a new one about everything."""

import pytest
from wall_strip import wall_view

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.saved_state import export_state, import_state
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration
from lira_ros.state.columns import StateError


def made(**values):
    return InstructionBook(InstructionConfiguration(**values)), ReasoningScheduler(SchedulerConfiguration())


def submit(book, scheduler, text, name=""):
    instruction = book.submit(text, name, stamp_ns=7)
    scheduler.add_instruction(instruction)
    return instruction


def asked(scheduler, limit=100):
    order = []
    while tasks := scheduler.next_tasks(1):
        order.append((tasks[0].keyframe.id, tasks[0].instruction.id))
        scheduler.report_answered(tasks[0])
        assert len(order) < limit
    return order


@pytest.fixture
def saved():
    book, scheduler = made()
    submit(book, scheduler, "find the chair")
    submit(book, scheduler, "find the lamp", "lamp")
    for number in range(1, 5):
        scheduler.add_keyframe(wall_view(number, 0.4 * number))
    for _ in range(4):
        scheduler.report_answered(*scheduler.next_tasks(1))
    scheduler.next_tasks(1)  # in flight
    return book, scheduler, export_state(book, scheduler)


def test_nothing_is_asked_twice_and_what_was_in_flight_is_asked_again(saved):
    book, scheduler, data = saved
    other_book, other = made()
    submit(other_book, other, "find the cup")
    assert import_state(data, other_book, other) == ()
    assert [(item.id, item.text, item.submitted_ns) for item in other_book.active] == [
        ("find-1", "find the chair", 7),
        ("lamp", "find the lamp", 7),
    ]
    before = {item.id: scheduler._searches[item.id].answered for item in book.active}
    for number in range(1, 6):
        other.add_keyframe(wall_view(number, 0.4 * number))
    again = asked(other)
    assert len(again) == len(set(again)) == 2 * 5 - 4
    assert not {(key, name) for name, keys in before.items() for key in keys} & set(again)
    # A new one is asked about everything, under an id that was never given.
    new = submit(other_book, other, "find the bed")
    assert new.id == "find-2"
    assert sorted(asked(other)) == [(number, "find-2") for number in range(1, 6)]


def test_surface_that_answers_covered_stays_covered(saved):
    _, scheduler, data = saved
    other_book, other = made()
    import_state(data, other_book, other)
    for number in range(1, 5):
        other.add_keyframe(wall_view(number, 0.4 * number))
    for name in ("find-1", "lamp"):
        for number in range(1, 5):
            surface = scheduler._keyframes[number].surface
            mine, theirs = scheduler._searches[name].coverage.copy(), other._searches[name].coverage
            for _, flying in scheduler._searches[name].in_flight.values():
                mine.uncover(flying)
            assert theirs.new_share(other._keyframes[number].surface) == mine.new_share(surface)
    assert export_state(other_book, other) == data


def test_what_was_given_up_is_not_asked_again():
    book, scheduler = made()
    submit(book, scheduler, "find the chair")
    scheduler.add_keyframe(wall_view(1, 0.0))
    for _ in range(2):
        scheduler.report_failed(*scheduler.next_tasks(1), ReasoningError("no"))
    other_book, other = made()
    import_state(export_state(book, scheduler), other_book, other)
    other.add_keyframe(wall_view(1, 0.0))
    assert asked(other) == []
    assert other.progress("find-1").failed == 1
    assert other.progress("find-1").last_failure == "no"


def test_what_cannot_be_taken_up_is_said_and_broken_bytes_change_nothing(saved):
    _, _, data = saved
    book, scheduler = made(max_instructions=1)
    (problem,) = import_state(data, book, scheduler)
    assert "'lamp'" in problem
    assert [item.id for item in book.active] == ["find-1"]
    for broken in (b"", data[:-3], data[:90] + b"?" + data[91:]):
        with pytest.raises(StateError):
            import_state(broken, book, scheduler)
    assert [item.id for item in book.active] == ["find-1"]
