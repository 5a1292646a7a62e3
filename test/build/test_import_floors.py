"""The house has floors: a floor imports only floors below it, and ROS stays in ros/, nodes/ and launch/."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "lira_ros"

FLOORS = {
    "configuration": 0,
    "lettering": 0,
    "library_threads": 0,
    "presets": 0,
    "unused_memory": 0,
    "geometry": 0,
    "state": 0,
    "mapping": 1,
    "reasoning": 1,
    "datasets": 1,
    "fusion": 2,
    "planning": 3,
    "training": 3,
    "pipeline": 3,
    "web": 3,
    "evaluation": 4,
    "doctor": 4,
    "viewer": 4,
}

# The rooms at the border, and the rooms of the same kind that each may use besides all floors.
BORDER = {"ros": set(), "nodes": {"ros"}, "cli": {"ros"}, "client": {"ros"}}
ROOMS_WITH_ROS = {"ros", "nodes"}

ROS_MODULES = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "launch",
    "launch_ros",
    "message_filters",
    "rcl_interfaces",
    "rclpy",
    "rosidl_runtime_py",
    "rpyutils",
    "sensor_msgs_py",
    "std_srvs",
    "tf2_ros",
    "unique_identifier_msgs",
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def is_ros(name: str) -> bool:
    root = name.split(".")[0]
    return root in ROS_MODULES or root.endswith(("_msgs", "_interfaces"))


def imported_names(path: Path, source: str) -> set[str]:
    """Return the dotted names of everything that a module imports, also inside of functions."""
    package = list(path.relative_to(REPOSITORY).parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # "from lira_ros import fusion" names a room only together with what is imported.
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def violations(path: Path, source: str) -> list[str]:
    room = room_of(path)
    if room == "__init__":
        allowed = set()
    elif room in BORDER:
        allowed = {room, *FLOORS, *BORDER[room]}
    else:
        allowed = {room, "configuration"} | {other for other, floor in FLOORS.items() if floor < FLOORS[room]}
    found = []
    for name in sorted(imported_names(path, source)):
        parts = name.split(".")
        if parts[0] == "lira_ros" and len(parts) > 1 and not parts[1].startswith("__") and parts[1] not in allowed:
            found.append(f"{path.relative_to(REPOSITORY)} imports {name}: {room} may import only {sorted(allowed)}")
        elif parts[0] in {"test", "benchmark", "bootstrap"}:
            found.append(f"{path.relative_to(REPOSITORY)} imports {name}, which is not part of the package")
        elif is_ros(name) and room not in ROOMS_WITH_ROS:
            found.append(f"{path.relative_to(REPOSITORY)} imports {name}: only ros and nodes may import ROS")
    return found


def test_every_room_has_a_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert rooms <= {*FLOORS, *BORDER}, "a new room needs a place in the house"


@pytest.mark.parametrize("room", sorted({*FLOORS, *BORDER}))
def test_a_room_imports_only_what_is_below_it(room):
    found = [
        line for path in MODULES if room_of(path) == room for line in violations(path, path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_nodes_know_nothing_of_each_other_except_the_suite():
    knowing = {"suite", "reference"}  # one runs the nodes in one process, the other reads their tables off them
    found = []
    for path in sorted((PACKAGE / "nodes").glob("*.py")):
        names = imported_names(path, path.read_text(encoding="utf-8"))
        others = {name for name in names if name.startswith("lira_ros.nodes.")}
        if others and path.stem not in {*knowing, "__init__"}:
            found.append(f"{path.name} imports {sorted(others)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("geometry/camera.py", "from lira_ros.mapping import fragment"),
        ("mapping/fragment.py", "from lira_ros import reasoning"),
        ("mapping/fragment.py", "from ..fusion import contracts"),
        ("fusion/contracts.py", "def late():\n    import lira_ros.pipeline.pipeline"),
        ("fusion/contracts.py", "from geometry_msgs.msg import Pose"),
        ("evaluation/runner.py", "import rclpy.node"),
        ("evaluation/runner.py", "from lira_ros.ros.dds import configure_dds"),
        ("cli/main.py", "from rclpy.node import Node"),
        ("ros/qos.py", "from lira_ros.nodes import suite"),
        ("pipeline/pipeline.py", "import test.conftest"),
    ],
)
def test_forbidden_imports_are_noticed(place, source):
    assert len(violations(PACKAGE / place, source)) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("fusion/contracts.py", "from lira_ros.mapping.fragment import Fragment\nimport numpy"),
        ("ros/qos.py", "import rclpy\nfrom lira_ros.geometry import camera"),
        ("nodes/suite.py", "from lira_ros.nodes import mapping_node\nfrom lira_msgs.msg import Keyframe"),
        ("datasets/sequence.py", "from rosbags.highlevel import AnyReader"),
        ("cli/main.py", "from lira_ros.ros.dds import configure_dds"),
    ],
)
def test_allowed_imports_pass(place, source):
    assert violations(PACKAGE / place, source) == []
