import numpy as np
import pytest
from wall_strip import instruction, wall_view

import lira_ros.reasoning.scheduler as scheduler_module
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.contracts import ReasoningError, ServerUnavailable
from lira_ros.reasoning.scheduler import MIN_PAUSE_S, ReasoningScheduler, SchedulerConfiguration

CAMERA = Camera(4, 3, 4.0, 4.0, 1.5, 1.0)


def keyframe(number):
    frame = Frame(number, np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.float32), CAMERA, np.eye(4))
    return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), float("nan"))


def next_task(scheduler):
    tasks = scheduler.next_tasks(1)
    return tasks[0] if tasks else None


def drain(scheduler, limit=1000):
    order = []
    while (task := next_task(scheduler)) is not None:
        order.append((task.keyframe.id, task.instruction.id))
        scheduler.report_answered(task)
        assert len(order) < limit
    return order


def test_newest_keyframe_first_and_instructions_share_it():
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    scheduler.add_instruction(instruction("a"))
    for number in (1, 2, 3):
        scheduler.add_keyframe(keyframe(number))
    scheduler.add_instruction(instruction("b"))
    assert drain(scheduler) == [(3, "a"), (3, "b"), (2, "a"), (2, "b"), (1, "a"), (1, "b")]
    assert scheduler.progress("b").answered == 3
    assert scheduler.progress("b").pending == 0


def test_a_late_instruction_is_asked_of_everything_already_seen():
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    for number in (1, 2):
        scheduler.add_keyframe(keyframe(number))
    assert next_task(scheduler) is None
    scheduler.add_instruction(instruction("late"))
    assert drain(scheduler) == [(2, "late"), (1, "late")]


def test_a_stride_asks_about_every_third_keyframe_from_the_first_on():
    scheduler = ReasoningScheduler(SchedulerConfiguration(keyframe_stride=3))
    scheduler.add_instruction(instruction("a"))
    for number in range(1, 10):
        scheduler.add_keyframe(keyframe(number))
    assert [k for k, _ in drain(scheduler)] == [7, 4, 1]
    assert scheduler.keyframe_count == 3
    scheduler.add_instruction(instruction("late"))
    assert [k for k, _ in drain(scheduler)] == [7, 4, 1]


def test_the_store_is_bounded_and_forgetting_is_counted():
    scheduler = ReasoningScheduler(SchedulerConfiguration(max_keyframes=2))
    scheduler.add_instruction(instruction("a"))
    for number in (1, 2, 3):
        scheduler.add_keyframe(keyframe(number))
    assert scheduler.forgotten_keyframes == 1
    assert [k for k, _ in drain(scheduler)] == [3, 2]


def test_the_images_are_bounded_in_bytes_and_the_newest_stays():
    def large(number, rows):
        camera = Camera(1024, rows, 500.0, 500.0, 500.0, 100.0)
        frame = Frame(
            number, np.zeros((rows, 1024, 3), np.uint8), np.zeros((rows, 1024), np.float32), camera, np.eye(4)
        )
        return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), float("nan"))

    scheduler = ReasoningScheduler(SchedulerConfiguration(max_keyframe_mib=1))
    scheduler.add_instruction(instruction("a"))
    for number in (1, 2, 3):
        scheduler.add_keyframe(large(number, rows=60))  # 7 bytes a pixel: 0.41 MiB
    assert (scheduler.keyframe_count, scheduler.forgotten_keyframes) == (2, 1)
    assert scheduler.keyframe_bytes == 2 * 7 * 1024 * 60
    scheduler.add_keyframe(large(4, rows=200))
    assert (scheduler.keyframe_count, scheduler.forgotten_keyframes) == (1, 3)
    assert [k for k, _ in drain(scheduler)] == [4]
    scheduler.clear_keyframes()
    assert scheduler.keyframe_bytes == 0


def test_a_failure_is_retried_once_and_then_reported():
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    scheduler.add_instruction(instruction("a"))
    scheduler.add_keyframe(keyframe(1))
    assert scheduler.report_failed(next_task(scheduler), ReasoningError("no memory"))
    assert not scheduler.report_failed(next_task(scheduler), ReasoningError("no memory again"))
    assert next_task(scheduler) is None
    progress = scheduler.progress("a")
    assert (progress.answered, progress.failed, progress.last_failure) == (0, 1, "no memory again")


