"""Worker: order, bounds, tasks, and that it survives what its handlers raise."""

import itertools
import threading
import time

import pytest

from lira_ros.ros.worker import Worker


def make():
    errors = []
    worker = Worker("test", lambda name, error: errors.append((name, str(error))))
    return worker, errors


def test_queues_are_drained_in_the_order_they_were_added(wait_for):
    worker, _ = make()
    done = []
    worker.add_queue("first", lambda item: done.append(("first", item)), 10)
    worker.add_queue("second", lambda item: done.append(("second", item)), 10)
    for item in range(3):
        worker.put("second", item)
        worker.put("first", item)
    task = worker.submit(lambda: done.append("task"))
    worker.start()
    assert worker.wait_until_idle(5.0)
    worker.stop()
    assert task.done()
    assert done == ["task", *[("first", i) for i in range(3)], *[("second", i) for i in range(3)]]


@pytest.mark.parametrize(("drop", "kept"), [("oldest", [2, 3]), ("newest", [0, 1])])
def test_a_full_queue_drops_and_counts(drop, kept):
    worker, _ = make()
    done = []
    worker.add_queue("q", done.append, 2, drop)
    assert [worker.put("q", item) for item in range(4)] == [True, True, False, False]
    worker.start()
    assert worker.wait_until_idle(5.0)
    worker.stop()
    assert done == kept
    counters = worker.statistics()["q"]
    assert (counters.received, counters.processed, counters.dropped, counters.longest) == (4, 2, 2, 2)


def test_errors_are_reported_and_the_thread_lives():
    worker, errors = make()
    done = []

    def handler(item):
        if item == 0:
            raise ValueError("zero")
        done.append(item)

    worker.add_queue("q", handler, 5)
    worker.start()
    failing = worker.submit(lambda: 1 // 0)
    for item in (0, 1):
        worker.put("q", item)
    assert worker.wait_until_idle(5.0)
    worker.stop()
    assert errors == [("q", "zero")]
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert worker.statistics()["q"].failed == 1


def test_a_task_overtakes_a_long_queue():
    worker, _ = make()
    order = []
    started = threading.Event()
    release = threading.Event()

    def handler(item):
        started.set()
        release.wait(5.0)
        order.append(item)

    worker.add_queue("q", handler, 10)
    for item in range(3):
        worker.put("q", item)
    worker.start()
    assert started.wait(5.0)
    worker.submit(lambda: order.append("task"))
    release.set()
    assert worker.wait_until_idle(5.0)
    worker.stop()
    assert order == [0, "task", 1, 2]


def test_idle_work_runs_only_when_nothing_waits():
    worker, _ = make()
    order = []
    left = [2, 1]
    worker.add_queue("q", order.append, 10)
    worker.set_idle_work(lambda: bool(left) and (order.append(("idle", left.pop())) or True))
    for item in range(2):
        worker.put("q", item)
    worker.start()
    assert worker.wait_until_idle(5.0)
    worker.stop()
    assert order == [0, 1, ("idle", 1), ("idle", 2)]


def test_periodic_functions_run_without_items(wait_for):
    worker, _ = make()
    calls = []
    worker.add_periodic("tick", 0.01, lambda: calls.append(1))
    worker.start()
    wait_for(lambda: len(calls) >= 3, what="three calls")
    assert worker.stop()


def test_stop_cancels_waiting_tasks_and_leaves_no_thread():
    worker, _ = make()
    release = threading.Event()
    worker.start()
    running = worker.submit(lambda: release.wait(5.0))
    waiting = worker.submit(lambda: None)
    while not running.running():
        time.sleep(0.001)
    assert not worker.stop(timeout_s=0.01)  # still busy
    assert waiting.cancelled()
    assert worker.submit(lambda: None).cancelled()
    release.set()
    running.result(5.0)


def test_wrong_queues_are_refused():
    worker, _ = make()
    with pytest.raises(ValueError, match="q: capacity"):
        worker.add_queue("q", print, 0)
    worker.add_queue("q", print, 1)
    with pytest.raises(ValueError, match="q: exists"):
        worker.add_queue("q", print, 1)


def test_a_periodic_function_takes_its_share_of_the_time_at_most():
    calls = []

    def slow():
        calls.append(time.monotonic())
        time.sleep(0.04)

    worker = Worker("test", lambda name, error: None)
    worker.add_periodic("slow", 0.001, slow, largest_share=0.2)
    worker.start()
    deadline_s = time.monotonic() + 10.0
    while len(calls) < 4 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    worker.stop()
    assert len(calls) >= 4
    # 0.04 s of work in every 0.2 s: never sooner, later only on a busy machine.
    assert min(later - earlier for earlier, later in itertools.pairwise(calls)) >= 0.2


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match="largest_share"):
        Worker("test", lambda name, error: None).add_periodic("x", 1.0, print, largest_share=0.0)


def test_a_last_task_runs_after_all_that_was_queued_before_it():
    worker, order, begin = Worker("w", lambda name, error: None), [], threading.Event()

    def handle(item):
        begin.wait(5.0)
        order.append(item)

    worker.add_queue("a", handle, 10)
    worker.add_queue("b", handle, 10)
    worker.start()
    for number in range(3):
        worker.put("b", f"b{number}")
        worker.put("a", f"a{number}")
    late = worker.submit(lambda: order.append("last"), last=True)
    worker.submit(lambda: order.append("first"))
    begin.set()
    late.result(5.0)
    assert order.index("last") == 7
    assert order.index("first") < 2
    assert worker.wait_until_idle(5.0)
    blocked = threading.Event()
    worker.put("a", "c")
    worker.submit(lambda: blocked.wait(5.0))
    waiting = worker.submit(lambda: None, last=True)
    threading.Timer(0.05, blocked.set).start()
    worker.stop()
    assert waiting.cancelled() or waiting.done()
