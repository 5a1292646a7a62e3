"""What the trainer wants to know of something that can be trained."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch

from lira_ros.training.configuration import TASKS, TrainingConfiguration
from lira_ros.training.homes import HomeStore


class TrainingTask(Protocol):
    """A network with the data, losses and figures that belong to it. All randomness comes from what it is given.

    network: on its device; its state is what a training ends with. optimizer: over the parameters to be learned, each
    group with its largest learning rate. gradient_norm: largest norm of all gradients together, longer ones are cut.
    best_figure: name of the figure of ``validate`` by which the best epoch is kept; more is better.
    """

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    gradient_norm: float
    best_figure: str

    def learning_rate_factor(self, epoch: int, step: int) -> float:
        """Return by what the learning rates of the groups are multiplied; both count from 0, steps over all epochs."""

    def batches(self, epoch: int, generator: np.random.Generator) -> Iterator[Any]:
        """Yield what the steps of an epoch learn from; the generator is the only source of chance.

        A training that goes on in the middle of an epoch draws the first batches of it once more and drops them.
        """

    def losses(self, batch: Any) -> Mapping[str, torch.Tensor]:
        """Return the parts of the loss, scalars, and "total", which is minimised. torch is seeded for each step."""

    def validate(self) -> Mapping[str, float]:
        """Return the figures of the network as it is; it is in evaluation mode, and no gradients are kept."""

    def description(self) -> Mapping[str, Any]:
        """Return what is needed to make the network again and what is to be known of it, in types of JSON."""


def seed_everything(*key: int) -> None:
    """Seed Python, NumPy and torch on all devices with numbers that follow from the key."""
    first, second = np.random.SeedSequence(key).generate_state(2)
    random.seed(int(first))
    np.random.seed(int(first))  # noqa: NPY002 - libraries that a task uses may draw from it
    torch.manual_seed(int(second))


def create_task(configuration: TrainingConfiguration, store: HomeStore, device: torch.device) -> TrainingTask:
    """Return the task that ``configuration.model`` names; the weights of its network are drawn from the seed."""
    module, function = TASKS[configuration.model]
    seed_everything(configuration.seed)
    task: TrainingTask = getattr(import_module(module), function)(configuration, store, device)
    return task
