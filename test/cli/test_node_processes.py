import os
import signal
import sys
import time

import pytest

from lira_ros.cli import processes
from lira_ros.cli.processes import NodeCommand, NodeProcesses, ProcessError


class PlainCommand(NodeCommand):
    """A command that runs a piece of Python instead of a node."""

    def arguments(self):
        return [sys.executable, "-c", self.parameters["code"]]


def plain(name, code):
    return PlainCommand(name, "", {}, {"code": code})


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_parameters_are_quoted_so_that_yaml_reads_them_as_they_are():
    command = NodeCommand("a_node", "lira", {"in": "/out"}, {"x": "1", "y": True, "z": 0.5, "w": ("it's", "b")})
    arguments = command.arguments()
    assert "__ns:=/lira" in arguments
    assert "in:=/out" in arguments
    for expected in ("x:='1'", "y:=true", "z:=0.5", "w:=['it''s', 'b']"):
        assert expected in arguments


def test_a_process_that_dies_is_named_with_the_end_of_its_log(tmp_path):
    with NodeProcesses(tmp_path, {}) as group:
        group.start([plain("broken", "import sys; print('the disk is full'); sys.exit(3)")])
        group._running["broken"].wait(20)
        with pytest.raises(ProcessError, match=r"(?s)broken ended with code 3.*the disk is full"):
            group.check()


def test_no_process_is_left_even_when_it_ignores_signals(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    ready = tmp_path / "ready"
    stubborn = (
        "import signal, time, pathlib\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(ready)!r}).write_text('x')\ntime.sleep(60)"
    )
    pids = []

    def fail_in_between():
        with NodeProcesses(tmp_path, {}) as group:
            group.start([plain("stubborn", stubborn), plain("kind", "import time; time.sleep(60)")])
            pids.extend(process.pid for process in group._running.values())
            while not ready.exists():
                time.sleep(0.02)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail_in_between()
    assert len(pids) == 2
    assert not any(is_alive(pid) for pid in pids)


def test_a_process_may_end_when_it_is_expected_to(tmp_path):
    with NodeProcesses(tmp_path, {"GREETING": "hello"}) as group:
        group.start([plain("short", "import os; print(os.environ['GREETING'])")])
        while not group.finished("short"):
            time.sleep(0.02)
        group.check(but=("short",))
        assert group.log_path("short").read_text() == "hello\n"


def test_a_sigterm_to_whoever_started_nodes_ends_them_too(tmp_path):
    before, numbers = signal.getsignal(signal.SIGTERM), []

    def run():
        with NodeProcesses(tmp_path, {}) as group:
            group.start([plain("sleeper", "import time; time.sleep(60)")])
            numbers.append(group.ids["sleeper"])
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)

    with pytest.raises(SystemExit, match="143"):
        run()
    assert not is_alive(numbers[0])
    assert signal.getsignal(signal.SIGTERM) == before
