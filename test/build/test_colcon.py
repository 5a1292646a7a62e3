"""The route of a ROS 2 workspace: colcon builds lira_msgs and lira_ros in one go, and what it builds runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COLCON = shutil.which("colcon", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
BUILD_TIMEOUT_S = 560

pytestmark = pytest.mark.skipif(COLCON is None, reason="colcon is not installed here; make setup installs it")


def workspace_environment(home: Path) -> dict[str, str]:
    """Return the variables of a terminal in which ROS 2 was sourced; the wheels stand for the installation."""
    environment = {**os.environ, "HOME": str(home), "COLCON_HOME": str(home), "ROS_LOG_DIR": str(home / "log")}
    environment.pop("PYTHONPATH", None)
    environment.pop("COLCON_DEFAULTS_FILE", None)
    # Without this colcon lets make wait for a calm machine.
    environment["MAKEFLAGS"] = f"-j{len(os.sched_getaffinity(0))}"
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    if "ROS_DISTRO" not in os.environ:
        prefix = sys.prefix
        environment |= {
            "AMENT_PREFIX_PATH": prefix,
            "CMAKE_PREFIX_PATH": prefix,
            # What colcon builds carries no run paths, it counts on this variable as on any ROS 2 installation.
            "LD_LIBRARY_PATH": f"{prefix}/lib",
            "VIRTUAL_ENV": prefix,
        }
    return environment


def run(command, folder, environment, timeout_s=BUILD_TIMEOUT_S) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def list_packages(folder: Path, environment: dict[str, str], *arguments: str) -> set[str]:
    command = [COLCON, "--log-base", f"{environment['HOME']}/log", "list", "--names-only", *arguments]
    return set(run(command, folder, environment, 60).split())


def test_both_packages_are_found_inside_the_clone(tmp_path):
    assert list_packages(REPOSITORY, workspace_environment(tmp_path)) == {"lira_ros", "lira_msgs"}


def test_both_packages_are_found_in_a_workspace_with_base_paths(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lira_ros").symlink_to(REPOSITORY)
    base_paths = ["--base-paths", "src/lira_ros", "src/lira_ros/lira_msgs"]
    assert list_packages(tmp_path, workspace_environment(tmp_path), *base_paths) == {"lira_ros", "lira_msgs"}


@pytest.mark.slow_build
@pytest.mark.timeout(BUILD_TIMEOUT_S + 60)
def test_colcon_builds_both_packages_and_they_run(tmp_path):
    environment = workspace_environment(tmp_path)
    install = tmp_path / "install"
    run(
        [
            *[COLCON, "--log-base", str(tmp_path / "log"), "build"],
            *["--build-base", str(tmp_path / "build"), "--install-base", str(install)],
            *["--event-handlers", "console_direct+"],
            *["--cmake-args", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"],
        ],
        REPOSITORY,
        environment,
    )
    executables = {path.name for path in (install / "lira_ros" / "lib" / "lira_ros").iterdir()}
    assert executables >= {"lira", "mapping_node", "reasoning_node", "fusion_node", "replay_node", "suite"}
    share = install / "lira_ros" / "share" / "lira_ros"
    assert (share / "launch" / "lira.launch.py").is_file()
    assert (share / "config" / "fastdds.xml").is_file()

    code = (
        "import lira_ros, lira_msgs, lira_ros.nodes.mapping_node; from lira_ros.ros.dds import share_directory\n"
        "from lira_msgs.msg import Keyframe; from rclpy.serialization import serialize_message\n"
        "from ament_index_python import get_package_share_directory\n"
        "serialize_message(Keyframe(id=7))\n"
        "print(lira_ros.__file__, lira_msgs.__file__, share_directory(), get_package_share_directory('lira_ros'))"
    )
    # A folder outside of the clone, so that only the workspace can provide the packages.
    sourced = ["sh", "-c", f". '{install}/setup.sh' && exec \"$@\"", "sh"]
    answer = run([*sourced, sys.executable, "-c", code], tmp_path, environment, 60).split()
    assert len(answer) == 4
    assert all(part.startswith(str(install)) for part in answer), answer
    assert Path(answer[2]) == share

    version = run(
        [*sourced, str(install / "lira_ros" / "lib" / "lira_ros" / "lira"), "--version"], tmp_path, environment, 60
    )
    assert version.split()[0] == "lira_ros"
