"""The surroundings of a ROS 2 process: where shared files lie, the DDS profile for images, dead shared memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

# Fast DDS 2 (Humble, Jazzy) reads the first name, Fast DDS 3 (Kilted and newer) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

# Lets rmw_fastrtps take from a profile what ROS has no name for: how histories keep messages, and how they are paced.
QOS_VARIABLE = "RMW_FASTRTPS_USE_QOS_FROM_XML"

# Looking at a few dozen segments takes well below a second.
CLEAN_TIMEOUT_S = 20.0


def share_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds launch/ and config/.

    In a clone that is the root of the repository, otherwise share/lira_ros of the prefix that lira_ros is installed
    in; prefixes are looked up in AMENT_PREFIX_PATH and in this Python's own. Raises FileNotFoundError when there is
    no such folder.
    """
    clone = Path(__file__).resolve().parents[2]
    prefixes = [entry for entry in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    shares = [Path(prefix) / "share" / "lira_ros" for prefix in [*prefixes, sys.prefix]]
    for folder in [clone, *shares]:
        if (folder / "config" / "fastdds.xml").is_file() and (folder / "package.xml").is_file():
            return folder
    raise FileNotFoundError(
        f"the shared files of lira_ros (config/fastdds.xml) are neither in {clone} nor in {', '.join(map(str, shares))}"
    )


def configure_dds(environment: MutableMapping[str, str] = os.environ) -> None:
    """Complete the environment variables that ROS 2 needs; call it before rclpy.init and before starting nodes.

    A DDS profile that the user has set stays. Without one the shipped profile is used: with its defaults Fast DDS
    loses half of the images. A shipped profile counts whole, of others ROS takes what it always takes.
    AMENT_PREFIX_PATH is set where ROS 2 lives in this Python's own prefix (wheels), since nothing was sourced there.
    """
    if not environment.get("AMENT_PREFIX_PATH") and (Path(sys.prefix) / "share" / "ament_index").is_dir():
        environment["AMENT_PREFIX_PATH"] = sys.prefix
    given = next((environment[name] for name in PROFILE_VARIABLES if environment.get(name)), "")
    if not given:
        given = str(share_directory(environment) / "config" / "fastdds.xml")
        for name in PROFILE_VARIABLES:
            environment[name] = given
    with contextlib.suppress(FileNotFoundError):  # then it is none of ours
        if Path(given).resolve().parent == (share_directory(environment) / "config").resolve():
            environment.setdefault(QOS_VARIABLE, "1")


def middleware() -> str:
    """Return the name of the RMW implementation that ROS loads here, for example rmw_fastrtps_cpp."""
    from rclpy.utilities import get_rmw_implementation_identifier

    return str(get_rmw_implementation_identifier())


def clean_shared_memory() -> bool:
    """Remove the shared memory that killed processes left behind; tells whether the cleaner ran.

    A process that ends by SIGKILL leaves its 16 MB in /dev/shm for ever. Fast DDS ships a tool that removes the
    segments that no living process holds; where it is not installed nothing happens.
    """
    folders = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    # The tool is a shell script that calls "python3": it has to be ours.
    environment = {**os.environ, "PATH": os.pathsep.join(folders)}
    try:
        done = subprocess.run(
            ["fastdds", "shm", "clean"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=CLEAN_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
