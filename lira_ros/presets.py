"""Camera and pose presets: YAML files that say from which topics lira reads, and with which parameters.

A preset is a parameter file of ROS 2. The section of a node that does not exist, ``/**/lira_inputs``, holds what is
not a parameter::

    /**/lira_inputs:
      ros__parameters:
        driver: ros2 launch my_driver my.launch.py      # how the driver is started so that the topics are as wanted
        topics:
          color/image: /camera/color/image_raw          # input of lira: topic of the driver
    /**/mapping_node:
      ros__parameters:
        camera:
          sync_slop_s: 0.02

Read by the launch file, which remaps the inputs, and by ``lira doctor``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# What the nodes subscribe to from outside of lira; with several cameras behind the namespace of each.
INPUTS = (
    "color/image",
    "color/camera_info",
    "depth/image",
    "depth/camera_info",
    "camera_pose",
    "odometry",
    "pose_graph",
    "imu",
)
# As image_transport does it: the base name is remapped, and the transport is appended to what it became.
IMAGE_TRANSPORTS = {"color/image": "compressed", "depth/image": "compressedDepth"}

KINDS = ("camera", "pose")
SECTION = "/**/lira_inputs"
_FIELDS = ("driver", "topics")
# Names of ROS 2 topics, absolute or relative (design.ros2.org, "Topic and Service name mapping to DDS").
_TOPIC = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
_NODE = re.compile(r"/\*\*/[A-Za-z_]\w*", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


class PresetError(ValueError):
    """A preset does not exist or cannot be used; names the file, what was expected and what came."""


@dataclass(frozen=True)
class Preset:
    """One preset.

    topics: inputs of lira -> topics. driver: the command that starts the driver, "" when there is none. parameters:
    name of the node -> its parameters by dotted name.
    """

    name: str
    path: Path
    driver: str
    topics: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, Any]]

    def remappings(self) -> dict[str, str]:
        """Return the remappings of the inputs, those of compressed images included."""
        result = dict(self.topics)
        for name, topic in self.topics.items():
            transport = IMAGE_TRANSPORTS.get(base_name(name))
            if transport is not None:
                result[f"{name}/{transport}"] = f"{topic}/{transport}"
        return result


def base_name(name: str) -> str:
    """Return an input without the namespace of its camera: "color/image" for "front/color/image"."""
    return next((known for known in INPUTS if name == known or name.endswith("/" + known)), "")


def names(kind: str, folder: Path) -> list[str]:
    """Return the names of the presets of a kind ("camera" or "pose") in a folder."""
    return sorted(path.stem.removeprefix(f"{kind}_") for path in folder.glob(f"{kind}_*.yaml"))


def find(kind: str, given: str, folder: Path) -> Path:
    """Return the file of a preset that was given by name or as the path of a YAML file; raises PresetError."""
    if given.endswith((".yaml", ".yml")) or "/" in given:
        path = Path(given).expanduser()
        if not path.is_file():
            raise PresetError(f"{kind}: there is no file {path}")
        return path
    path = folder / f"{kind}_{given}.yaml"
    if _NAME.fullmatch(given) is None or not path.is_file():
        known = ", ".join(names(kind, folder))
        raise PresetError(f"{kind}: expected one of {known}, or the path of a .yaml file like these, got {given!r}")
    return path


def read(kind: str, given: str, folder: Path) -> Preset:
    """Read a preset that was given by name or as the path of a YAML file; raises PresetError."""
    path = find(kind, given, folder)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PresetError(f"{path}: cannot be read: {error}") from None
    content = _mapping(content, path, "the file")
    inputs: Mapping[str, Any] = {}
    parameters: dict[str, dict[str, Any]] = {}
    for key, section in content.items():
        if not isinstance(key, str) or _NODE.fullmatch(key) is None:
            raise PresetError(f"{path}: expected /**/<node>: at the beginning of a line, got {key!r}")
        section = _mapping(section, path, key)
        if list(section) != ["ros__parameters"]:
            raise PresetError(
                f"{path}: {key}: expected ros__parameters: and nothing else, got {sorted(map(str, section))}"
            )
        values = _mapping(section["ros__parameters"], path, f"{key}: ros__parameters")
        if key == SECTION:
            inputs = values
        else:
            parameters[key.removeprefix("/**/")] = flattened(values)
    unknown = sorted(set(map(str, inputs)) - set(_FIELDS))
    if unknown:
        raise PresetError(f"{path}: {SECTION}: expected {' and '.join(_FIELDS)}, got {', '.join(unknown)}")
    driver = inputs.get("driver", "")
    if not isinstance(driver, str):
        raise PresetError(f"{path}: driver: expected a command, got {driver!r}")
    return Preset(path.stem.removeprefix(f"{kind}_"), path, driver, _topics(inputs.get("topics", {}), path), parameters)


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested parameters by dotted name."""
    result: dict[str, Any] = {}
    for name, value in tree.items():
        result.update(flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return result


def _mapping(value: Any, path: Path, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise PresetError(f"{path}: {what}: expected names with values, got {value!r}")
    return value


def _topics(value: Any, path: Path) -> dict[str, str]:
    topics = {}
    for name, topic in _mapping(value, path, "topics").items():
        if not isinstance(name, str) or not base_name(name) or _TOPIC.fullmatch(name) is None or name.startswith("/"):
            raise PresetError(
                f"{path}: topics: {name!r} is no input of lira; expected {', '.join(INPUTS)}, with several cameras "
                "behind the namespace of each (front/color/image)"
            )
        if not isinstance(topic, str) or _TOPIC.fullmatch(topic) is None:
            raise PresetError(f"{path}: topics: {name}: expected the name of a topic, got {topic!r}")
        topics[name] = topic
    return topics
