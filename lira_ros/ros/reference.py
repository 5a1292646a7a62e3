"""Write the tables of topics, services and parameters into the README, from the nodes themselves.

``python -m lira_ros.ros.reference README.md`` renews the tables between the marker comments; a test checks that
they are current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from lira_ros.configuration import Parameter, parameters_of
from lira_ros.nodes.fusion_node import FusionNode
from lira_ros.nodes.mapping_node import MappingNode
from lira_ros.nodes.reasoning_node import ReasoningNode
from lira_ros.nodes.replay_node import ReplayNode
from lira_ros.ros import qos
from lira_ros.ros.inputs import type_name
from lira_ros.ros.node import LiraNode

NODES: tuple[type[LiraNode], ...] = (MappingNode, ReasoningNode, FusionNode)
# The replay node publishes what a recording holds, which is not known without one.
NODES_WITH_PARAMETERS: tuple[type[LiraNode], ...] = (*NODES, ReplayNode)
NAMESPACE = "/lira"

# What rclpy adds to every node; nothing of ours.
STANDARD_NAMES = ("parameter_events", "rosout", "transition_event", "tf", "tf_static", "clock", "diagnostics")
STANDARD_SERVICES = (
    "change_state",
    "describe_parameters",
    "get_available_states",
    "get_available_transitions",
    "get_parameter_types",
    "get_parameters",
    "get_state",
    "get_transition_graph",
    "get_type_description",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([_row(header), _row("---" for _ in header), *(_row(row) for row in rows)])


def _relative(name: str, node: LiraNode) -> str:
    own = node.get_fully_qualified_name() + "/"
    if name.startswith(own):
        return "~/" + name[len(own) :]
    return name.removeprefix(NAMESPACE + "/")


def _service_type(service: object) -> str:
    kind = service.srv_type  # type: ignore[attr-defined]
    return f"{kind.__module__.split('.')[0]}/srv/{kind.__name__}"


def interface_tables() -> tuple[str, str]:
    """Return the tables of topics and of services of the three nodes, read off live nodes."""
    context = Context()
    rclpy.init(context=context)
    topics: list[tuple[str, ...]] = []
    services: list[tuple[str, ...]] = []
    try:
        for node_class in NODES:
            node = node_class(
                context=context,
                namespace=NAMESPACE,
                use_global_arguments=False,
                parameter_overrides=[RosParameter("autostart", value=False)],
            )
            try:
                for transition in (node.trigger_configure, node.trigger_activate):
                    if transition() != TransitionCallbackReturn.SUCCESS:
                        raise RuntimeError(f"{node_class.node_name} could not be brought up to read its interfaces")
                topics += _topics(node)
                services += _services(node)
            finally:
                node.shut_down()
                node.destroy_node()
    finally:
        context.try_shutdown()
    return (
        _table(("node", "", "topic", "type", "QoS"), topics),
        _table(("node", "service", "type"), services),
    )


def _topics(node: LiraNode) -> list[tuple[str, ...]]:
    rows = []
    for entry in node.inputs:
        kind = "in" if entry.required else "in (optional)"
        rows.append(
            (node.node_name, kind, f"`{_relative(entry.topic, node)}`", entry.type_name, qos.describe(entry.profile))
        )
    for publisher in node.publishers:
        name = _relative(publisher.topic_name, node)
        if name.split("/")[-1] not in STANDARD_NAMES:
            kind = type_name(publisher.msg_type)
            rows.append((node.node_name, "out", f"`{name}`", kind, qos.describe(publisher.qos_profile)))
    return rows


def _services(node: LiraNode) -> list[tuple[str, ...]]:
    rows = []
    for service in node.services:
        name = _relative(service.srv_name, node)
        if name.removeprefix("~/") not in STANDARD_SERVICES:
            rows.append((node.node_name, f"`{name}`", _service_type(service)))
    return rows


def _limits(parameter: Parameter) -> str:
    info = parameter.info
    if info.choices:
        return ", ".join(info.choices)
    low, high = info.minimum, info.maximum
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'} .. {'' if high is None else f'{high:g}'}"


def parameter_tables() -> str:
    """Return a table of parameters for each node."""
    parts = []
    for node_class in NODES_WITH_PARAMETERS:
        rows = [
            (
                f"`{item.name}`",
                f"`{str(item.default).lower() if isinstance(item.default, bool) else item.default}`",
                _limits(item),
                item.info.description + ("" if item.info.read_only else " (can be changed while running)"),
            )
            for item in parameters_of(node_class.configuration_class)
        ]
        table = _table(("parameter", "default", "range", "meaning"), rows)
        parts.append(f"<details><summary>{node_class.node_name}</summary>\n\n{table}\n\n</details>")
    return "\n".join(parts)


def renew(text: str) -> str:
    """Return a README text with all generated tables renewed; raises ValueError when a marker is missing."""
    topics, services = interface_tables()
    for name, content in (("topics", topics), ("services", services), ("parameters", parameter_tables())):
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        head, separator, rest = text.partition(begin)
        _, closing, tail = rest.partition(end)
        if not separator or not closing:
            raise ValueError(f"README: the markers {begin} and {end} are missing")
        text = f"{head}{begin}\n{content}\n{end}{tail}"
    return text


def main() -> int:
    """Renew the tables of the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(renew(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
