"""Run configurations over many scenes and instructions, at the same time and safe against a kill.

The work is cut into units, a scene with all its instructions (or, LIRA's way, each instruction in a run of its own);
workers do them, this process alone writes what they bring.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from lira_ros.configuration import flatten
from lira_ros.datasets.reference import ReferenceInstruction
from lira_ros.evaluation.experiment_unit import (
    PICTURES,
    Outcome,
    Task,
    Unit,
    badness,
    is_right,
    program,
    questions_of,
    run_unit,
)
from lira_ros.evaluation.experiment_workers import Workers
from lira_ros.evaluation.results import PairResult, Results, ResultsFolder, UnitResult
from lira_ros.evaluation.run_configuration import KEPT_REASONER, RunConfiguration

# A unit that fails may have had bad luck with its machine; one that fails twice is reported.
ATTEMPTS = 2
POLL_S = 0.5
PICTURES_FOLDER = "pictures"


@dataclass(frozen=True)
class Experiment:
    """One configuration over the data, and where its results go."""

    name: str
    directory: Path
    configuration: RunConfiguration


@dataclass(frozen=True)
class Data:
    """What to run over. spec: as it was asked for. scenes: names that open_sequence() opens, each once.

    questions: instead of those of the recordings. alone: every instruction in a run of its own.
    """

    spec: str
    scenes: tuple[str, ...]
    questions: tuple[ReferenceInstruction, ...] | None = None
    alone: bool = False


class Progress(Protocol):
    """Who shows how far an experiment is."""

    def begin(self, total: int, done: int) -> None:
        """Take over how many runs there are, and how many were done before."""

    def note(self, result: UnitResult) -> None:
        """Take note of a run that ended."""


def description(experiment: Experiment, data: Data) -> dict[str, Any]:
    """Return what an experiment asks for as plain values; results of two descriptions are never mixed."""
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in flatten(experiment.configuration).items()
    }
    questions: Any = "those of the recordings"
    if data.questions is not None:
        questions = [[item.text, list(item.ids), item.kind] for item in data.questions]
    return {
        "data": data.spec,
        "scenes": list(data.scenes),
        "instructions": questions,
        "each instruction alone": data.alone,
        "configuration": values,
    }


def fingerprint(experiment: Experiment, data: Data) -> str:
    """Return eight characters that change with what is asked for and with the sources of the package."""
    return sha256(f"{description(experiment, data)} {program()}".encode()).hexdigest()[:8]


def run_experiments(
    experiments: Sequence[Experiment], data: Data, workers: Workers, progress: Progress
) -> tuple[Results, ...]:
    """Do what is not done yet and return all results, in the order of the experiments.

    Experiments share the frames of a scene. A unit that fails is tried once more, alone; then it is recorded with its
    sentence and the others go on. Raises ResultsError when a folder cannot be used.
    """
    with ExitStack() as stack:
        folders = {
            item.name: stack.enter_context(ResultsFolder(item.directory, description(item, data)))
            for item in experiments
        }
        names = _names(data, folders, workers)
        waiting = deque(_units(names, experiments, folders, data))
        total = len(names) * len(experiments)
        progress.begin(total, total - sum(len(unit.tasks) for unit in waiting))
        try:
            _work(waiting, folders, workers, progress)
        finally:
            KEPT_REASONER.close()  # that of this process; workers let go of theirs when they end
        return tuple(folders[item.name].results for item in experiments)


@dataclass(frozen=True)
class _Name:
    scene: str
    number: int

    @property
    def unit(self) -> str:
        return Unit(self.scene, (), number=self.number).name


def _names(data: Data, folders: dict[str, ResultsFolder], workers: Workers) -> list[_Name]:
    if not data.alone:
        return [_Name(scene, 0) for scene in data.scenes]
    if data.questions is not None:
        counts: dict[str, int] = dict.fromkeys(data.scenes, len(data.questions))
    else:
        counts = {}
        for scene, answer in _everything(count_questions, data.scenes, workers):
            # A scene whose instructions cannot be read fails as a whole, with its sentence, when it is run.
            counts[scene] = answer if isinstance(answer, int) else 0
    return [
        _Name(scene, number)
        for scene in data.scenes
        for number in (range(1, counts[scene] + 1) if counts[scene] else (0,))
    ]


def count_questions(scene: str) -> int:
    """Return how many instructions a scene brings."""
    return len(questions_of(scene))


def _everything(function: Callable[[str], Any], jobs: Iterable[str], workers: Workers) -> Iterable[tuple[str, Any]]:
    waiting, running = deque(jobs), 0
    while waiting or running:
        while waiting and running < workers.slots:
            workers.submit(function, waiting.popleft())
            running += 1
        for job, answer in workers.finished(POLL_S):
            running -= 1
            yield job, answer


def _units(
    names: Sequence[_Name], experiments: Sequence[Experiment], folders: dict[str, ResultsFolder], data: Data
) -> list[Unit]:
    units = []
    finished = {item.name: folders[item.name].results.finished() for item in experiments}
    for name in names:
        tasks = tuple(
            Task(item.name, item.configuration) for item in experiments if name.unit not in finished[item.name]
        )
        if tasks:
            units.append(Unit(name.scene, tasks, data.questions, name.number))
    return units


def _work(waiting: deque[Unit], folders: dict[str, ResultsFolder], workers: Workers, progress: Progress) -> None:
    attempts: dict[tuple[str, str], int] = {}
    worst = {name: worst_pairs(folder.results.pairs.values()) for name, folder in folders.items()}
    running = 0
    while waiting or running:
        while waiting and running < workers.slots:
            workers.submit(run_unit, waiting.popleft())
            running += 1
        for unit, answer in workers.finished(POLL_S):
            running -= 1
            for task, outcome in zip(unit.tasks, _outcomes(unit, answer), strict=True):
                tried = attempts[(unit.name, task.experiment)] = attempts.get((unit.name, task.experiment), 0) + 1
                if outcome.result.failed and tried < ATTEMPTS:
                    waiting.append(replace(unit, tasks=(task,)))
                    continue
                outcome = replace(outcome, result=replace(outcome.result, attempts=tried))
                worst[task.experiment] = _keep(folders[task.experiment], outcome, worst[task.experiment])
                progress.note(outcome.result)


def _outcomes(unit: Unit, answer: tuple[Outcome, ...] | Exception) -> tuple[Outcome, ...]:
    if not isinstance(answer, Exception):
        return answer
    sentence = f"{type(answer).__name__}: {answer}"
    failed = UnitResult(unit.name, unit.scene, failed=sentence, program=program())
    return tuple(Outcome(task.experiment, failed) for task in unit.tasks)


def _keep(folder: ResultsFolder, outcome: Outcome, worst: Sequence[PairResult]) -> list[PairResult]:
    """Write what a run brought and the pictures of what are now the worst pairs; return those."""
    now = worst_pairs([*worst, *(pair for pair in outcome.pairs if pair.key not in folder.results.pairs)])
    kept = {picture_path(folder.directory, pair.key): pair.key for pair in now}
    # Pictures first: what counts as done is complete.
    for path, key in kept.items():
        if key in outcome.pictures:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(outcome.pictures[key])
    folder.add(outcome.result, outcome.pairs)
    for path in (folder.directory / PICTURES_FOLDER).glob("*.jpg"):
        if path not in kept:
            path.unlink()
    return now


def worst_pairs(pairs: Iterable[PairResult]) -> list[PairResult]:
    """Return the pairs that a report shows, worst first; none that is right throughout."""
    return [pair for pair in sorted(pairs, key=badness) if not is_right(pair)][:PICTURES]


def picture_path(directory: Path, key: tuple[str, int]) -> Path:
    """Return where the picture of a pair is kept, while it is one of the worst."""
    scene, number = key
    words = re.sub(r"[^A-Za-z0-9]+", "-", scene).strip("-")[-60:]
    return directory / PICTURES_FOLDER / f"{words}-{sha256(scene.encode()).hexdigest()[:6]}-{number:03d}.jpg"