def test_progress_tells_failures_and_for_how_long_the_oldest_question_waits():
    now_s = [100.0]
    scheduler = ReasoningScheduler(SchedulerConfiguration(max_keyframes=3), lambda: now_s[0])
    scheduler.add_keyframe(keyframe(1))
    scheduler.add_instruction(instruction("a"))
    now_s[0] += 5
    scheduler.add_keyframe(keyframe(2))
    assert scheduler.progress("a").oldest_s == 5.0  # since the instruction came
    scheduler.report_answered(next_task(scheduler))
    task = next_task(scheduler)
    now_s[0] += 10
    assert scheduler.progress("a").oldest_s == 15.0  # in flight
    scheduler.report_failed(task, ReasoningError("no\nmemory \x1b[31m" + "!" * 9999))
    progress = scheduler.progress("a")
    assert (progress.failures, progress.failed, progress.oldest_s) == (1, 0, 15.0)
    assert progress.last_failure.startswith("no memory [31m!")
    assert len(progress.last_failure) == 500
    scheduler.report_failed(next_task(scheduler), ReasoningError(""))
    progress = scheduler.progress("a")
    assert (progress.failures, progress.failed, progress.oldest_s) == (2, 1, 0.0)
    assert progress.last_failure == "ReasoningError"
    for number in (3, 4, 5, 6):  # the first of them is forgotten
        now_s[0] += 1
        scheduler.add_keyframe(keyframe(number))
    assert scheduler.progress("a").oldest_s == 2.0
    assert len(drain(scheduler)) == 3
    assert scheduler.progress("a").oldest_s == 0.0


def test_cancelled_and_replaced_instructions_take_no_late_answers():
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    scheduler.add_instruction(instruction("a"))
    scheduler.add_keyframe(keyframe(1))
    task = next_task(scheduler)
    scheduler.add_instruction(instruction("a"))
    assert not scheduler.report_answered(task)
    assert scheduler.progress("a").answered == 0
    assert scheduler.progress("a").pending == 1
    scheduler.remove_instruction("a")
    assert not scheduler.report_failed(task, ReasoningError("late"))
    assert next_task(scheduler) is None
    with pytest.raises(KeyError):
        scheduler.progress("a")


def test_a_keyframe_seen_twice_is_asked_once():
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    scheduler.add_instruction(instruction("a"))
    scheduler.add_keyframe(keyframe(1))
    scheduler.add_keyframe(keyframe(1))
    assert len(drain(scheduler)) == 1


def test_a_new_session_forgets_keyframes_but_not_instructions():
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    scheduler.add_instruction(instruction("a"))
    scheduler.add_keyframe(keyframe(1))
    drain(scheduler)
    scheduler.clear_keyframes()
    scheduler.add_keyframe(keyframe(1))
    assert drain(scheduler) == [(1, "a")]


def scheduler_of(*places_m, **values):
    """Return a scheduler that holds a view of the wall at each place."""
    scheduler = ReasoningScheduler(SchedulerConfiguration(**values))
    for number, x_m in enumerate(places_m, 1):
        scheduler.add_keyframe(wall_view(number, x_m))
    return scheduler


def test_after_the_newest_those_that_show_most_new_surface():
    scheduler = scheduler_of(0.0, 0.4, 2.0, 0.1, 0.2)
    scheduler.add_instruction(instruction("a"))
    # 5 is the newest; 3 is all new; of the rest 2 shows 20 cm that nobody saw, then 1 the same on the other side.
    assert [k for k, _ in drain(scheduler)] == [5, 3, 2, 1, 4]


def test_what_shows_too_little_that_is_new_is_not_asked_and_not_pending():
    scheduler = scheduler_of(0.0, 0.1, 0.4, min_new_surface=0.2)
    scheduler.add_instruction(instruction("a"))
    assert drain(scheduler) == [(3, "a"), (1, "a")]  # 2 is covered by both
    assert scheduler.progress("a").pending == 0
    assert scheduler.progress("a").skipped == 1
    scheduler.add_keyframe(wall_view(4, 0.5))  # 1 of 8 columns is new
    assert next_task(scheduler) is None
    scheduler.add_keyframe(wall_view(5, 0.6))  # 2 of 8
    assert scheduler.progress("a").pending == 1
    assert drain(scheduler) == [(5, "a")]
    assert scheduler.progress("a").skipped == 2


def test_the_newest_keyframe_waits_while_older_ones_show_more_but_is_asked():
    scheduler = scheduler_of(2.0, 0.0)
    scheduler.add_instruction(instruction("a"))
    task = next_task(scheduler)
    assert task.keyframe.id == 2
    scheduler.add_keyframe(wall_view(3, 0.0))  # while 2 is being asked
    scheduler.report_answered(task)
    assert drain(scheduler) == [(1, "a"), (3, "a")]
    scheduler.add_keyframe(wall_view(4, 0.1))  # 1 of 8 columns is new: more than a tenth
    scheduler.add_keyframe(wall_view(5, 2.0))
    assert drain(scheduler) == [(4, "a"), (5, "a")]
    assert scheduler.progress("a").skipped == 0


def test_new_surface_is_new_for_each_instruction():
    scheduler = scheduler_of(0.0, 0.0, min_new_surface=0.5)
    scheduler.add_instruction(instruction("a"))
    assert drain(scheduler) == [(2, "a")]
    scheduler.add_instruction(instruction("b"))
    assert drain(scheduler) == [(2, "b")]


