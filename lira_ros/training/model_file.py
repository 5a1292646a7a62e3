"""What a training leaves behind: weights with a description of how they were made, and a card for people."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from lira_ros import __version__
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.reasoning.models.verification import hash_file
from lira_ros.training.configuration import TrainingConfiguration, TrainingError
from lira_ros.training.homes import RATE_HZ, HomeStore
from lira_ros.training.run_state import write_tensors
from lira_ros.training.task import TrainingTask
from lira_ros.training.trainer import TrainingResult

# Digits of figures: the fourth is below what another seed changes.
_DIGITS = 5


def write_model(
    folder: Path,
    task: TrainingTask,
    configuration: TrainingConfiguration,
    store: HomeStore,
    device: torch.device,
    result: TrainingResult,
) -> Path:
    """Write <model>.safetensors with metadata, and <model>.yaml beside it; return the path of the former.

    The metadata has "network", a JSON of TrainingTask.description(), and "training", a JSON of how it was made.
    """
    path = folder / f"{configuration.model}.safetensors"
    training = _training(task, configuration, store, device, result)
    metadata = {"network": json.dumps(dict(task.description())), "training": json.dumps(training)}
    write_tensors(path, result.weights, metadata)
    card = {
        "name": path.stem,
        "description": f"Weights of lira_ros/fusion, made by lira train fusion --model {configuration.model}",
        "file": {"name": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)},
        "parameters": sum(item.numel() for item in task.network.parameters()),
        "network": json.loads(metadata["network"]),
        **training,
    }
    with partial_file(path.with_suffix(".yaml")) as partial:
        partial.write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100), encoding="utf-8")
    return path


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Put the weights of a safetensors file into a network; raises TrainingError that names the file and what differs.

    Names and shapes have to be those of the network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: expected a safetensors file, which cannot be read: {error}") from error
    except RuntimeError as error:
        raise TrainingError(f"{path}: these are weights of another network: {error}") from error


def _training(
    task: TrainingTask,
    configuration: TrainingConfiguration,
    store: HomeStore,
    device: torch.device,
    result: TrainingResult,
) -> dict[str, Any]:
    values = dataclasses.asdict(configuration)
    if configuration.start_from:
        # What it was is told by its content; where it lay is of no use elsewhere.
        start = Path(configuration.start_from)
        values["start_from"] = {"name": start.name, "sha256": _sha256(start)}
    return {
        "program": {
            "lira_ros": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
        },
        "data": {
            "what": "keyframes of walks through generated homes (lira_ros/datasets/rooms) with exact truth",
            "homes": len(configuration.seeds),
            "validation_homes": len(configuration.validation_seeds),
            "sensor": store.sensor,
            "width_px": store.width_px,
            "frames_hz": RATE_HZ,
            "pose_errors": "noise in homes of even seeds, none in the others",
        },
        "configuration": values,
        "result": {
            "best_epoch": result.epoch,
            "chosen_by": task.best_figure,
            "figures": _rounded(result.figures),
            "last_losses": _rounded(result.losses),
            "epochs": result.epochs,
            "steps": result.steps,
            "seconds": round(result.seconds),
            "all_epochs_done": result.finished,
        },
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, _DIGITS) for name, value in values.items()}


def _sha256(path: Path) -> str:
    return hash_file(path, hashlib.sha256())
