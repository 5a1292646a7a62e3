"""What a training is asked for, and which homes it learns from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lira_ros.configuration import ConfigurationError, parameter
from lira_ros.reasoning.compute import DEVICE_CHOICES
from lira_ros.training.homes import check_seed

# What can be trained: the module and the function that make the task. Only the module of the task that is wanted is
# imported.
TASKS = {
    "instances": ("lira_ros.training.instances_task", "create_instances_task"),
    "tiff": ("lira_ros.training.tiff_task", "create_tiff_task"),
}
_PART = re.compile(r"(\d+)(?:-(\d+))?")


class TrainingError(ConfigurationError):
    """A training cannot begin, go on, or has failed; says why."""


@dataclass(frozen=True)
class TrainingConfiguration:
    """Everything that decides what a training ends with; the same values give the same weights on one machine."""

    model: str = parameter(
        "instances",
        "What is trained: instances (our fusion) or tiff (LIRA's layout with LIRA's losses)",
        choices=tuple(TASKS),
    )
    homes: str = parameter("140", "Homes to learn from: how many, counted from 1, or seeds such as 1-70,81 (1 to 999)")
    validation_homes: str = parameter(
        "1000-1009", "Homes that choose the best epoch, by seeds such as 1000-1009 (1000 to 1999)"
    )
    epochs: int = parameter(20, "How often all homes are gone through", minimum=1, maximum=100000)
    max_minutes: float = parameter(
        0.0, "Stop after this time, whatever epoch it is [minutes]; 0 = when all epochs are done", minimum=0.0
    )
    seed: int = parameter(1, "Begin of all random numbers", minimum=0, maximum=2**31 - 1)
    jobs: int = parameter(
        1, "Processes that draw homes, and threads that compute on a processor", minimum=1, maximum=256
    )
    device: str = parameter("auto", "Where it computes; auto = the GPU where there is one", choices=DEVICE_CHOICES)
    text_length: int = parameter(
        0,
        "Length of the vectors of names, for example LISA's 4096; 0 = the 384 of the sentence encoder, which is what "
        "there is to learn from: tiff fills the rest with zeros, the adapter of instances starts with zeros",
        minimum=0,
        maximum=65536,
    )
    feature_length: int = parameter(
        0,
        "Length of the features of voxels (tiff) or of the embeddings of masks (instances), for example SAM's 256; 0 = "
        "10 of colour and shape for tiff, 192 of colours for instances; filled as above",
        minimum=0,
        maximum=65536,
    )
    start_from: str = parameter("", "File of weights to start from; without one they are drawn from the seed")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of ``homes``, ascending; raises ConfigurationError when one is not for training."""
        text = self.homes.strip()
        return seeds_of(f"1-{text}" if text.isdecimal() and int(text) > 0 else text, "homes", "train")

    @property
    def validation_seeds(self) -> tuple[int, ...]:
        """Return the seeds of ``validation_homes``, ascending; raises ConfigurationError for another split."""
        return seeds_of(self.validation_homes, "validation_homes", "validation")


def seeds_of(text: str, name: str, split: str) -> tuple[int, ...]:
    """Return the seeds that a text such as "1-70,81" names, ascending, each once.

    Raises ConfigurationError that names ``name`` for another text, and a home that does not belong to the split.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ConfigurationError(f"{name}: expected seeds such as 1-70,81, got {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ConfigurationError(f"{name}: {part.strip()} ends before it begins")
        # Both ends are of the split, so all between are.
        check_seed(first, (split,))
        check_seed(last, (split,))
        seeds.update(range(first, last + 1))
    return tuple(sorted(seeds))
