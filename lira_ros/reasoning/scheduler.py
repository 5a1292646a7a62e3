"""Which keyframe is asked about which instruction next.

Newest keyframe first, so that the answer is about where the robot is; older keyframes when there is time, so
that an instruction given late is also answered for what was already seen. Instructions take turns.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from lira_ros.configuration import parameter
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import Instruction, Task

# One retry: a second failure of the same keyframe is the model's or the input's fault, not bad luck.
MAX_ATTEMPTS = 2


@dataclass(frozen=True)
class SchedulerConfiguration:
    """Which keyframes are asked about, and bounds of the keyframe store of the reasoning."""

    keyframe_stride: int = parameter(
        1,
        "Ask about every n-th keyframe, the first one included (with fragments of 9 keyframes: 1 asks nine of each "
        "fragment, 3 asks three, 9 asks one); for models that cannot keep up with all of them",
        minimum=1,
        maximum=1000,
    )

    max_keyframes: int = parameter(
        400,
        "Keyframes kept for instructions that come later; the oldest are forgotten first (2.1 MB each at 640x480)",
        minimum=1,
        maximum=100000,
    )
    max_keyframe_mib: int = parameter(
        1024,
        "Most memory of the images of these keyframes [MiB]; the oldest are forgotten first, the newest is always kept",
        minimum=1,
        maximum=100000,
    )


@dataclass(frozen=True)
class Progress:
    """How far an instruction is: keyframes answered, still to be asked, given up; and the last failure."""

    answered: int
    pending: int
    failed: int
    last_failure: str


class _Search:
    """The state of one instruction: what it still has to be asked about."""

    def __init__(self, instruction: Instruction, keyframe_ids: list[int]) -> None:
        self.instruction = instruction
        self.pending = keyframe_ids  # ascending, the newest is asked first
        self.attempts: dict[int, int] = {}
        self.answered = 0
        self.failed = 0
        self.last_failure = ""


class ReasoningScheduler:
    """Keeps keyframes (bounded) and hands out tasks. Not thread-safe: it has one owner."""

    def __init__(self, configuration: SchedulerConfiguration) -> None:
        self._configuration = configuration
        self._keyframes: OrderedDict[int, Keyframe] = OrderedDict()
        self._searches: dict[str, _Search] = {}
        self._turns: deque[str] = deque()
        self.forgotten_keyframes = 0
        self.keyframe_bytes = 0  # of the images of the keyframes held

    @property
    def keyframe_count(self) -> int:
        """Return the number of keyframes held."""
        return len(self._keyframes)

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store a keyframe and queue it for every instruction; others than every n-th and known ones are ignored."""
        if keyframe.id in self._keyframes or (keyframe.id - 1) % self._configuration.keyframe_stride:
            return
        self._keyframes[keyframe.id] = keyframe
        self.keyframe_bytes += _image_bytes(keyframe)
        for search in self._searches.values():
            search.pending.append(keyframe.id)
            search.pending.sort()
        maximum_bytes = self._configuration.max_keyframe_mib << 20
        while len(self._keyframes) > self._configuration.max_keyframes or (
            len(self._keyframes) > 1 and self.keyframe_bytes > maximum_bytes
        ):
            oldest = min(self._keyframes)
            self.keyframe_bytes -= _image_bytes(self._keyframes.pop(oldest))
            self.forgotten_keyframes += 1
            for search in self._searches.values():
                if oldest in search.pending:
                    search.pending.remove(oldest)

    def add_instruction(self, instruction: Instruction) -> None:
        """Start (or restart) an instruction: every keyframe held is asked about it."""
        self.remove_instruction(instruction.id)
        self._searches[instruction.id] = _Search(instruction, sorted(self._keyframes))
        self._turns.append(instruction.id)

    def remove_instruction(self, instruction_id: str) -> None:
        """Stop asking about an instruction; unknown ids are ignored."""
        if self._searches.pop(instruction_id, None) is not None:
            self._turns.remove(instruction_id)

    def next_task(self) -> Task | None:
        """Return the next question, or None when nothing is pending.

        The newest keyframe that any instruction still has to be asked about comes first, so that work on one
        keyframe can be shared; among equals the instruction whose turn is longest ago.
        """
        best: tuple[int, str] | None = None
        for instruction_id in self._turns:
            pending = self._searches[instruction_id].pending
            if pending and (best is None or pending[-1] > best[0]):
                best = (pending[-1], instruction_id)
        if best is None:
            return None
        keyframe_id, instruction_id = best
        self._turns.remove(instruction_id)
        self._turns.append(instruction_id)
        search = self._searches[instruction_id]
        search.pending.pop()
        return Task(self._keyframes[keyframe_id], search.instruction)

    def report_answered(self, task: Task) -> None:
        """Note that a task was answered; ignored when its instruction was cancelled or replaced meanwhile."""
        search = self._current(task)
        if search is not None:
            search.answered += 1

    def report_failed(self, task: Task, reason: str) -> bool:
        """Note that a task failed; return True when it will be tried again (at the end of the queue)."""
        search = self._current(task)
        if search is None:
            return False
        search.last_failure = reason
        keyframe_id = task.keyframe.id
        attempts = search.attempts.get(keyframe_id, 0) + 1
        search.attempts[keyframe_id] = attempts
        if attempts < MAX_ATTEMPTS and keyframe_id in self._keyframes:
            search.pending.insert(0, keyframe_id)
            return True
        search.failed += 1
        return False

    def progress(self, instruction_id: str) -> Progress:
        """Return how far an instruction is; raises KeyError for an unknown id."""
        search = self._searches[instruction_id]
        return Progress(search.answered, len(search.pending), search.failed, search.last_failure)

    def clear_keyframes(self) -> None:
        """Forget all keyframes and start every instruction anew (a new mapping session)."""
        self._keyframes.clear()
        self.keyframe_bytes = 0
        for search in list(self._searches.values()):
            self._searches[search.instruction.id] = _Search(search.instruction, [])

    def _current(self, task: Task) -> _Search | None:
        search = self._searches.get(task.instruction.id)
        return search if search is not None and search.instruction is task.instruction else None


def _image_bytes(keyframe: Keyframe) -> int:
    return keyframe.frame.color.nbytes + keyframe.frame.depth_m.nbytes
