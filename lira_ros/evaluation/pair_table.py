"""The table that a small evaluation prints: what was found, missed and wrong, one line an instruction."""

from __future__ import annotations

from collections.abc import Sequence

from lira_ros.evaluation.results import PairResult
from lira_ros.evaluation.strict_protocol import IOU_THRESHOLDS, Counts, count_matches
from lira_ros.reasoning.plain_text import plain_text

TEXT_WIDTH = 62
SHOWN_LABELS = 4


def format_pairs(pairs: Sequence[PairResult]) -> str:
    """Format found/missed/wrong at both IoU of the strict protocol, the state and the labels of the answer."""
    header = ("instruction", "state", *(f"IoU {iou}" for iou in IOU_THRESHOLDS), "answer")
    rows = [header]
    right = dict.fromkeys(IOU_THRESHOLDS, 0)
    for pair in pairs:
        counts = {iou: count_matches(pair.answer, iou) for iou in IOU_THRESHOLDS}
        for iou, count in counts.items():
            right[iou] += count.exact
        text = plain_text(pair.text, TEXT_WIDTH)  # a recording brings it
        labels = ", ".join(item.label or "thing" for item in pair.answer.predictions[:SHOWN_LABELS]) or "-"
        rows.append((text, pair.state, *(_cell(counts[iou]) for iou in IOU_THRESHOLDS), labels))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append("(found/missed/wrong objects; right = everything found and nothing else)")
    lines.append("right: " + ", ".join(f"{right[iou]} of {len(pairs)} at IoU {iou}" for iou in IOU_THRESHOLDS))
    return "\n".join(lines)


def _cell(counts: Counts) -> str:
    return f"{counts.right}/{counts.missed}/{counts.wrong}" + (" right" if counts.exact else "")
