"""The surroundings of a ROS 2 process: shared files, DDS profile, dead shared memory."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from lira_ros.ros import dds

REPOSITORY = Path(__file__).resolve().parents[2]
NAMESPACE = {"dds": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}


def test_profile_is_set_where_none_is():
    environment = {}
    dds.configure_dds(environment)
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(REPOSITORY / "config" / "fastdds.xml")
    assert environment["FASTDDS_DEFAULT_PROFILES_FILE"] == environment["FASTRTPS_DEFAULT_PROFILES_FILE"]
    assert environment["RMW_FASTRTPS_USE_QOS_FROM_XML"] == "1"


@pytest.mark.parametrize("name", ["fastdds.xml", "fastdds_link.xml", "fastdds_discovery_server.xml"])
def test_a_shipped_profile_counts_whole_unless_the_user_says_no(name):
    profile = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(REPOSITORY / "config" / name)}
    environment = dict(profile)
    dds.configure_dds(environment)
    assert environment["RMW_FASTRTPS_USE_QOS_FROM_XML"] == "1"
    environment = {**profile, "RMW_FASTRTPS_USE_QOS_FROM_XML": "0"}
    dds.configure_dds(environment)
    assert environment["RMW_FASTRTPS_USE_QOS_FROM_XML"] == "0"


HISTORY = """
import os, random
from lira_ros.ros.dds import configure_dds; configure_dds()
import rclpy
from std_msgs.msg import String
from lira_ros.ros import qos

def resident_mib():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

rclpy.init(); random.seed(1)
publisher = rclpy.create_node("publisher").create_publisher(String, "history", qos.history(2000))
sizes = []
for turn in range(4):
    for _ in range(2000):
        publisher.publish(String(data="x" * int(min(40_000, random.expovariate(1 / 6000)))))
    sizes.append(resident_mib())
print(sizes[-1] - sizes[0])
rclpy.shutdown()
"""


def test_a_history_takes_what_its_messages_need_and_no_more_with_time(tmp_path):
    """With the memory policy that ROS sets it grows by 15 MiB: each place keeps the size of its largest message."""
    done = subprocess.run(
        [sys.executable, "-c", HISTORY],
        cwd=REPOSITORY,
        env={**os.environ, "ROS_LOG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert float(done.stdout.splitlines()[-1]) < 5


@pytest.mark.parametrize("name", dds.PROFILE_VARIABLES)
def test_profile_of_the_user_stays(name):
    environment = {name: "mine.xml"}
    dds.configure_dds(environment)
    assert {key: environment.get(key) for key in dds.PROFILE_VARIABLES if key in environment} == {name: "mine.xml"}


def test_prefix_is_set_only_where_nothing_was_sourced(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    environment = {}
    dds.configure_dds(environment)
    assert "AMENT_PREFIX_PATH" not in environment  # no ROS 2 in this prefix

    (tmp_path / "share" / "ament_index").mkdir(parents=True)
    dds.configure_dds(environment)
    assert environment["AMENT_PREFIX_PATH"] == str(tmp_path)

    sourced = {"AMENT_PREFIX_PATH": "/opt/ros/humble"}
    dds.configure_dds(sourced)
    assert sourced["AMENT_PREFIX_PATH"] == "/opt/ros/humble"


def installed_share(prefix: Path) -> Path:
    share = prefix / "share" / "lira_ros"
    (share / "config").mkdir(parents=True)
    (share / "config" / "fastdds.xml").touch()
    (share / "package.xml").touch()
    return share


def test_share_directory_of_an_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(dds, "__file__", str(tmp_path / "lib" / "lira_ros" / "ros" / "dds.py"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    with pytest.raises(FileNotFoundError, match=r"config/fastdds\.xml"):
        dds.share_directory({"AMENT_PREFIX_PATH": str(tmp_path / "other")})
    in_prefix = installed_share(tmp_path / "venv")
    assert dds.share_directory({}) == in_prefix
    in_workspace = installed_share(tmp_path / "install")
    assert dds.share_directory({"AMENT_PREFIX_PATH": f"{tmp_path / 'other'}:{tmp_path / 'install'}"}) == in_workspace


def test_profile_has_room_for_images():
    root = ElementTree.parse(REPOSITORY / "config" / "fastdds.xml").getroot()

    def number(path: str) -> int:
        return int(root.find(path, NAMESPACE).text)

    color_image_bytes = 1280 * 720 * 3
    assert number(".//dds:maxMessageSize") > color_image_bytes
    assert number(".//dds:segment_size") > 2 * color_image_bytes
    assert number(".//dds:receiveBufferSize") > color_image_bytes
    declared = {element.text for element in root.iterfind(".//dds:transport_descriptor/dds:transport_id", NAMESPACE)}
    used = {element.text for element in root.iterfind(".//dds:userTransports/dds:transport_id", NAMESPACE)}
    assert used == declared
    participant = root.find("dds:participant", NAMESPACE)
    assert participant.get("is_default_profile") == "true"


@pytest.mark.parametrize("profile", ["fastdds.xml", "fastdds_link.xml", "fastdds_discovery_server.xml"])
def test_fast_dds_accepts_the_profile(profile, tmp_path):
    code = (
        "from lira_ros.ros.dds import configure_dds; configure_dds()\n"
        "import rclpy; rclpy.init(); rclpy.create_node('profile'); rclpy.shutdown()"
    )
    dropped = (
        {*dds.PROFILE_VARIABLES, "AMENT_PREFIX_PATH"} if "ROS_DISTRO" not in os.environ else {*dds.PROFILE_VARIABLES}
    )
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    if profile != "fastdds.xml":  # that one is found without being named
        environment["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(REPOSITORY / "config" / profile)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**environment, "ROS_LOG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "XMLPARSER" not in done.stderr
    assert "rror" not in done.stderr


LEAVE_SEGMENT = """
import os
from lira_ros.ros.dds import configure_dds; configure_dds()
import rclpy; rclpy.init(); node = rclpy.create_node('killed')
mapped = [line.split('/dev/shm/')[1].split()[0] for line in open('/proc/self/maps') if '/dev/shm/' in line]
print(*sorted(set(mapped)), flush=True)
os.kill(os.getpid(), 9)
"""


def segments() -> set[str]:
    folder = Path("/dev/shm")
    return {path.name for path in folder.glob("fastrtps_*")} if folder.is_dir() else set()


def test_shared_memory_of_a_killed_process_is_removed(tmp_path):
    if not (Path(sys.executable).parent / "fastdds").exists():
        pytest.skip("the fastdds tool is not installed in this environment")
    environment = {**os.environ, "ROS_LOG_DIR": str(tmp_path)}
    killed = subprocess.run(
        [sys.executable, "-c", LEAVE_SEGMENT],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    left = set(killed.stdout.split()) & segments()  # those of other processes of this machine come and go
    if not left:
        pytest.skip("this machine has no shared memory for Fast DDS")
    assert dds.clean_shared_memory()
    assert not left & segments()


def test_cleaning_without_the_tool_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dds.clean_shared_memory() is False
