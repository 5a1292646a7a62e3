"""What a reasoner answered about a single picture, as pictures and as JSON for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lira_ros.datasets.image_files import write_png
from lira_ros.datasets.picture import Picture
from lira_ros.evaluation.file_names import instruction_stem
from lira_ros.evaluation.segmentation_2d import run_lengths
from lira_ros.geometry import mask as masks
from lira_ros.reasoning.contracts import Candidate, CandidateSet, Exchange, Instruction
from lira_ros.reasoning.language.parser import describe
from lira_ros.reasoning.overlay import draw_sheet

# Rises when a field changes its meaning or goes; new fields may come at any time.
FORMAT_VERSION = 1
ANSWERS_NAME = "answers.json"


@dataclass(frozen=True)
class PictureAnswer:
    """The answer to one instruction, or why there is none (problem, with the exchanges that led there)."""

    instruction: Instruction
    candidates: CandidateSet | None
    problem: str = ""
    exchanges: tuple[Exchange, ...] = ()


def write_picture_report(
    picture: Picture, name: str, answers: Sequence[PictureAnswer], folder: Path, *, with_exchanges: bool
) -> list[Path]:
    """Write an overlay PNG for each answer, and answers.json; return the paths.

    Boxes and masks are in pixels of the picture in its file, upright; masks are COCO run lengths, what was not
    measured is null. The overlays show the picture as the reasoner saw it, with a title and a legend around it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    color = picture.keyframe.frame.color
    written: list[Path] = []
    entries: list[dict[str, Any]] = []
    for number, answer in enumerate(answers, 1):
        overlay = None
        if answer.candidates is not None:
            overlay = folder / f"{instruction_stem(number, answer.instruction.text)}.png"
            write_png(overlay, draw_sheet(color, answer.candidates, answer.instruction.text))
            written.append(overlay)
        entries.append(_entry(answer, picture, overlay, with_exchanges))
    camera = picture.keyframe.frame.camera.scaled(picture.width_px, picture.height_px)
    content = {
        "version": FORMAT_VERSION,
        "picture": {"file": name, "width_px": picture.width_px, "height_px": picture.height_px},
        "camera": {
            **{field: getattr(camera, field) for field in ("fx", "fy", "cx", "cy")},
            "known": picture.intrinsics_known,
        },
        "has_depth": picture.has_depth,
        "answers": entries,
    }
    path = folder / ANSWERS_NAME
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    # Half a character, in what a model said or in the name of the file, is written as JSON escapes it.
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return [*written, path]


def _entry(answer: PictureAnswer, picture: Picture, overlay: Path | None, with_exchanges: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "instruction": answer.instruction.text,
        "understood": describe(answer.instruction.constraint),
        "problem": answer.problem,
        "model": None,
        "latency_s": None,
        "overlay": overlay.name if overlay is not None else None,
        "candidates": [],
    }
    if answer.candidates is not None:
        entry["model"] = answer.candidates.model
        entry["latency_s"] = answer.candidates.latency_s
        entry["candidates"] = [_candidate(item, picture) for item in answer.candidates.candidates]
    if with_exchanges:
        entry["exchanges"] = [dataclasses.asdict(exchange) for exchange in answer.exchanges]
    return entry


def _candidate(candidate: Candidate, picture: Picture) -> dict[str, Any]:
    mask = masks.resize(candidate.mask, picture.height_px, picture.width_px)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1] if len(rows) else None
    counts = run_lengths(mask)
    return {
        "id": candidate.id,
        "role": candidate.role.name.lower(),
        "label": candidate.label,
        "label_confidence": _number(candidate.label_confidence),
        "color": candidate.attributes.color,
        "score": _number(candidate.score),
        "target_confidence": _number(candidate.target_confidence),
        "reason": candidate.reason,
        "box_px": box,
        "area_px": int(np.count_nonzero(mask)),
        "attributes": {name: _value(value) for name, value in dataclasses.asdict(candidate.attributes).items()},
        "mask": {"size": [int(side) for side in counts["size"]], "counts": counts["counts"].decode("ascii")},
    }


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
