"""Typed configuration: dataclass fields that know their description, unit and range.

ROS parameters, command line options and the tables of the documentation are generated from these
dataclasses, so that a value has one name, one default and one range everywhere.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any


class ConfigurationError(ValueError):
    """A configuration value is unknown, of the wrong type or out of range; names the value."""


@dataclass(frozen=True)
class ParameterInfo:
    """What is known of one configuration value besides its type and default."""

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    read_only: bool = True


@dataclass(frozen=True)
class Parameter:
    """One leaf of a configuration: dotted name, type, default and info."""

    name: str
    type: type
    default: Any
    info: ParameterInfo


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    read_only: bool = True,
) -> Any:
    """Declare a field of a configuration dataclass.

    Types: bool, int, float, str, or tuple[str, ...] / tuple[float, ...] for lists.
    ``read_only`` False lets the value be changed while a node is active.
    """
    info = ParameterInfo(description, minimum, maximum, choices, read_only)
    return field(default=default, metadata={"parameter": info})


def section(configuration_class: type) -> Any:
    """Declare a nested configuration; its values are named ``<field>.<value>``."""
    return field(default_factory=configuration_class)


def parameters_of(configuration_class: type, prefix: str = "") -> Iterator[Parameter]:
    """Yield every leaf value of a configuration dataclass, nested sections included, in order."""
    hints = typing.get_type_hints(configuration_class)
    for item in fields(configuration_class):
        name = prefix + item.name
        hint = hints[item.name]
        if is_dataclass(hint):
            yield from parameters_of(typing.cast(type, hint), name + ".")
            continue
        info = item.metadata.get("parameter")
        if info is None or item.default is MISSING:
            raise TypeError(f"{configuration_class.__name__}.{item.name} is not declared with parameter()")
        yield Parameter(name, hint, item.default, info)


def _checked(parameter_: Parameter, value: Any) -> Any:
    kind, info, name = parameter_.type, parameter_.info, parameter_.name
    origin = typing.get_origin(kind)
    if origin is tuple:
        element = typing.get_args(kind)[0]
        if isinstance(value, str) or not hasattr(value, "__iter__"):
            raise ConfigurationError(f"{name}: expected a list of {element.__name__}, got {value!r}")
        return tuple(_checked(dataclasses.replace(parameter_, type=element), item) for item in value)
    if kind is bool:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name}: expected true or false, got {value!r}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigurationError(f"{name}: expected {kind.__name__}, got {value!r} ({type(value).__name__})")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ConfigurationError(f"{name}: expected a finite number, got {value}")
        if info.minimum is not None and value < info.minimum:
            raise ConfigurationError(f"{name}: {value} is below the minimum {info.minimum}")
        if info.maximum is not None and value > info.maximum:
            raise ConfigurationError(f"{name}: {value} is above the maximum {info.maximum}")
    if kind is str and info.choices is not None and value not in info.choices:
        raise ConfigurationError(f"{name}: {value!r} is not one of {', '.join(info.choices)}")
    return value


def build(configuration_class: type, values: dict[str, Any]) -> Any:
    """Build a configuration from dotted names; missing names take their defaults.

    Raises ConfigurationError naming an unknown name, a wrong type or a value out of range.
    """
    known = {item.name: item for item in parameters_of(configuration_class)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigurationError(f"unknown parameter {', '.join(unknown)}; known: {', '.join(known)}")
    checked = {name: _checked(known[name], value) for name, value in values.items()}
    return _assemble(configuration_class, checked, "")


def _assemble(configuration_class: type, values: dict[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(configuration_class)
    arguments: dict[str, Any] = {}
    for item in fields(configuration_class):
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            arguments[item.name] = _assemble(hints[item.name], values, name + ".")
        elif name in values:
            arguments[item.name] = values[name]
    return configuration_class(**arguments)


def flatten(configuration: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of a configuration by dotted name, the inverse of build()."""
    values: dict[str, Any] = {}
    for item in fields(configuration):
        value = getattr(configuration, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            values.update(flatten(value, prefix + item.name + "."))
        else:
            values[prefix + item.name] = value
    return values
