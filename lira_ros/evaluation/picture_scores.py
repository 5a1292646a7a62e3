"""Score a reasoner on annotated pictures: what it draws by itself against the right masks, picture by picture.

Results are kept as those of recordings are (see ``results``): a run that was interrupted goes on where it was, and a
picture that got no answer is asked about again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lira_ros.datasets.annotated_pictures import PictureSet, PictureTask
from lira_ros.datasets.picture import read_picture
from lira_ros.datasets.sequence import SequenceError
from lira_ros.evaluation.experiment_unit import program
from lira_ros.evaluation.results import Results, ResultsFolder, UnitResult, write_whole
from lira_ros.evaluation.segmentation_2d import ImageAnswer, SegmentationCounts, free_running_counts, run_lengths
from lira_ros.geometry import mask as masks
from lira_ros.reasoning.asking import ask
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Reasoner, Role, Task
from lira_ros.reasoning.language.parser import InstructionError, parse

SUMMARY_FILE = "summary.json"
# Models that are asked for what helps to find the targets and nothing else: all that they draw is meant to help. The
# other back ends draw whatever is in sight, and only roles tell what helps.
ASKED_FOR_HELPERS = frozenset({"lisa", "remote", "vlm"})
_TITLES = {
    "g_iou_per_sample": "gIoU (mean over pictures, as LISA)",
    "c_iou_per_sample": "cIoU (all pixels, as LISA)",
    "g_iou_per_mask": "gIoU per mask, free-running",
    "c_iou": "cIoU over masks, free-running",
    "n_acc": "N-acc (nothing drawn where nothing is)",
    "precision_50": "precision of masks at IoU 0.5",
    "recall_50": "recall of masks at IoU 0.5",
}


def score_pictures(
    pictures: PictureSet,
    make_reasoner: Callable[[], Reasoner],
    directory: Path,
    description: dict[str, Any],
    *,
    all_help: bool = False,
    note: Callable[[UnitResult], None] = lambda result: None,
) -> Results:
    """Ask about every picture that is not done yet, and return the results of all.

    make_reasoner: called once, and not at all when everything is done. description: what is asked for, plain JSON
    values; a folder with results of something else is refused. all_help: whatever the reasoner draws is meant to help,
    see ASKED_FOR_HELPERS. note: called with every picture that is done. A picture that cannot be read or gets no answer
    is recorded with the sentence and not scored.
    Raises ResultsError when the folder cannot be used, ReasoningError when the reasoner cannot be made.
    """
    with ResultsFolder(directory, description) as folder:
        done = folder.results.finished()
        waiting = [index for index, name in enumerate(pictures.names) if name not in done]
        if not waiting:
            return folder.results
        reasoner = make_reasoner()
        try:
            for start in range(0, len(waiting), reasoner.batch_size):
                chunk = waiting[start : start + reasoner.batch_size]
                for result in _answered(pictures, chunk, reasoner, all_help):
                    folder.add(result, ())
                    note(result)
        finally:
            reasoner.close()
        return folder.results


def write_summary(results: Results, directory: Path) -> dict[str, Any]:
    """Add up all pictures, write summary.json and return what is in it."""
    good = [unit for unit in results.units.values() if not unit.failed]
    counts = sum((unit.segmentation for unit in good), SegmentationCounts())
    times_s = [unit.duration_s for unit in good]
    summary = {
        "scores": counts.scores().to_dict(),
        "counts": counts.to_dict(),
        "median_s": float(np.median(times_s)) if times_s else None,
        "failed": [{"picture": unit.unit, "why": unit.failed} for unit in results.failed],
    }
    write_whole(directory / SUMMARY_FILE, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return summary


def format_pictures(summary: dict[str, Any]) -> str:
    """Return the scores as lines for people, in percent."""
    scores, counts = summary["scores"], summary["counts"]
    width = max(map(len, _TITLES.values()))
    lines = [f"{title:<{width}}  {_percent(scores[name])}" for name, title in _TITLES.items()]
    said = f"{scores['samples']} pictures with {counts['wanted']} masks, {scores['empty_samples']} pictures with none"
    drawn = f"{counts['drawn']} masks drawn, {counts['matched']} of them right at IoU 0.5"
    pace = "" if summary["median_s"] is None else f"; median {summary['median_s']:.2f} s a picture"
    return "\n".join([*lines, "", f"{said}; {drawn}{pace}"])


def compared(task: PictureTask, answer: CandidateSet, *, all_help: bool = False) -> SegmentationCounts:
    """Compare what a reasoner drew into a picture with its annotation.

    Counted are targets; where the annotation is of all that helps, anchors too, and context with all_help.
    """
    roles = {Role.TARGET}
    if task.with_helpers:
        roles = set(Role) if all_help else {Role.TARGET, Role.ANCHOR}
    height, width = task.masks.shape[1:]
    drawn = [masks.resize(item.mask, height, width) for item in answer.candidates if item.role in roles]
    right = list(task.masks)
    if task.ignored is not None:
        # A mask that lies mostly on what does not matter is neither right nor wrong.
        drawn = [mask & ~task.ignored for mask in drawn if 2 * (mask & task.ignored).sum() <= mask.sum()]
        right = [mask & ~task.ignored for mask in right]
    drawn = [mask for mask in drawn if mask.any()]
    return free_running_counts([ImageAnswer(tuple(map(run_lengths, right)), tuple(map(run_lengths, drawn)))])


def _answered(pictures: PictureSet, indices: Sequence[int], reasoner: Reasoner, all_help: bool) -> list[UnitResult]:
    """Ask about some pictures in one call; what cannot be read is left out of it."""
    results: dict[int, UnitResult] = {}
    asked: dict[int, tuple[PictureTask, Task]] = {}
    for index in indices:
        try:
            asked[index] = _question(pictures.task(index), index, reasoner)
        except (SequenceError, InstructionError) as error:
            results[index] = _failed(pictures.names[index], error)
    began_s = time.perf_counter()
    answers: Sequence[CandidateSet | Exception]
    try:
        answers = ask(reasoner, [task for _, task in asked.values()]) if asked else ()
    except Exception as error:  # a back end may wrap any model: whatever it raises is no answer, and the others go on
        answers = [error] * len(asked)
    each_s = (time.perf_counter() - began_s) / max(1, len(asked))
    for (index, (picture, _)), answer in zip(asked.items(), answers, strict=True):
        if isinstance(answer, Exception):
            results[index] = _failed(picture.name, answer)
            continue
        results[index] = UnitResult(
            picture.name,
            str(picture.picture),
            program=program(),
            frames=1,
            instances=len(answer.candidates),
            duration_s=each_s,
            segmentation=compared(picture, answer, all_help=all_help),
        )
    return [results[index] for index in indices]


def _question(picture: PictureTask, index: int, reasoner: Reasoner) -> tuple[PictureTask, Task]:
    if reasoner.needs_depth and picture.depth is None:
        raise SequenceError(
            f"{picture.picture}: reasoner {reasoner.name} sees things by their shape; there is no depth image beside it"
        )
    seen = read_picture(picture.picture, picture.depth, str(picture.intrinsics or ""))
    height, width = picture.masks.shape[1:]
    if (height, width) != (seen.height_px, seen.width_px):
        raise SequenceError(
            f"{picture.picture}: expected {width} x {height} pixels, as annotated, got "
            f"{seen.width_px} x {seen.height_px}"
        )
    constraint = parse(picture.instruction, any_language=reasoner.any_language)
    instruction = Instruction(f"picture-{index}", picture.instruction, constraint)
    return picture, Task(replace(seen.keyframe, id=index + 1), instruction)


def _failed(name: str, error: Exception) -> UnitResult:
    return UnitResult(name, name, failed=f"{type(error).__name__}: {error}", program=program())


def _percent(value: float | None) -> str:
    return "  -" if value is None else f"{100 * value:5.1f}"
