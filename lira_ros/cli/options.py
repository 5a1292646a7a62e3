"""Options that several subcommands share: configuration values, the recording and the reasoner."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lira_ros.configuration import ConfigurationError, section
from lira_ros.pipeline.pipeline import PipelineConfiguration
from lira_ros.reasoning.backends import ReasonerConfiguration


@dataclass(frozen=True)
class RunConfiguration:
    """What can be set of a run without ROS: the pipeline and the reasoner."""

    pipeline: PipelineConfiguration = section(PipelineConfiguration)
    reasoner: ReasonerConfiguration = section(ReasonerConfiguration)


def add_configuration_options(parser: argparse.ArgumentParser) -> None:
    """Add --params and --set, which reach every value of the configuration by its dotted name."""
    parser.add_argument("--params", type=Path, metavar="FILE", help="YAML file of configuration values by dotted name")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one configuration value, for example mapping.voxel_size_m=0.04; lira run --list-params shows all",
    )


def read_values(options: argparse.Namespace) -> dict[str, Any]:
    """Merge --params and --set to values by dotted name; raises ConfigurationError that names what is wrong."""
    values: dict[str, Any] = {}
    if options.params is not None:
        try:
            loaded = yaml.safe_load(options.params.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(f"--params {options.params}: cannot be read ({error})") from error
        if not isinstance(loaded, dict):
            raise ConfigurationError(
                f"--params {options.params}: expected names and values, got {type(loaded).__name__}"
            )
        values.update(_flat(loaded))
    for item in options.set:
        name, separator, text = item.partition("=")
        if not separator:
            raise ConfigurationError(f"--set {item}: expected NAME=VALUE")
        values[name.strip()] = yaml.safe_load(text)
    return values


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            values.update(_flat(value, f"{prefix}{name}."))
        else:
            values[f"{prefix}{name}"] = value
    return values
