"""The curves of a training: a line of JSON for each point, and TensorBoard beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lira_ros.mapping.atomic_file import partial_file
from lira_ros.training.configuration import TrainingError

CURVES_FILE = "curves.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


def read_curves(path: Path) -> list[dict[str, Any]]:
    """Return the points of a file: kind ("train" or "validation"), step, epoch (finished ones), and values by name.

    An incomplete last line, of a process that was killed, is left out. Raises TrainingError for any other that is none.
    """
    points = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            if line:
                points.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise TrainingError(f"{path}, line {number}: expected JSON, got {line[:80]!r}") from error
    return points


class Curves:
    """Writes points to CURVES_FILE and, where the package tensorboard is installed, to TENSORBOARD_FOLDER."""

    def __init__(self, folder: Path, steps: int, epoch: int) -> None:
        """Go on after so many steps and finished epochs; what a killed process wrote beyond them is dropped."""
        path = folder / CURVES_FILE
        points = read_curves(path) if path.is_file() else []
        kept = [point for point in points if point["step"] <= steps and point["epoch"] <= epoch]
        with partial_file(path) as partial:
            partial.write_text("".join(json.dumps(point) + "\n" for point in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._last = {point["kind"]: point for point in kept}
        self._board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print(
                f"no curves for TensorBoard: the package tensorboard is not installed "
                f"(pip install -r requirements/development.in); {CURVES_FILE} has them as well",
                file=sys.stderr,
            )
        else:
            self._board = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=steps + 1 if steps else None)

    @property
    def last(self) -> dict[str, dict[str, Any]]:
        """Return the last point of each kind."""
        return self._last

    def add(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Add a point to every curve of a kind."""
        point = {"kind": kind, "step": step, "epoch": epoch, **values}
        self._last[kind] = point
        self._file.write(json.dumps(point) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Write what is not yet written."""
        self._file.close()
        if self._board is not None:
            self._board.close()
