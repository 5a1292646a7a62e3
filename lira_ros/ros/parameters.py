"""ROS parameters from configuration dataclasses: declared, described, checked and refused by name.

A node must be created with ``automatically_declare_parameters_from_overrides=True``: this is the public way to
learn every name that a YAML file or the command line sets, and so to refuse the names that nobody knows.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from lira_ros import configuration as configurations
from lira_ros.configuration import ConfigurationError

ConfigurationT = TypeVar("ConfigurationT")

# Names that rclpy itself gives a meaning to, in any node.
STANDARD_PARAMETERS = ("use_sim_time", "start_type_description_service")
STANDARD_PREFIXES = ("qos_overrides.",)

_LARGEST_INTEGER = 2**63 - 1  # ROS integers are int64

_ROS_TYPES = {
    bool: RosParameter.Type.BOOL,
    int: RosParameter.Type.INTEGER,
    float: RosParameter.Type.DOUBLE,
    str: RosParameter.Type.STRING,
}
_ROS_ARRAY_TYPES = {
    bool: RosParameter.Type.BOOL_ARRAY,
    int: RosParameter.Type.INTEGER_ARRAY,
    float: RosParameter.Type.DOUBLE_ARRAY,
    str: RosParameter.Type.STRING_ARRAY,
}


def ros_type(parameter: configurations.Parameter) -> RosParameter.Type:
    """Return the ROS type of a configuration value; tuples are arrays."""
    if typing.get_origin(parameter.type) is tuple:
        return _ROS_ARRAY_TYPES[typing.get_args(parameter.type)[0]]
    return _ROS_TYPES[parameter.type]


def descriptor(parameter: configurations.Parameter) -> ParameterDescriptor:
    """Return the ROS descriptor of a configuration value: type, description, range, choices, read-only."""
    info = parameter.info
    result = ParameterDescriptor(
        name=parameter.name,
        type=ros_type(parameter).value,
        description=info.description,
        read_only=info.read_only,
    )
    if typing.get_origin(parameter.type) is tuple:
        # rclpy guesses the type of an empty list wrongly (bytes); the callback of this module checks the elements.
        result.dynamic_typing = True
    elif parameter.type is float and (info.minimum is not None or info.maximum is not None):
        low = -sys.float_info.max if info.minimum is None else float(info.minimum)
        high = sys.float_info.max if info.maximum is None else float(info.maximum)
        result.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
    elif parameter.type is int and (info.minimum is not None or info.maximum is not None):
        low_integer = -_LARGEST_INTEGER if info.minimum is None else int(info.minimum)
        high_integer = _LARGEST_INTEGER if info.maximum is None else int(info.maximum)
        result.integer_range = [IntegerRange(from_value=low_integer, to_value=high_integer, step=1)]
    if info.choices is not None:
        result.additional_constraints = "one of: " + ", ".join(info.choices)
    return result


def _plain(value: Any) -> Any:
    """Return a value as rclpy stores it in the form in which configurations hold it."""
    if isinstance(value, bool | int | float | str):
        return value
    return tuple(value)


def declare(
    node: Node, configuration_class: type[ConfigurationT], neighbor_classes: Collection[type] = ()
) -> ConfigurationT:
    """Declare every value of a configuration as a parameter of ``node`` and return the configuration.

    Values come from the overrides of the node (YAML, command line, constructor), else from the defaults.
    ``neighbor_classes``: configurations of other nodes in the same process. What the command line sets without naming
    a node reaches all of them, so names that only a neighbour knows are passed over. Raises ConfigurationError that
    names the parameter for an unknown name, a wrong type or a value out of range.
    """
    known = {item.name: item for item in configurations.parameters_of(configuration_class)}
    of_neighbors = {item.name for other in neighbor_classes for item in configurations.parameters_of(other)}
    overrides: dict[str, Any] = {}
    for name, given in node.get_parameters_by_prefix("").items():
        if name in STANDARD_PARAMETERS or name.startswith(STANDARD_PREFIXES):
            continue
        if name in of_neighbors and name not in known:
            node.undeclare_parameter(name)
            continue
        if given is None or given.value is None:
            raise ConfigurationError(f"{name}: has no value")
        overrides[name] = _plain(given.value)
    checked = configurations.build(configuration_class, overrides)
    values = configurations.flatten(checked)
    for name, item in known.items():
        if name in overrides:
            node.undeclare_parameter(name)
        value = values[name]
        node.declare_parameter(
            name, list(value) if isinstance(value, tuple) else value, descriptor(item), ignore_override=True
        )
    return checked


def watch(node: Node, current: Callable[[], Any], accept: Callable[[Any], None]) -> None:
    """Validate every later change of the parameters of ``node`` and hand over the changed configuration.

    ``current`` returns the configuration in force; ``accept`` gets the new one when all changes of a request are
    valid. A request with one bad value changes nothing, and its reason names the parameter.
    """

    def on_set(changes: list[RosParameter]) -> SetParametersResult:
        configuration = current()
        names = set(configurations.flatten(configuration))
        changed = {change.name: _plain(change.value) for change in changes if change.name in names}
        if not changed:
            return SetParametersResult(successful=True)
        try:
            accept(configurations.build(type(configuration), {**configurations.flatten(configuration), **changed}))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)
