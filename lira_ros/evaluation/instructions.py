"""Ask a recording with known answers a list of instructions and report what was found, missed and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.reference import ReferenceInstruction
from lira_ros.datasets.sequence import GroundTruthObject
from lira_ros.evaluation.matching import Match, match_by_centroid, match_by_iou
from lira_ros.fusion.contracts import Instance, InstructionStatus, SearchState

MINIMUM_IOU = 0.25  # AP25 of the instance segmentation benchmarks; weak annotations allow no more
MAXIMUM_CENTROID_DISTANCE_M = 0.2  # tolerance that goes with the drift of inside-out tracking


@dataclass(frozen=True)
class Answer:
    """What came out for one question, judged by both criteria."""

    question: ReferenceInstruction
    state: SearchState
    reason: str
    labels: tuple[str, ...]
    by_iou: Match
    by_centroid: Match


def judge_answer(
    question: ReferenceInstruction,
    status: InstructionStatus,
    instances: Sequence[Instance],
    objects: Sequence[GroundTruthObject],
) -> Answer:
    """Compare the conforming instances with the right objects; raises ValueError for an id without an object."""
    points_by_id: dict[int, NDArray[np.float32]] = {item.id: item.points for item in objects}
    unknown = [i for i in question.ids if i not in points_by_id]
    if unknown:
        raise ValueError(f"question {question.text!r}: no annotated object has id {unknown}")
    truth = [(i, points_by_id[i]) for i in question.ids]
    predictions = [instance.points for instance in instances]
    return Answer(
        question,
        status.state,
        status.reason,
        tuple(instance.label for instance in instances),
        match_by_iou(predictions, truth, MINIMUM_IOU),
        match_by_centroid(predictions, truth, MAXIMUM_CENTROID_DISTANCE_M),
    )


def _cells(match: Match) -> tuple[str, str, str]:
    return str(len(match.found)), str(len(match.missed)), str(len(match.wrong))


def format_table(answers: Sequence[Answer]) -> str:
    """Format answers as a text table: found / missed / wrong by both criteria, one line an instruction."""
    header = ("instruction", "state", f"IoU {MINIMUM_IOU}", f"centroid {MAXIMUM_CENTROID_DISTANCE_M} m", "answer")
    rows = [header]
    for answer in answers:
        rows.append(
            (
                answer.question.text if len(answer.question.text) <= 62 else answer.question.text[:59] + "...",
                answer.state.name,
                "/".join(_cells(answer.by_iou)) + (" right" if answer.by_iou.right else ""),
                "/".join(_cells(answer.by_centroid)) + (" right" if answer.by_centroid.right else ""),
                ", ".join(label or "thing" for label in answer.labels[:4]) or "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    right_iou = sum(answer.by_iou.right for answer in answers)
    right_centroid = sum(answer.by_centroid.right for answer in answers)
    lines.append("(found/missed/wrong objects; right = everything found and nothing else)")
    lines.append(f"right: {right_iou} of {len(answers)} by IoU, {right_centroid} of {len(answers)} by centroid")
    return "\n".join(lines)
