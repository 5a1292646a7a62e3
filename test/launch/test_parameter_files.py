"""Every shipped parameter file says only what the nodes know, with values that they accept."""

import importlib
import re

import pytest
import yaml
from launch_recorder import REPOSITORY

pytest.importorskip("lira_msgs", reason="needs ROS 2 and lira_msgs (make setup)")

from lira_ros import configuration, presets
from lira_ros.ros.node import LiraNode

CONFIG = REPOSITORY / "config"
# diagnostics.yaml holds parameters of diagnostic_aggregator, which test_launch_files looks at.
FILES = sorted(path.name for path in CONFIG.glob("*.yaml") if path.name != "diagnostics.yaml")
# The arguments of lira.launch.py fill these in; the defaults stand for them here.
SUBSTITUTIONS = {"fixed_frame": "map", "reasoner": "compact", "annotated_recording": ""}


def configuration_classes() -> dict[str, type]:
    """Find the configuration class of every node of the package by the name of the node."""
    classes = {}
    for path in (REPOSITORY / "lira_ros" / "nodes").glob("*_node.py"):
        module = importlib.import_module(f"lira_ros.nodes.{path.stem}")
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, LiraNode) and item.__module__ == module.__name__:
                classes[item.node_name] = item.configuration_class
    return classes


def parameters(name: str) -> dict[str, dict]:
    """Return the parameters that a file gives to each node, by dotted name."""
    text = re.sub(r"\$\(var (\w+)\)", lambda match: SUBSTITUTIONS[match[1]], (CONFIG / name).read_text("utf-8"))
    sections = yaml.safe_load(text)
    assert isinstance(sections, dict), f"{name} holds no parameters"
    result = {}
    for key, content in sections.items():
        node = re.fullmatch(r"/\*\*/(\w+)", key)
        assert node, f"{name}: {key} must be /**/<node>, so that it holds in any namespace and for one node only"
        assert list(content) == ["ros__parameters"], f"{name}: {key}"
        # What lira_inputs holds is no parameter of any node: test_presets looks at it.
        if key != presets.SECTION:
            result[node[1]] = presets.flattened(content["ros__parameters"])
    return result


@pytest.mark.parametrize("name", FILES)
def test_names_types_and_ranges_are_those_of_the_nodes(name):
    classes = configuration_classes()
    for node, values in parameters(name).items():
        assert node in classes, f"{name}: there is no node {node}"
        assert values, f"{name}: {node} gets nothing"
        configuration.build(classes[node], values)


def test_the_base_file_states_the_defaults():
    classes = configuration_classes()
    for node, values in parameters("lira.yaml").items():
        defaults = {item.name: item.default for item in configuration.parameters_of(classes[node])}
        for name, value in values.items():
            default = list(defaults[name]) if isinstance(defaults[name], tuple) else defaults[name]
            assert value == default, f"lira.yaml: {node} {name}"


def test_the_wildcard_reaches_the_node_in_any_namespace():
    rclpy = pytest.importorskip("rclpy")
    context = rclpy.Context()
    rclpy.init(context=context, args=["--ros-args", "--params-file", str(CONFIG / "lira.yaml")])
    try:
        for namespace in ("/", "/lira", "/robot1/lira"):
            node = rclpy.create_node(
                "mapping_node",
                namespace=namespace,
                context=context,
                automatically_declare_parameters_from_overrides=True,
            )
            assert node.get_parameter("mapping.voxel_size_m").value == 0.02
            node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("camera_", "pose_"))])
def test_ros_reads_a_preset_as_a_parameter_file(name):
    rclpy = pytest.importorskip("rclpy")
    context = rclpy.Context()
    rclpy.init(context=context, args=["--ros-args", "--params-file", str(CONFIG / name)])
    try:
        node = rclpy.create_node(
            "mapping_node", namespace="lira", context=context, automatically_declare_parameters_from_overrides=True
        )
        values = {key: item.value for key, item in node.get_parameters_by_prefix("").items()}
        for key, value in parameters(name)["mapping_node"].items():
            assert values[key] == value
        assert not any("topics" in key or "driver" in key for key in values)
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
