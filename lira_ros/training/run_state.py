"""Where a training stands, in one safetensors file without pickles: weights, optimizer, counters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lira_ros.mapping.atomic_file import partial_file
from lira_ros.training.configuration import TrainingError

# Layout of the file; to be raised with it.
FILE_FORMAT = 1
_NETWORK = "network."
_OPTIMIZER = "optimizer."


@dataclass
class RunState:
    """What a training counts.

    epoch: finished ones. epoch_steps: steps of the one that is under way. steps: of all. seconds: spent so far.
    sums, summed: losses since the last point of the curves. best: the figure that the best epoch is chosen by, None
    before the first. best_epoch: how many epochs were finished when it was reached. figures: of that epoch.
    """

    epoch: int = 0
    epoch_steps: int = 0
    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    best: float | None = None
    best_epoch: int = 0
    figures: dict[str, float] = field(default_factory=dict)


def stored_tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a network as tensors of the processor that share no memory, as safetensors wants them."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file that replaces the old one when it is complete, readable as other files are."""
    with partial_file(path) as partial:
        save_file(dict(tensors), partial, None if metadata is None else dict(metadata))
        # The library lets nobody else read what it writes: a model is for all users of a machine.
        partial.chmod(0o644)


def save_state(path: Path, state: RunState, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a file that replaces the old one when it is complete."""
    tensors = {_NETWORK + name: value for name, value in stored_tensors(network).items()}
    content = optimizer.state_dict()
    numbers: dict[str, dict[str, Any]] = {}
    for index, entry in content["state"].items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{_OPTIMIZER}{index}.{name}"] = value.detach().cpu().contiguous().clone()
            else:
                numbers.setdefault(str(index), {})[name] = value
    metadata = {
        "format": json.dumps(FILE_FORMAT),
        "state": json.dumps(asdict(state)),
        "optimizer_numbers": json.dumps(numbers),
        "optimizer_groups": json.dumps(content["param_groups"]),
    }
    write_tensors(path, tensors, metadata)


def load_state(path: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> RunState:
    """Put a network and its optimizer into the state of a file, bit by bit, and return the counters.

    Raises TrainingError that names the file when it cannot be read or belongs to another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != json.dumps(FILE_FORMAT):
                raise ValueError(f"expected format {FILE_FORMAT}, got {metadata.get('format')}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        state = RunState(**json.loads(metadata["state"]))
        entries: dict[int, dict[str, Any]] = {
            int(index): dict(entry) for index, entry in json.loads(metadata["optimizer_numbers"]).items()
        }
        for name, value in tensors.items():
            if name.startswith(_OPTIMIZER):
                index, _, key = name.removeprefix(_OPTIMIZER).partition(".")
                entries.setdefault(int(index), {})[key] = value
        groups = json.loads(metadata["optimizer_groups"])
        for group in groups:
            group.update({name: tuple(value) for name, value in group.items() if name == "betas"})
        network.load_state_dict(
            {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
        )
        optimizer.load_state_dict({"state": entries, "param_groups": groups})
        return state
    # load_state_dict() says with RuntimeError what does not fit.
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{path}: a training cannot go on from it: {error}") from error
