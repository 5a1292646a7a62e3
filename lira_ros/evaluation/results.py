"""The folder of an experiment: one line a finished pair, one line a finished run, safe against a kill at any moment.

``run.json`` holds what was asked for, ``results.jsonl`` one line for every finished pair of a scene and an
instruction, ``runs.jsonl`` one line for every finished or failed run, ``pictures/`` the worst pairs. Lines are appended
and flushed to the disk; a run counts as done when it and all its pairs are here. A last line that was cut off by a kill
is removed when the folder is opened again, and its run is done again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lira_ros.evaluation.online import MapHistory, OnlineScores
from lira_ros.evaluation.pair import PairComparison, TrueObject, Union
from lira_ros.evaluation.segmentation_2d import SegmentationCounts

FORMAT = "lira evaluation"
VERSION = 1
RUN_FILE, PAIRS_FILE, UNITS_FILE, LOCK_FILE = "run.json", "results.jsonl", "runs.jsonl", ".lock"


class ResultsError(ValueError):
    """A folder of results cannot be used or does not fit what is asked for; names the folder and why."""


@dataclass(frozen=True)
class CurvePoint:
    """How good the answer was at one moment: seconds of the recording, share of the recording, F1 at IoU 0.25."""

    at_s: float
    share: float
    f1: float


@dataclass(frozen=True)
class PairResult:
    """One pair of a scene and an instruction.

    number: place of the instruction in the list of its scene, from 1 on. state, reason: what the search said at the
    end. answer: what was found. selected: when, of all instances of the map, those are returned that fit the targets
    best: what a perfect judge could do with this map. everything: official and strict union of all instances of the
    map; what else is needed to score "return everything" is the same for all pairs of a unit, see Results.everything().
    """

    unit: str
    scene: str
    number: int
    text: str
    kind: str
    state: str
    reason: str
    answer: PairComparison
    selected: PairComparison
    everything: tuple[Union, Union]
    curve: tuple[CurvePoint, ...] = ()
    online: OnlineScores | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Return what names the pair: scene and number of the instruction."""
        return self.scene, self.number

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the inverse of from_dict()."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PairResult:
        """Build from what to_dict() returned; raises KeyError, TypeError or ValueError for anything else."""
        plain = {name: values[name] for name in ("unit", "scene", "number", "text", "kind", "state", "reason")}
        return PairResult(
            **plain,
            answer=PairComparison.from_dict(values["answer"]),
            selected=PairComparison.from_dict(values["selected"]),
            everything=(Union(**values["everything"][0]), Union(**values["everything"][1])),
            curve=tuple(CurvePoint(**point) for point in values["curve"]),
            online=None if values["online"] is None else OnlineScores.from_dict(values["online"]),
        )


@dataclass(frozen=True)
class StageTimes:
    """The durations of one stage in a run: how many, and a thinned, ascending sample of them [ms]."""

    count: int
    sample_ms: tuple[float, ...]


