"""Options that several subcommands share: configuration values, the recording and the reasoner."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from lira_ros.configuration import ConfigurationError, build, parameters_of
from lira_ros.evaluation.run_configuration import RunConfiguration
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.reasoning.backends import BACKENDS


def add_configuration_options(parser: argparse.ArgumentParser) -> None:
    """Add --params and --set, which reach every value of the configuration by its dotted name, and short forms."""
    add_value_options(parser)
    methods = next(item.info.choices for item in parameters_of(FusionConfiguration) if item.name == "method") or ()
    parser.add_argument(
        "--fusion", metavar="NAME", help=f"how instances are made: {', '.join(methods)} (short for --set fusion.method)"
    )
    parser.add_argument("--up", metavar="AXIS", help="direction against gravity: auto, +z, -y ... (--set mapping.up)")


def add_value_options(parser: argparse.ArgumentParser) -> None:
    """Add --params, --set and --reasoner, for commands that do not map."""
    parser.add_argument("--params", type=Path, metavar="FILE", help="YAML file of configuration values by dotted name")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one configuration value, for example mapping.voxel_size_m=0.04; lira run --list-params shows all",
    )
    parser.add_argument(
        "--reasoner", metavar="NAME", help=f"back end: {', '.join(BACKENDS)} (short for --set reasoner.backend)"
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
    for name, value in (
        ("reasoner.backend", options.reasoner),
        ("fusion.method", getattr(options, "fusion", None)),
        ("mapping.up", getattr(options, "up", None)),
    ):
        if value is not None:
            values[name] = value
    return values


def read_configuration(options: argparse.Namespace) -> RunConfiguration:
    """Return the configuration that the options ask for; raises ConfigurationError that names what is wrong."""
    configuration: RunConfiguration = build(RunConfiguration, read_values(options))
    return configuration


def list_parameters() -> str:
    """Return every configuration value with its default, range and meaning, one a line."""
    lines = []
    for item in parameters_of(RunConfiguration):
        info = item.info
        limits = ", ".join(info.choices) if info.choices else ""
        if info.minimum is not None or info.maximum is not None:
            limits = f"{info.minimum} .. {info.maximum}"
        lines.append(
            f"{item.name} = {item.default!r}" + (f"  [{limits}]" if limits else "") + f"\n    {info.description}"
        )
    return "\n".join(lines)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            values.update(_flat(value, f"{prefix}{name}."))
        else:
            values[f"{prefix}{name}"] = value
    return values
