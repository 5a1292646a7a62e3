"""Start the nodes as processes of their own, watch them, and leave none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

# A node must end within 2 s of SIGINT (house rule of the nodes); the rest is for a loaded machine.
GRACE_S = 8.0


class ProcessError(RuntimeError):
    """A node ended by itself or could not be started; names it and the log."""


@dataclass(frozen=True)
class NodeCommand:
    """One node to start: executable (module of lira_ros.nodes), name, remappings and parameters.

    prefix: what comes before its command line, for example ``env NAME=VALUE``; it must not start a process of its own.
    """

    executable: str
    namespace: str
    remappings: Mapping[str, str]
    parameters: Mapping[str, object]
    prefix: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return the command line that starts the node with this Python."""
        result = [*self.prefix, sys.executable, "-m", f"lira_ros.nodes.{self.executable}", "--ros-args"]
        result += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for source, target in self.remappings.items():
            result += ["-r", f"{source}:={target}"]
        for name, value in self.parameters.items():
            result += ["-p", f"{name}:={_parameter_text(value)}"]
        return result


def _parameter_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Quoted, so that YAML reads "1" or "on" or "" as the text that it is.
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_parameter_text(item) for item in value) + "]"
    return repr(value)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


class NodeProcesses:
    """A group of node processes; a context manager that stops all of them on the way out, also after a SIGTERM."""

    def __init__(self, log_directory: Path, environment: Mapping[str, str]) -> None:
        self._log_directory = log_directory
        self._environment = {**os.environ, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> NodeProcesses:
        # By default SIGTERM (of timeout, systemd, a container) ends this process at once and leaves the nodes behind.
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def start(self, commands: Sequence[NodeCommand]) -> None:
        """Start nodes; what they print goes to ``<executable>.log`` in the log directory."""
        self._log_directory.mkdir(parents=True, exist_ok=True)
        for command in commands:
            with self.log_path(command.executable).open("wb") as log:
                self._running[command.executable] = subprocess.Popen(
                    command.arguments(),
                    env=self._environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # a Ctrl-C in the terminal reaches us alone; we stop the nodes in order
                )

    @property
    def ids(self) -> dict[str, int]:
        """Return the process id of each node that was started, by executable."""
        return {executable: process.pid for executable, process in self._running.items()}

    def log_path(self, executable: str) -> Path:
        """Return where a node's output goes."""
        return self._log_directory / f"{executable}.log"

    def finished(self, executable: str) -> bool:
        """Tell whether a node ended by itself with exit code 0; raises ProcessError for any other code."""
        code = self._running[executable].poll()
        if code is None:
            return False
        if code != 0:
            raise ProcessError(self._death(executable, code))
        return True

    def check(self, *, but: Sequence[str] = ()) -> None:
        """Raise ProcessError when a node has ended, except those named in ``but``."""
        for executable, process in self._running.items():
            code = process.poll()
            if code is not None and executable not in but:
                raise ProcessError(self._death(executable, code))

    def _death(self, executable: str, code: int) -> str:
        log = self.log_path(executable)
        tail = log.read_text(errors="replace").strip().splitlines()[-8:]
        return f"{executable} ended with code {code}; the end of {log}:\n  " + "\n  ".join(tail)

    def stop(self) -> dict[str, int | None]:
        """End every node: SIGINT, then SIGTERM, then SIGKILL, each after a grace time; returns the exit codes."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = [process for process in self._running.values() if process.poll() is None]
            for process in alive:
                process.send_signal(number)
            deadline = time.monotonic() + GRACE_S
            for process in alive:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
        codes = {executable: process.returncode for executable, process in self._running.items()}
        self._running.clear()
        return codes
