"""lira train: learn the weights of the fusion from generated homes."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from lira_ros.configuration import build, parameters_of
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.reasoning.compute import choose_device
from lira_ros.training.configuration import TrainingConfiguration, TrainingError
from lira_ros.training.homes import HomeStore

CONFIGURATION_FILE = "configuration.json"
OUTPUT = Path("out") / "train"
HOMES = Path("out") / "homes"
_OPTIONS = {"start_from": "--from"}
_METAVARS = {"homes": "N|SEEDS", "validation_homes": "SEEDS", "max_minutes": "M", "start_from": "FILE"}
# What may differ when a training goes on: nothing of it changes what was learned so far.
_CHANGEABLE = ("epochs", "max_minutes", "jobs", "device")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "train",
        help=summary,
        description="Learn the weights of the fusion from generated homes. It may be killed at any moment and goes on "
        "with --resume to the same weights. The folder then has MODEL.safetensors, MODEL.yaml (how it was made), "
        "curves.jsonl, and tensorboard (tensorboard --logdir FOLDER shows it).",
    )
    parser.add_argument("part", choices=("fusion",), help="what is trained")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"folder of the training (default: {OUTPUT}/MODEL)")
    parser.add_argument(
        "--data", type=Path, default=HOMES, metavar="FOLDER", help=f"drawn homes, missing are added (default: {HOMES})"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the training in --out; what is not given stays as it was"
    )
    for item in parameters_of(TrainingConfiguration):
        default = f"{item.default:g}" if item.type is float else item.default
        parser.add_argument(
            _OPTIONS.get(item.name, "--" + item.name.replace("_", "-")),
            dest=item.name,
            type=item.type,
            metavar=_METAVARS.get(item.name, "N" if item.type is not str else None),
            choices=item.info.choices,
            help=item.info.description + ("" if default == "" else f" (default: {default})"),
        )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw the homes that are missing, train, and write the model with its card."""
    given = {
        name: value
        for name in (item.name for item in dataclasses.fields(TrainingConfiguration))
        if (value := getattr(options, name)) is not None
    }
    folder = options.out or OUTPUT / given.get("model", TrainingConfiguration().model)
    known = _known_values(folder) if options.resume else {}
    for name in sorted(known.keys() & given.keys() - set(_CHANGEABLE)):
        if known[name] != given[name]:
            raise TrainingError(
                f"--resume: the training in {folder} has {name} {known[name]!r}, not {given[name]!r}; "
                f"only {', '.join(_CHANGEABLE)} may change"
            )
    configuration: TrainingConfiguration = build(TrainingConfiguration, known | given)
    homes = (*configuration.seeds, *configuration.validation_seeds)
    if configuration.start_from and not Path(configuration.start_from).is_file():
        raise TrainingError(f"--from {configuration.start_from}: there is no such file")
    device = choose_device(configuration.device)

    # PyTorch is here, or the choice of the device would have said that it is not.
    import torch

    from lira_ros.training.model_file import write_model
    from lira_ros.training.task import create_task
    from lira_ros.training.trainer import Trainer

    torch.set_num_threads(configuration.jobs)
    store = HomeStore(options.data)
    store.prepare(homes, configuration.jobs)
    task = create_task(configuration, store, device)
    trainer = Trainer(task, configuration, folder, options.resume)
    folder.mkdir(parents=True, exist_ok=True)
    with partial_file(folder / CONFIGURATION_FILE) as partial:
        partial.write_text(json.dumps(dataclasses.asdict(configuration), indent=2) + "\n", encoding="utf-8")
    result = trainer.run()
    path = write_model(folder, task, configuration, store, device, result)
    how = "all epochs done" if result.finished else f"stopped after {configuration.max_minutes:g} minutes"
    print(f"{how}: {result.steps} steps in {result.seconds / 60:.1f} min; the best after epoch {result.epoch}:")
    print("  " + ", ".join(f"{name} {value:.4f}" for name, value in result.figures.items()))
    print(f"wrote {path} and {path.with_suffix('.yaml').name}")
    return 0


def _known_values(folder: Path) -> dict[str, Any]:
    path = folder / CONFIGURATION_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"--resume: there is no training in {folder} ({CONFIGURATION_FILE} is missing)") from None
    except ValueError as error:
        raise TrainingError(f"{path}: expected the values of a training as JSON: {error}") from error
    if not isinstance(values, dict):
        raise TrainingError(f"{path}: expected names and values, got {type(values).__name__}")
    return values
