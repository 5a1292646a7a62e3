"""Which keyframe is asked about which instruction next.

The newest keyframe first, so that the answer is about where the robot is. Then, when there is time, older keyframes,
those first that show most of what no answer covers yet: an instruction given late gets most of its result from few
questions. A keyframe that shows little that is new waits until no other does, the newest one too, or is not asked at
all. Questions about one keyframe follow one another, so that instructions share what a model computes of its picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lira_ros.configuration import parameter
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import MAX_REASON_CHARACTERS, Instruction, ServerUnavailable, Task
from lira_ros.reasoning.coverage import MAX_VOXELS, Coverage, Surface, SurfaceIndex
from lira_ros.reasoning.plain_text import plain_text

# One retry: a second failure of the same keyframe is the model's or the input's fault, not bad luck.
MAX_ATTEMPTS = 2
# A keyframe of which less than this part is new waits until no other does: with a model of 1 s the share of the final
# map that is there during a walk rises from 49 to 53 %, and the end is the same (benchmark/keyframe_scheduling.py).
LITTLE_NEW = 0.1
# A server that says "at once" is still not asked in a tight loop.
MIN_PAUSE_S = 0.1


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
    min_new_surface: float = parameter(
        0.0,
        "Ask about a keyframe only when at least this part of its pixels with depth falls on surface that no answered "
        "keyframe of the instruction covers; 0 = ask about all, those with most new surface first and those with less "
        "than a tenth when no other waits",
        minimum=0.0,
        maximum=1.0,
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
    """How far an instruction is with its keyframes, and the last failure, "" for none.

    pending: still to be answered, those in flight included. failed: given up. skipped: show too little that is new.
    failures: questions without an answer, those that are asked again included. oldest_s: for how long the one that is
    pending longest has been, since its keyframe or the instruction came, 0 without any.
    """

    answered: int
    pending: int
    failed: int
    skipped: int
    failures: int
    last_failure: str
    oldest_s: float


@dataclass(frozen=True)
class _Stored:
    keyframe: Keyframe
    surface: Surface


class _Search:
    """The state of one instruction: what it still has to be asked about."""

    def __init__(self, instruction: Instruction) -> None:
        self.instruction = instruction
        self.coverage = Coverage()
        # Keyframe id -> at most this much of it is new. A coverage that grows makes surface less new, never more, so
        # that few of them are looked at again (Minoux, "Accelerated greedy algorithms", 1978).
        self.waiting: dict[int, float] = {}
        self.failed_once: dict[int, float] = {}  # asked again when nothing else waits
        self.in_flight: dict[int, tuple[Task, Surface]] = {}
        self.attempts: dict[int, int] = {}
        self.since_s: dict[int, float] = {}  # of those that wait or are in flight
        self.newest_asked = 0
        self.paused_until_s = float("-inf")
        self.answered: set[int] = set()
        self.failed: set[int] = set()  # given up
        self.failures = 0
        self.last_failure = ""


@dataclass
class SavedSearch:
    """What was asked and answered of one instruction, by keyframe id."""

    answered: set[int]
    failed: set[int]
    attempts: dict[int, int]
    newest_asked: int
    failures: int
    last_failure: str
    coverage: Coverage


@dataclass
class SchedulerState:
    """What a scheduler knows besides keyframes; searches by instruction id, those whose turn is longest ago first."""

    surfaces: SurfaceIndex
    searches: dict[str, SavedSearch]
    latest_asked: int
    forgotten_keyframes: int


class ReasoningScheduler:
    """Keeps keyframes (bounded) and hands out tasks. Not thread-safe: it has one owner.

    monotonic_s: the clock by which a server is given time to come back.
    """

    def __init__(
        self, configuration: SchedulerConfiguration, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._configuration = configuration
        self._monotonic_s = monotonic_s
        self._keyframes: dict[int, _Stored] = {}
        self._surfaces = SurfaceIndex()
        self._searches: dict[str, _Search] = {}  # those whose turn is longest ago first
        self._latest_asked = 0
        self.forgotten_keyframes = 0
        self.keyframe_bytes = 0  # of the images of the keyframes held

    @property
    def keyframe_count(self) -> int:
        """Return the number of keyframes held."""
        return len(self._keyframes)

    def keyframes(self) -> tuple[Keyframe, ...]:
        """Return the keyframes held, by ascending id."""
        return tuple(stored.keyframe for _, stored in sorted(self._keyframes.items()))

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Store a keyframe and queue it for every instruction; others than every n-th and known ones are ignored."""
        if keyframe.id in self._keyframes or (keyframe.id - 1) % self._configuration.keyframe_stride:
            return
        self._keyframes[keyframe.id] = _Stored(keyframe, self._surfaces.add(keyframe))
        self.keyframe_bytes += _image_bytes(keyframe)
        now_s = self._monotonic_s()
        for search in self._searches.values():
            if keyframe.id not in search.answered and keyframe.id not in search.failed:  # before a map was saved
                search.waiting[keyframe.id] = 1.0
                search.since_s[keyframe.id] = now_s
        maximum_bytes = self._configuration.max_keyframe_mib << 20
        while len(self._keyframes) > self._configuration.max_keyframes or (
            len(self._keyframes) > 1 and self.keyframe_bytes > maximum_bytes
        ):
            oldest = min(self._keyframes)
            self.keyframe_bytes -= _image_bytes(self._keyframes.pop(oldest).keyframe)
            self.forgotten_keyframes += 1
            for search in self._searches.values():
                search.waiting.pop(oldest, None)
                search.failed_once.pop(oldest, None)
                if oldest not in search.in_flight:
                    search.since_s.pop(oldest, None)
        if len(self._surfaces) > MAX_VOXELS:
            self._forget_surfaces()

    def add_instruction(self, instruction: Instruction) -> None:
        """Start (or restart) an instruction: the keyframes held are asked about it."""
        self.remove_instruction(instruction.id)
        search = self._searches[instruction.id] = _Search(instruction)
        search.waiting = dict.fromkeys(self._keyframes, 1.0)
        search.since_s = dict.fromkeys(self._keyframes, self._monotonic_s())

    def remove_instruction(self, instruction_id: str) -> None:
        """Stop asking about an instruction; unknown ids are ignored."""
        self._searches.pop(instruction_id, None)

    def next_tasks(self, limit: int = 1, lane: Callable[[Instruction], str | None] = lambda _: "") -> tuple[Task, ...]:
        """Return up to ``limit`` questions for one call of a reasoner, the most urgent first; () when none is due.

        lane: which part of the reasoner answers an instruction, None = that has no room now; all questions of a call
        are for one part.

        An instruction of which an earlier call is not reported yet, and one whose server was away a moment ago, is
        left alone. What is handed out counts as answered when new surface is looked for, until it is reported.
        """
        now_s = self._monotonic_s()
        free: dict[str, str] = {}
        for name, search in self._searches.items():
            if not search.in_flight and search.paused_until_s <= now_s:
                chosen_lane = lane(search.instruction)
                if chosen_lane is not None:
                    free[name] = chosen_lane
        tasks: list[Task] = []
        while len(tasks) < limit:
            own = free[tasks[0].instruction.id] if tasks else None
            searches = [search for name, search in self._searches.items() if name in free and own in (None, free[name])]
            chosen = self._newest(searches) or self._shared(searches) or self._most_new(searches)
            if chosen is None:
                break
            tasks.append(self._hand_out(*chosen))
        return tuple(tasks)

    def report_answered(self, task: Task) -> bool:
        """Note that a task was answered; return False when nobody asks for it any more.

        That is so when its instruction was cancelled or replaced, or the mapping session ended, meanwhile.
        """
        search = self._current(task)
        if search is None:
            return False
        search.answered.add(task.keyframe.id)
        del search.in_flight[task.keyframe.id]
        del search.since_s[task.keyframe.id]
        return True

    def report_failed(self, task: Task, error: Exception) -> bool:
        """Note that a task failed; return True when it will be asked again, after the others.

        A server that was away costs no attempt: the instruction pauses until it may be back.
        """
        search = self._current(task)
        if search is None:
            return False
        keyframe_id = task.keyframe.id
        _, surface = search.in_flight.pop(keyframe_id)
        search.coverage.uncover(surface)
        # What others show of this surface is new again: their bounds no longer hold.
        search.waiting = dict.fromkeys(search.waiting, 1.0)
        search.failed_once = dict.fromkeys(search.failed_once, 1.0)
        search.failures += 1
        search.last_failure = plain_text(str(error), MAX_REASON_CHARACTERS) or type(error).__name__
        held = keyframe_id in self._keyframes
        if isinstance(error, ServerUnavailable):
            search.paused_until_s = self._monotonic_s() + max(MIN_PAUSE_S, error.retry_after_s)
            if held:
                search.waiting[keyframe_id] = 1.0
                return True
        attempts = search.attempts[keyframe_id] = search.attempts.get(keyframe_id, 0) + 1
        if attempts < MAX_ATTEMPTS and held:
            search.failed_once[keyframe_id] = 1.0
            return True
        search.failed.add(keyframe_id)
        del search.since_s[keyframe_id]
        return False

    def progress(self, instruction_id: str) -> Progress:
        """Return how far an instruction is; raises KeyError for an unknown id."""
        search = self._searches[instruction_id]
        due = [name for queue in _queues(search) for name in queue if self._shows_enough(search, queue, name)]
        waiting = len(search.waiting) + len(search.failed_once)
        pending = [*due, *search.in_flight]
        oldest_s = self._monotonic_s() - min(search.since_s[name] for name in pending) if pending else 0.0
        return Progress(
            answered=len(search.answered),
            pending=len(pending),
            failed=len(search.failed),
            skipped=waiting - len(due),
            failures=search.failures,
            last_failure=search.last_failure,
            oldest_s=oldest_s,
        )

    def pause_s(self) -> float | None:
        """Return after which time an instruction that pauses may be asked again, None when none pauses."""
        now_s = self._monotonic_s()
        pauses = [search.paused_until_s - now_s for search in self._searches.values() if any(_queues(search))]
        return min((pause_s for pause_s in pauses if pause_s > 0), default=None)

    def clear_keyframes(self) -> None:
        """Forget all keyframes and start every instruction anew (a new mapping session)."""
        self._keyframes.clear()
        self._surfaces = SurfaceIndex()
        self.keyframe_bytes = 0
        for name, search in self._searches.items():
            self._searches[name] = _Search(search.instruction)

    # ---- state -------------------------------------------------------------------------------------------------

    def export_state(self) -> SchedulerState:
        """Return what was asked and answered; what is in flight counts as not asked yet."""
        searches = {}
        for name, search in self._searches.items():
            coverage = search.coverage.copy()
            for _, surface in search.in_flight.values():
                coverage.uncover(surface)
            searches[name] = SavedSearch(
                answered=search.answered,
                failed=search.failed,
                attempts=search.attempts,
                newest_asked=search.newest_asked,
                failures=search.failures,
                last_failure=search.last_failure,
                coverage=coverage,
            )
        return SchedulerState(self._surfaces, searches, self._latest_asked, self.forgotten_keyframes)

    def import_state(self, state: SchedulerState, instructions: Mapping[str, Instruction]) -> None:
        """Go on from a state, with the instructions of then by id; keyframes are to be added again.

        Nothing that was answered is asked again, and a new instruction is asked about all keyframes that come.
        """
        self.clear_keyframes()
        self._surfaces, self._latest_asked = state.surfaces, state.latest_asked
        self.forgotten_keyframes = state.forgotten_keyframes
        self._searches = {}
        for name, saved in state.searches.items():
            if name in instructions:
                search = self._searches[name] = _Search(instructions[name])
                search.answered, search.failed, search.attempts = saved.answered, saved.failed, saved.attempts
                search.newest_asked, search.coverage = saved.newest_asked, saved.coverage
                search.failures, search.last_failure = saved.failures, saved.last_failure

    # ---- inside ------------------------------------------------------------------------------------------------

    def _newest(self, searches: list[_Search]) -> tuple[_Search, int] | None:
        """Return the newest keyframe that came after all that its search was asked about and shows something new."""
        best: tuple[_Search, int] | None = None
        for search in searches:
            later = [name for name in search.waiting if name > search.newest_asked and (not best or name > best[1])]
            for keyframe_id in sorted(later, reverse=True):
                if self._shows_enough(search, search.waiting, keyframe_id, LITTLE_NEW):
                    best = (search, keyframe_id)
                    break
        return best

    def _shared(self, searches: list[_Search]) -> tuple[_Search, int] | None:
        """Return the keyframe that was asked about last for another instruction and shows something new."""
        name = self._latest_asked
        for search in searches:
            if name in search.waiting and self._shows_enough(search, search.waiting, name, LITTLE_NEW):
                return search, name
        return None

    def _most_new(self, searches: list[_Search]) -> tuple[_Search, int] | None:
        """Return the keyframe with most new surface, of equal ones the newest; failed ones last."""
        for number in range(2):
            best: tuple[float, int, _Search] | None = None
            for search in searches:
                queue = _queues(search)[number]
                for keyframe_id in sorted(queue, key=lambda name: (queue[name], name), reverse=True):
                    if best is not None and (queue[keyframe_id], keyframe_id) <= best[:2]:
                        break
                    if self._shows_enough(search, queue, keyframe_id, exactly=True):
                        found = (queue[keyframe_id], keyframe_id)
                        best = (*found, search) if best is None or found > best[:2] else best
            if best is not None:
                return best[2], best[1]
        return None

    def _shows_enough(
        self, search: _Search, queue: dict[int, float], keyframe_id: int, least: float = 0.0, *, exactly: bool = False
    ) -> bool:
        """Tell whether at least the configured part of a keyframe is new, and at least ``least`` of it.

        exactly: bring its bound up to date in any case.
        """
        least = max(least, self._configuration.min_new_surface)
        if (least > 0 or exactly) and queue[keyframe_id] >= least:
            queue[keyframe_id] = search.coverage.new_share(self._keyframes[keyframe_id].surface)
        return queue[keyframe_id] >= least

    def _hand_out(self, search: _Search, keyframe_id: int) -> Task:
        stored = self._keyframes[keyframe_id]
        task = Task(stored.keyframe, search.instruction)
        for queue in _queues(search):
            queue.pop(keyframe_id, None)
        search.coverage.cover(stored.surface)
        search.in_flight[keyframe_id] = (task, stored.surface)
        search.newest_asked = max(search.newest_asked, keyframe_id)
        self._latest_asked = keyframe_id
        # Its turn is over.
        self._searches[search.instruction.id] = self._searches.pop(search.instruction.id)
        return task

    def _current(self, task: Task) -> _Search | None:
        search = self._searches.get(task.instruction.id)
        known = search.in_flight.get(task.keyframe.id) if search is not None else None
        return search if known is not None and known[0] is task else None

    def _forget_surfaces(self) -> None:
        """Forget what only keyframes that are gone have shown; where the robot comes back to it, it is new again."""
        in_flight = [surface for search in self._searches.values() for _, surface in search.in_flight.values()]
        renumbered = self._surfaces.keep([*(stored.surface for stored in self._keyframes.values()), *in_flight])

        def moved(surface: Surface) -> Surface:
            return Surface(renumbered[surface.voxels], surface.pixels)

        self._keyframes = {
            name: _Stored(stored.keyframe, moved(stored.surface)) for name, stored in self._keyframes.items()
        }
        for search in self._searches.values():
            search.coverage.renumber(renumbered)
            search.in_flight = {name: (task, moved(surface)) for name, (task, surface) in search.in_flight.items()}


def _queues(search: _Search) -> tuple[dict[int, float], dict[int, float]]:
    return search.waiting, search.failed_once


def _image_bytes(keyframe: Keyframe) -> int:
    return keyframe.frame.color.nbytes + keyframe.frame.depth_m.nbytes