@dataclass(frozen=True)
class UnitResult:
    """One run over a scene: what it cost, or why it failed.

    pairs: how many instructions it answered. failed: the sentence of the error, "" when it went well. program: which
    sources it was made with. dropped: frames that were not used, by reason. notices: what the reader says of the
    recording. load: figures of the process by name.
    surface: figures of the mapped against the true surface by name. everything: all instances of the map, compared
    with all objects of the scene. history: how the instances of the whole map kept to their objects, None where only
    what conforms is known over time. segmentation: what the reasoner drew into pictures, free-running.
    """

    unit: str
    scene: str
    pairs: int = 0
    failed: str = ""
    attempts: int = 1
    program: str = ""
    frames: int = 0
    keyframes: int = 0
    instances: int = 0
    recording_s: float = 0.0
    duration_s: float = 0.0
    dropped: dict[str, int] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    stages: dict[str, StageTimes] = field(default_factory=dict)
    load: dict[str, float] = field(default_factory=dict)
    surface: dict[str, float] = field(default_factory=dict)
    everything: PairComparison | None = None
    history: MapHistory | None = None
    segmentation: SegmentationCounts = field(default_factory=SegmentationCounts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the inverse of from_dict()."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> UnitResult:
        """Build from what to_dict() returned; raises KeyError, TypeError or ValueError for anything else."""
        stages = {k: StageTimes(int(v["count"]), tuple(v["sample_ms"])) for k, v in values["stages"].items()}
        whole = values["everything"]
        everything = None if whole is None else PairComparison.from_dict(whole)
        lists = {name: tuple(values[name]) for name in ("failures", "notices")}
        segmentation = SegmentationCounts.from_dict(values.get("segmentation", {}))
        history = None if values.get("history") is None else MapHistory.from_dict(values["history"])
        parts = {"stages": stages, "everything": everything, "history": history, "segmentation": segmentation}
        return UnitResult(**{**values, **lists, **parts})


@dataclass(frozen=True)
class Results:
    """What a folder holds: what was asked for, the pairs by key, and the last word on every unit."""

    directory: Path
    description: dict[str, Any]
    pairs: dict[tuple[str, int], PairResult]
    units: dict[str, UnitResult]

    @property
    def failed(self) -> tuple[UnitResult, ...]:
        """Return the units that failed, by name."""
        return tuple(unit for _, unit in sorted(self.units.items()) if unit.failed)

    def everything(self, pair: PairResult) -> PairComparison:
        """Return a pair as answered by somebody who returns all instances of the map for every instruction.

        Raises KeyError for a pair of another folder.
        """
        unit = self.units[pair.unit].everything
        if unit is None:
            raise KeyError(pair.unit)
        objects: dict[int, TrueObject] = {**unit.objects, **{i: pair.answer.objects[i] for i in pair.answer.targets}}
        return replace(
            pair.answer,
            objects=dict(sorted(objects.items())),
            predictions=unit.predictions,
            official_union=pair.everything[0],
            strict_union=pair.everything[1],
        )

    def finished(self) -> frozenset[str]:
        """Return the units that went well and all of whose pairs are here."""
        counts = Counter(pair.unit for pair in self.pairs.values())
        return frozenset(name for name, unit in self.units.items() if not unit.failed and counts[name] >= unit.pairs)

    def is_done(self, unit: str) -> bool:
        """Tell whether a unit went well and all its pairs are here."""
        return unit in self.finished()


def read_results(directory: Path) -> Results:
    """Read a folder, also one that is being written or was cut off: a last half line is left out.

    Raises ResultsError that names the file and the line.
    """
    description = _read_description(directory)
    pairs: dict[tuple[str, int], PairResult] = {}
    for pair in _read_lines(directory / PAIRS_FILE, PairResult.from_dict):
        pairs.setdefault(pair.key, pair)
    units = {unit.unit: unit for unit in _read_lines(directory / UNITS_FILE, UnitResult.from_dict)}
    return Results(directory, description, pairs, units)


def _read_description(directory: Path) -> dict[str, Any]:
    path = directory / RUN_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultsError(f"{directory}: no results of lira evaluate here ({RUN_FILE} is missing)") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ResultsError(f"{path}: expected the format {FORMAT!r}")
    if description.get("version") != VERSION:
        raise ResultsError(f"{path}: expected version {VERSION}, got {description.get('version')}")
    return description


def _read_lines(path: Path, parse: Any) -> list[Any]:
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    entries = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entries.append(parse(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError(f"{path}, line {number}: not a result: {type(error).__name__}: {error}") from None
    return entries


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two descriptions, a phrase each; lists are counted, not printed."""
    found = []
    flat_before, flat_now = _flat(before), _flat(now)
    for name in sorted(set(flat_before) | set(flat_now)):
        was, is_now = flat_before.get(name, "absent"), flat_now.get(name, "absent")
        if was != is_now:
            found.append(f"{name} was {_short(was)}, is {_short(is_now)}")
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}: "))
        else:
            flat[prefix + name] = value
    return flat


def _short(value: Any) -> str:
    text = f"a list of {len(value)}" if isinstance(value, list) and len(value) > 4 else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class ResultsFolder:
    """The writer of a folder: it alone may write, until it is closed or its process ends.

    description: what is asked for, plain JSON values; another one than that of an existing folder is refused.
    Raises ResultsError that names the folder: another process writes it, it holds something else, or what differs.
    """

    def __init__(self, directory: Path, description: Mapping[str, Any]) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        try:
            wanted = {"format": FORMAT, "version": VERSION, **json.loads(json.dumps(description))}
            if (directory / RUN_FILE).exists():
                changed = differences(_read_description(directory), wanted)
                if changed:
                    raise ResultsError(
                        f"{directory}: holds results of something else ({'; '.join(changed)}); "
                        "name another folder with --out"
                    )
            else:
                write_whole(directory / RUN_FILE, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
            self.repaired = sum(self._repair(directory / name) for name in (PAIRS_FILE, UNITS_FILE))
            self.results = read_results(directory)
        except BaseException:
            self._lock.close()
            raise

    def _locked(self) -> Any:
        lock = (self.directory / LOCK_FILE).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ResultsError(f"{self.directory}: another lira evaluate is writing this folder") from None
        return lock

    @staticmethod
    def _repair(path: Path) -> int:
        """Cut off a last line without an end; return the bytes removed."""
        if not path.exists():
            return 0
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        return len(content) - whole

    def add(self, unit: UnitResult, pairs: Iterable[PairResult]) -> tuple[PairResult, ...]:
        """Append what a unit brought and return the pairs that were new; a pair that is here is not written twice."""
        new = tuple(pair for pair in pairs if pair.key not in self.results.pairs)
        # The unit first: whoever sees its pairs, which are written at once, finds it done.
        self._append(UNITS_FILE, [unit.to_dict()])
        self._append(PAIRS_FILE, [pair.to_dict() for pair in new])
        self.results.pairs.update({pair.key: pair for pair in new})
        self.results.units[unit.unit] = unit
        return new

    def _append(self, name: str, entries: list[dict[str, Any]]) -> None:
        if not entries:
            return
        lines = "".join(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n" for entry in entries)
        with (self.directory / name).open("ab", buffering=0) as file:
            view = memoryview(lines.encode("utf-8"))
            while view:
                view = view[file.write(view) or 0 :]
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let others write."""
        self._lock.close()

    def __enter__(self) -> ResultsFolder:
        """Return the folder."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
