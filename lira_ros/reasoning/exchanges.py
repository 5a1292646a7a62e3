"""Record what a reasoner is asked and answers, as lines of JSON that replay answers from."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from lira_ros.reasoning.contracts import CandidateSet, Reasoner, ReasoningError, Task
from lira_ros.reasoning.exchange_format import encode
from lira_ros.reasoning.observed import ObservedReasoner

# A hundred candidates of a ragged 640 x 480 mask each are below 2 MB; a longer line is not one of ours.
MAX_LINE_BYTES = 64 << 20
# A day of questions of a few hundred kB, one a second, stays below this; a robot's disk must not fill up.
MAX_FILE_BYTES = 32 << 30
_BLOCK_BYTES = 1 << 20


class ExchangeFile:
    """Lines that are appended whole, by any number of threads and processes.

    A process that is killed while it writes leaves a line without an end: readers leave it out and the next writer
    cuts it off. name: of the parameter, for messages. Raises ReasoningError when the file cannot be opened for writing.
    """

    def __init__(self, path: str | Path, name: str = "reasoner.record_exchanges") -> None:
        self.path = Path(path).expanduser()
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ReasoningError(f"{name}: cannot write {self.path}: {error.strerror}") from error
        self._lock = threading.Lock()

    def append(self, line: bytes) -> None:
        """Append a line without its end. Raises OSError when it does not fit; the file is then as it was before."""
        with self._lock:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                self._append(line + b"\n")
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_same(self, path: str | Path) -> bool:
        """Tell whether a path leads to this file."""
        return os.path.exists(Path(path).expanduser()) and os.path.samefile(Path(path).expanduser(), self.path)

    def close(self) -> None:
        """Close the file; what a call that was left behind appends later fails."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, data: bytes) -> None:
        size = self._end_of_lines()
        if size + len(data) > MAX_FILE_BYTES or len(data) > MAX_LINE_BYTES:
            raise OSError(f"{self.path}: {len(data)} bytes more than {size} would be too much")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def _end_of_lines(self) -> int:
        """Return the size of the file, after cutting off what a writer that was killed has left."""
        size = os.fstat(self._descriptor).st_size
        if size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n":
            return size
        end = size
        while end > 0:
            start = max(0, end - _BLOCK_BYTES)
            found = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        os.ftruncate(self._descriptor, end)
        return end


class RecordingReasoner(ObservedReasoner):
    """Passes every question on and appends it with its answer to a file; a disk that is full spoils no answer."""

    def __init__(self, reasoner: Reasoner, file: ExchangeFile) -> None:
        super().__init__(reasoner)
        self._file = file
        self._lock = threading.Lock()
        self._recorded = 0
        self._failed = 0
        self._problem = ""

    def observe(self, task: Task, outcome: CandidateSet | Exception, latency_s: float) -> None:
        """Append a question with its answer, or with what went wrong."""
        try:
            self._file.append(encode(task, outcome, latency_s, self.name, self.batch_size))
        except (OSError, ValueError, TypeError) as error:
            with self._lock:
                self._failed += 1
                self._problem = str(error)
        else:
            with self._lock:
                self._recorded += 1

    def diagnose(self) -> dict[str, object]:
        """Return what the reasoner says of itself, and how much was recorded."""
        values = {**super().diagnose(), "exchanges recorded": self._recorded}
        if self._failed:
            values.update({"exchanges not recorded": self._failed, "record of exchanges": self._problem})
        return values

    def close(self) -> None:
        """Close the reasoner and the file."""
        super().close()
        self._file.close()