def test_what_is_being_asked_counts_as_seen_until_it_fails():
    scheduler = scheduler_of(0.0, 0.0, 0.0, min_new_surface=0.5)
    scheduler.add_instruction(instruction("a"))
    (task,) = scheduler.next_tasks(3)
    assert task.keyframe.id == 3
    assert scheduler.progress("a").pending == 1
    assert scheduler.report_failed(task, ReasoningError("out of memory"))
    # The same surface from another keyframe first; then nothing is new for a second attempt either.
    assert drain(scheduler) == [(2, "a")]
    progress = scheduler.progress("a")
    assert (progress.answered, progress.pending, progress.failed, progress.skipped) == (1, 0, 0, 2)


def test_a_wall_without_depth_shows_nothing_new():
    scheduler = ReasoningScheduler(SchedulerConfiguration(min_new_surface=0.01))
    scheduler.add_instruction(instruction("a"))
    scheduler.add_keyframe(keyframe(1))
    assert next_task(scheduler) is None
    assert scheduler.progress("a").skipped == 1


def test_a_batch_holds_the_questions_about_one_keyframe_first():
    scheduler = scheduler_of(0.0, 1.0, 2.0)
    scheduler.add_instruction(instruction("a"))
    scheduler.add_instruction(instruction("b"))
    asked = [(task.keyframe.id, task.instruction.id) for task in scheduler.next_tasks(4)]
    assert asked == [(3, "a"), (3, "b"), (2, "a"), (2, "b")]
    assert scheduler.next_tasks(4) == ()  # both are being asked
    assert scheduler.progress("a").pending == 3


def test_an_instruction_is_asked_by_one_call_at_a_time_and_others_beside_it():
    scheduler = scheduler_of(0.0, 1.0)
    scheduler.add_instruction(instruction("a"))
    scheduler.add_instruction(instruction("b"))
    first, second = next_task(scheduler), next_task(scheduler)
    assert {first.instruction.id, second.instruction.id} == {"a", "b"}
    assert next_task(scheduler) is None
    assert scheduler.report_answered(first)
    assert next_task(scheduler).instruction.id == first.instruction.id


def test_a_server_that_is_away_costs_no_attempt_and_pauses_one_instruction():
    now = [100.0]
    scheduler = ReasoningScheduler(SchedulerConfiguration(), monotonic_s=lambda: now[0])
    scheduler.add_instruction(instruction("a"))
    scheduler.add_keyframe(keyframe(1))
    for _ in range(5):
        assert scheduler.pause_s() is None
        assert scheduler.report_failed(next_task(scheduler), ServerUnavailable("away", 3.0))
        assert next_task(scheduler) is None
        assert scheduler.pause_s() == pytest.approx(3.0)
        now[0] += 3.0
    scheduler.add_instruction(instruction("b"))
    first = next_task(scheduler)
    assert scheduler.report_failed(first, ServerUnavailable("away", 0.0))
    assert {first.instruction.id, next_task(scheduler).instruction.id} == {"a", "b"}  # the other one is not stopped
    progress = scheduler.progress(first.instruction.id)
    assert (progress.pending, progress.failed, progress.last_failure) == (1, 0, "away")
    assert scheduler.pause_s() == pytest.approx(MIN_PAUSE_S)


def test_an_answer_from_a_session_that_has_ended_is_not_wanted():
    scheduler = scheduler_of(0.0)
    scheduler.add_instruction(instruction("a"))
    task = next_task(scheduler)
    scheduler.clear_keyframes()
    scheduler.add_keyframe(wall_view(1, 5.0))
    assert not scheduler.report_answered(task)
    assert scheduler.progress("a").answered == 0
    again = next_task(scheduler)
    assert again is not task
    assert not scheduler.report_failed(task, ReasoningError("late"))
    assert scheduler.report_answered(again)


def test_voxels_that_only_forgotten_keyframes_showed_are_forgotten(monkeypatch):
    monkeypatch.setattr(scheduler_module, "MAX_VOXELS", 100)
    scheduler = ReasoningScheduler(SchedulerConfiguration(max_keyframes=2, min_new_surface=0.5))
    scheduler.add_instruction(instruction("a"))
    for number in range(1, 8):
        scheduler.add_keyframe(wall_view(number, float(number)))
        task = next_task(scheduler)
        assert task.keyframe.id == number
        if number < 7:
            assert scheduler.report_answered(task)
    scheduler.add_keyframe(wall_view(8, 7.0))
    assert next_task(scheduler) is None  # the same place is being asked about, in new numbers too
    assert scheduler.report_failed(task, ReasoningError("no"))
    assert next_task(scheduler).keyframe.id == 8
