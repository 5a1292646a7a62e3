"""The trainer: goes through the epochs of a task, keeps the best, and can be killed at any moment."""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tqdm import tqdm

from lira_ros.training.configuration import TrainingConfiguration, TrainingError
from lira_ros.training.curves import Curves
from lira_ros.training.run_state import RunState, load_state, save_state, stored_tensors, write_tensors
from lira_ros.training.task import TrainingTask, seed_everything

STATE_FILE = "state.safetensors"
BEST_FILE = "best.safetensors"
# What is lost at most when the process is killed. The 60 MB of 5 M parameters with Adam took 0.4 to 0.9 s to be safe on
# the disk of a busy machine, so this costs 1.5 % of the time at most.
STATE_INTERVAL_S = 60.0
# A point of the curves is the mean of so many steps: single batches differ by more than what is learned in between.
POINT_STEPS = 10
# In a terminal the bar moves with every step; a log file gets a line now and then [s].
_LINE_INTERVAL_S = 30.0
# Streams of random numbers of one step; any other value would do as well.
_STEP, _VALIDATION = 0, 1


@dataclass(frozen=True)
class TrainingResult:
    """What a training ended with.

    weights: of the best epoch, by name, on the processor. epoch: finished ones when they were reached; figures: then.
    epochs, steps, seconds: of the whole training. finished: whether all epochs were done, or the time was over.
    losses: the last point of the curves of the training.
    """

    weights: Mapping[str, torch.Tensor]
    epoch: int
    figures: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float
    finished: bool
    losses: Mapping[str, float]


