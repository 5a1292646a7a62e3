"""Asks a judge about the table of instances beside the fusion: it may take seconds, and the map goes on meanwhile."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.reasoning.contracts import Instruction, Opinion, ReasoningError, ServerUnavailable
from lira_ros.reasoning.remote.configuration import JudgeConfiguration
from lira_ros.reasoning.remote.judge import (
    MAX_RELATIONS,
    MAX_ROWS,
    TableLayout,
    TableRelation,
    TableRow,
    TargetJudge,
    create_judge,
    wants_judge,
)

# Noise of an instance that is seen again stays below these steps [m].
POSITION_STEP_M, SIZE_STEP_M = 0.25, 0.1
# Undecided, rather and surely: one more view that says the same makes no new table.
WANTED_STEP = 0.25
# How long the owner waits at the end for the thread; the judge cuts its connection.
CLOSE_TIMEOUT_S = 2.0
# A server that is away is not asked more often than this, whatever it says.
LEAST_PAUSE_S = 0.5
# A table that the judge failed at is given to it once more: as with keyframes, a second failure is not bad luck.
MAX_ATTEMPTS = 2


def instance_table(instances: Sequence[Instance], instruction_id: str) -> tuple[TableRow, ...]:
    """Return what a judge of an instruction reads, by id; of more than MAX_ROWS instances those seen most often."""
    return tuple(_row(instance, instruction_id) for instance in _shown(instances))


def table_layout(instances: Sequence[Instance], relations: RelationTable) -> TableLayout:
    """Return how the instances of instance_table() stand to one another: the MAX_RELATIONS most telling relations."""
    told = relations.relations_of(_shown(instances), MAX_RELATIONS)
    rows = [
        TableRelation(item.target, item.kind.value, item.anchor, _rounded(item.gap_m, POSITION_STEP_M) or 0.0)
        for item in told
    ]
    x, y, z = (_rounded(float(value), POSITION_STEP_M) or 0.0 for value in relations.viewer)
    return TableLayout(tuple(sorted(rows, key=lambda row: (row.target, row.anchor, row.relation))), (x, y, z))


def _shown(instances: Sequence[Instance]) -> list[Instance]:
    kept = sorted(instances, key=lambda instance: (-instance.observations, instance.id))[:MAX_ROWS]
    return sorted(kept, key=lambda instance: instance.id)


@dataclass(frozen=True)
class _Request:
    instruction: Instruction
    table: tuple[TableRow, ...]
    layout: TableLayout
    resets: int
    failures: int = 0


def create_table_judging(
    configuration: JudgeConfiguration,
    instance_map: ConformingMap,
    owner: Callable[[Callable[[], None]], object],
    on_failure: Callable[[str], None],
) -> TableJudging | None:
    """Return the judging that is configured, None for never; raises ReasoningError when a parameter cannot be."""
    judge = create_judge(configuration)
    return None if judge is None else TableJudging(judge, instance_map, owner, on_failure, configuration.period_s)


class TableJudging:
    """Gives a judge the newest table for every instruction that wants one, one question at a time in its own thread.

    owner: runs a function in the thread that owns the map, such as Worker.submit. on_failure: is told there why the
    judge did not answer. Methods but close() and diagnose() are for the owner of the map.
    """

    def __init__(
        self,
        judge: TargetJudge,
        instance_map: ConformingMap,
        owner: Callable[[Callable[[], None]], object],
        on_failure: Callable[[str], None],
        period_s: float,
    ) -> None:
        self._judge = judge
        self._map = instance_map
        self._owner = owner
        self._on_failure = on_failure
        self._period_s = period_s
        self._revision = -1
        self._resets = instance_map.resets
        self._offered: dict[str, _Request] = {}  # what the judge was given last, by instruction
        self._condition = threading.Condition()
        self._waiting: dict[str, _Request] = {}
        self._due_s: dict[str, float] = {}
        self._pause_until_s = 0.0
        self._closed = False
        self._answers = self._failures = 0
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._thread.start()

    def offer(self) -> None:
        """Give the judge the table as it is now, for every instruction that wants a judge and for which it changed."""
        if self._map.resets != self._resets:
            self._start_anew()
        wanted = {item.id: item for item in self._map.instructions if wants_judge(item.constraint)}
        known = {name: request for name, request in self._offered.items() if request.instruction is wanted.get(name)}
        revision = self._map.fusion.revision
        if revision == self._revision and self._offered.keys() == known.keys() == wanted.keys():
            return
        self._revision = revision
        instances = self._map.fusion.instances() if wanted else ()
        tables = {name: instance_table(instances, name) for name in wanted}
        layout = table_layout(instances, self._map.relations()) if wanted else TableLayout()
        with self._condition:
            self._waiting = {name: item for name, item in self._waiting.items() if name in known}
            self._due_s = {name: due_s for name, due_s in self._due_s.items() if name in known}
            for name, instruction in wanted.items():
                before = known.get(name)
                if before is None or (before.table, before.layout) != (tables[name], layout):
                    known[name] = _Request(instruction, tables[name], layout, self._resets)
                    self._waiting[name] = known[name]  # the newest table wins
            self._offered = known
            self._condition.notify_all()

    def diagnose(self) -> dict[str, object]:
        """Return how often the judge answered, and what it says of itself; from any thread."""
        with self._condition:
            waiting = len(self._waiting)
        counts = {"answers": self._answers, "failures": self._failures, "tables waiting": waiting}
        return {f"judge {name}": value for name, value in {**counts, **self._judge.diagnose()}.items()}

    def close(self) -> None:
        """Ask no more and end the thread; a question on its way is given up."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._judge.close()
        self._thread.join(CLOSE_TIMEOUT_S)

    def _start_anew(self) -> None:
        with self._condition:
            self._resets = self._map.resets
            self._waiting.clear()
            self._due_s.clear()
            self._offered = {}
        self._revision = -1

    def _run(self) -> None:
        while (request := self._next()) is not None:
            try:
                opinions = self._judge.judge(request.table, request.instruction, request.layout)
            except Exception as error:
                self._failed(request, error)
            else:
                self._answers += 1
                self._hand_over(functools.partial(self._apply, request, opinions))

    def _next(self) -> _Request | None:
        """Wait for a table whose time has come; return None at the end."""
        with self._condition:
            while not self._closed:
                now_s = time.monotonic()
                due = {name: max(self._pause_until_s, self._due_s.get(name, 0.0)) for name in self._waiting}
                first = min(due, key=lambda name: due[name], default=None)
                if first is not None and due[first] <= now_s:
                    self._due_s[first] = now_s + self._period_s
                    return self._waiting.pop(first)
                self._condition.wait(None if first is None else due[first] - now_s)
        return None

    def _failed(self, request: _Request, error: Exception) -> None:
        self._failures += 1
        with self._condition:
            if isinstance(error, ServerUnavailable):
                self._pause_until_s = time.monotonic() + max(LEAST_PAUSE_S, error.retry_after_s)
            else:
                request = replace(request, failures=request.failures + 1)
            # Asked again with this table, unless a newer one has come or the instruction went.
            newest = self._offered.get(request.instruction.id)
            same = newest is not None and newest.table is request.table and newest.instruction is request.instruction
            if same and request.failures < MAX_ATTEMPTS:
                self._waiting.setdefault(request.instruction.id, request)
                self._condition.notify_all()
        expected = isinstance(error, ReasoningError)
        said = f"{request.instruction.id}: the judge did not answer: {error if expected else repr(error)}"
        self._hand_over(functools.partial(self._on_failure, said))

    def _hand_over(self, function: Callable[[], None]) -> None:
        if not self._closed:
            self._owner(function)

    def _apply(self, request: _Request, opinions: Mapping[int, Opinion]) -> None:
        asked = any(instruction is request.instruction for instruction in self._map.instructions)
        if asked and request.resets == self._map.resets:
            self._map.set_opinions(request.instruction.id, opinions)


def _row(instance: Instance, instruction_id: str) -> TableRow:
    opinion = instance.opinions.get(instruction_id)
    attributes = instance.attributes
    length, width, height = (_rounded(value, SIZE_STEP_M) for value in attributes.size_m)
    x, y, z = (round(round(value / POSITION_STEP_M) * POSITION_STEP_M, 2) for value in instance.box.T_map_box[:3, 3])
    return TableRow(
        id=instance.id,
        label=instance.label,
        color=attributes.color,
        position_m=(x, y, z),
        size_m=None if length is None or width is None or height is None else (length, width, height),
        bottom_height_m=_rounded(attributes.bottom_height_m, SIZE_STEP_M),
        top_height_m=_rounded(attributes.top_height_m, SIZE_STEP_M),
        supported_by=attributes.supported_by,
        wanted_in_pictures=None if opinion is None else _rounded(opinion.confidence, WANTED_STEP),
    )


def _rounded(value: float, step: float) -> float | None:
    return round(round(value / step) * step, 2) if math.isfinite(value) else None