class Trainer:
    """Trains a task in a folder, which then has the state, the best weights and the curves.

    Everything that is drawn follows from the seed, the epoch and the step, so a training that is resumed ends with the
    same bits as one that was never interrupted, on the same processor with as many threads.
    """

    def __init__(
        self,
        task: TrainingTask,
        configuration: TrainingConfiguration,
        folder: Path,
        resume: bool = False,
        state_interval_s: float = STATE_INTERVAL_S,
    ) -> None:
        """Make the folder, or go on from its state.

        Raises TrainingError when there is a training already, or, to go on from, none or another one.
        """
        self._task = task
        self._configuration = configuration
        self._folder = folder
        self._state_interval_s = state_interval_s
        self._state = RunState()
        path = folder / STATE_FILE
        if resume:
            if not path.is_file():
                raise TrainingError(f"{folder}: there is no training to go on with ({STATE_FILE} is missing)")
            self._state = load_state(path, task.network, task.optimizer)
        elif path.is_file():
            raise TrainingError(f"{folder}: there is a training already; go on with --resume, or name another folder")
        for group in task.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._begin_s = time.monotonic() - self._state.seconds

    def run(self) -> TrainingResult:
        """Train until all epochs are done or the time is over.

        Raises TrainingError that names epoch, step and part when a loss or the gradient is no finite number.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        state, configuration = self._state, self._configuration
        curves = Curves(self._folder, state.steps, state.epoch)
        try:
            if state.steps == 0:
                self._save()
            while state.epoch < configuration.epochs:
                if not self._epoch(curves):
                    return self._stopped(curves)
                self._finish_epoch(curves)
            return self._result(curves, load_file(self._folder / BEST_FILE), state.best_epoch, state.figures, True)
        finally:
            curves.close()

    # --- one epoch ------------------------------------------------------------------------------------------------

    def _epoch(self, curves: Curves) -> bool:
        # Returns False when the time is over before the end.
        state, configuration = self._state, self._configuration
        batches = self._task.batches(state.epoch, np.random.default_rng((configuration.seed, state.epoch)))
        saved_s = time.monotonic()
        interactive = sys.stderr.isatty()
        with tqdm(
            desc=f"epoch {state.epoch + 1} of {configuration.epochs}",
            unit="step",
            initial=state.epoch_steps,
            file=sys.stderr,
            dynamic_ncols=True,
            mininterval=0.1 if interactive else _LINE_INTERVAL_S,
        ) as bar:
            for batch in itertools.islice(batches, state.epoch_steps, None):
                if self._time_is_over():
                    return False
                total = self._step(batch, curves)
                bar.set_postfix(loss=f"{total:.4f}", refresh=False)
                bar.update()
                if time.monotonic() - saved_s >= self._state_interval_s:
                    self._save()
                    saved_s = time.monotonic()
        if state.epoch_steps == 0:
            raise TrainingError(f"epoch {state.epoch + 1}: there was nothing to learn from in the homes")
        return True

    def _step(self, batch: object, curves: Curves) -> float:
        state, task = self._state, self._task
        where = f"epoch {state.epoch + 1}, step {state.epoch_steps + 1}"
        seed_everything(self._configuration.seed, state.epoch, state.epoch_steps, _STEP)
        task.network.train()
        factor = task.learning_rate_factor(state.epoch, state.steps)
        for group in task.optimizer.param_groups:
            group["lr"] = factor * group["initial_lr"]
        task.optimizer.zero_grad(set_to_none=True)
        losses = task.losses(batch)
        if "total" not in losses:
            raise TrainingError(f"{where}: the task gives no loss named total, only {', '.join(losses) or 'none'}")
        values = dict(zip(losses, torch.stack([part.detach() for part in losses.values()]).tolist(), strict=True))
        # The total last: the part that made it infinite says more.
        for name in sorted(values, key=lambda name: name == "total"):
            if not math.isfinite(values[name]):
                raise TrainingError(f"{where}: the loss {name} is {values[name]}; the state before it is kept")
        losses["total"].backward()
        parameters = [item for group in task.optimizer.param_groups for item in group["params"]]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, task.gradient_norm))
        if not math.isfinite(norm):
            raise TrainingError(f"{where}: the norm of the gradient is {norm}; the state before it is kept")
        task.optimizer.step()
        state.epoch_steps += 1
        state.steps += 1
        state.summed += 1
        for name, value in {**values, "gradient_norm": norm, "learning_rate_factor": factor}.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        if state.summed == POINT_STEPS:
            self._add_point(curves)
        return values["total"]

    def _add_point(self, curves: Curves) -> None:
        state = self._state
        if state.summed:
            values = {name: value / state.summed for name, value in state.sums.items()}
            curves.add("train", state.steps, state.epoch, values)
        state.sums, state.summed = {}, 0

    def _finish_epoch(self, curves: Curves) -> None:
        state = self._state
        self._add_point(curves)
        figures = self._validate()
        state.epoch += 1
        state.epoch_steps = 0
        curves.add("validation", state.steps, state.epoch, figures)
        value = figures[self._task.best_figure]
        if state.best is None or value > state.best:
            state.best, state.best_epoch, state.figures = value, state.epoch, figures
            write_tensors(self._folder / BEST_FILE, stored_tensors(self._task.network))
        self._save()

    def _validate(self) -> dict[str, float]:
        seed_everything(self._configuration.seed, self._state.epoch, 0, _VALIDATION)
        self._task.network.eval()
        with torch.no_grad():
            figures = {name: float(value) for name, value in self._task.validate().items()}
        best = self._task.best_figure
        if not math.isfinite(figures.get(best, math.nan)):
            got = json.dumps(figures)
            raise TrainingError(f"epoch {self._state.epoch + 1}: validation gave no finite {best}, only {got}")
        return figures

    # --- the end --------------------------------------------------------------------------------------------------

    def _stopped(self, curves: Curves) -> TrainingResult:
        # Saved before the figures of the unfinished epoch: going on later must not know of them.
        self._save()
        state = self._state
        if state.epoch_steps == 0 and state.best is not None:
            return self._result(curves, load_file(self._folder / BEST_FILE), state.best_epoch, state.figures, False)
        figures = self._validate()
        if state.best is None or figures[self._task.best_figure] > state.best:
            return self._result(curves, stored_tensors(self._task.network), state.epoch, figures, False)
        return self._result(curves, load_file(self._folder / BEST_FILE), state.best_epoch, state.figures, False)

    def _result(
        self,
        curves: Curves,
        weights: Mapping[str, torch.Tensor],
        epoch: int,
        figures: Mapping[str, float],
        finished: bool,
    ) -> TrainingResult:
        state = self._state
        losses = {
            name: value for name, value in curves.last.get("train", {}).items() if name not in ("kind", "step", "epoch")
        }
        return TrainingResult(weights, epoch, figures, state.epoch, state.steps, state.seconds, finished, losses)

    def _time_is_over(self) -> bool:
        limit_s = 60.0 * self._configuration.max_minutes
        return limit_s > 0 and time.monotonic() - self._begin_s >= limit_s

    def _save(self) -> None:
        self._state.seconds = time.monotonic() - self._begin_s
        save_state(self._folder / STATE_FILE, self._state, self._task.network, self._task.optimizer)
