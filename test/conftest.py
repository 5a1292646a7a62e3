"""Surroundings of the tests: own DDS domain for each test process, shipped DDS profile, logs in a temporary folder."""

import contextlib
import importlib.util
import os
import tempfile
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Set before rclpy is imported anywhere: rcl reads the environment when the first context is made.
# Domains 1 to 101 keep their ports below the ephemeral range of Linux; processes of one machine get different ones.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 101)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(REPOSITORY / "config" / "fastdds.xml")
os.environ["RMW_FASTRTPS_USE_QOS_FROM_XML"] = "1"  # as lira_ros.ros.dds sets it with a shipped profile
# As in the nodes and the command line: threads of the linear algebra library only take the time of others.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="lira_test_log_")

HAS_ROS = all(importlib.util.find_spec(name) is not None for name in ("rclpy", "lira_msgs"))

# These folders import messages at the top of their test modules.
collect_ignore_glob = [] if HAS_ROS else ["ros/*", "nodes/*"]


def pytest_report_header(config):
    """Say whether the ROS tests can run, and on which domain."""
    if HAS_ROS:
        return f"ROS 2: domain {os.environ['ROS_DOMAIN_ID']}, {os.environ['FASTRTPS_DEFAULT_PROFILES_FILE']}"
    return "ROS 2: rclpy or lira_msgs is not installed here, so test/ros and test/nodes are not collected"


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root folder of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the real recordings beside the repository; the test is skipped where it is absent."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data with the real recordings is not on this machine")
    return folder


@pytest.fixture(scope="session")
def tiny_recording(tmp_path_factory) -> Path:
    """Return a folder with four seconds of the showroom at 2 Hz and 160 x 120, with its truth and instructions."""
    from lira_ros.datasets.rooms import RoomSequence
    from lira_ros.datasets.writer import write_hololens_folder

    folder = tmp_path_factory.mktemp("recording") / "showroom"
    write_hololens_folder(RoomSequence(seed=0, rate_hz=2.0, width_px=160, duration_s=4.0), folder)
    return folder


def wait_for(condition, timeout_s: float = 15.0, what: str = "the condition"):
    """Poll ``condition`` until it is true and return its value; fail naming ``what`` after the time-out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    pytest.fail(f"{what} did not come true within {timeout_s} s")


@pytest.fixture(name="wait_for", scope="session")
def wait_for_fixture():
    """Return wait_for()."""
    return wait_for


@pytest.fixture(scope="session")
def ros_context():
    """Return a running rclpy context shared by all tests of this process."""
    rclpy = pytest.importorskip("rclpy", reason="rclpy is not installed here")
    if not rclpy.ok():
        rclpy.init()
    yield rclpy.get_default_context()
    rclpy.try_shutdown()


class Spinner:
    """Spins nodes in one background thread, as a process of its own would."""

    def __init__(self):
        import threading

        from rclpy.executors import SingleThreadedExecutor

        self.executor = SingleThreadedExecutor()
        self.nodes = []
        self._closing = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        from rclpy.exceptions import InvalidHandle
        from rclpy.executors import ShutdownException

        while not self._closing:
            # A client that a test destroys while the executor looks at it must not end the spinning for all others.
            with contextlib.suppress(InvalidHandle, ShutdownException):
                self.executor.spin_once(timeout_sec=0.1)

    def add(self, node):
        """Spin a node and return it."""
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def close(self):
        """Stop spinning and destroy all nodes."""
        self._closing = True
        self.executor.wake()
        self._thread.join(5.0)
        self.executor.shutdown(timeout_sec=5.0)
        for node in self.nodes:
            if hasattr(node, "shut_down"):
                node.shut_down()
            node.destroy_node()


@pytest.fixture
def spinner(ros_context):
    """Return a Spinner; its nodes are destroyed after the test."""
    spinner = Spinner()
    yield spinner
    spinner.close()


@pytest.fixture
def collected_nodes(ros_context):
    """Let go of the nodes of earlier tests: rclpy keeps a lifecycle node in the graph until it is collected."""
    import gc

    import rclpy

    gc.collect()
    node = rclpy.create_node("looks_around")
    wait_for(lambda: node.get_node_names() == ["looks_around"], what="the end of the nodes of earlier tests")
    node.destroy_node()


@pytest.fixture
def peer(spinner):
    """Return a plain node that is spun beside the node under test."""
    import rclpy

    return spinner.add(rclpy.create_node("peer"))


@pytest.fixture(scope="session")
def call_service():
    """Return a function that calls a service of another spun node and waits for the answer."""

    def call(peer, service_type, name, request=None, timeout_s=15.0):
        client = peer.create_client(service_type, name)
        try:
            assert client.wait_for_service(timeout_sec=timeout_s), f"service {name} does not exist"
            future = client.call_async(request or service_type.Request())
            wait_for(future.done, timeout_s, f"the answer of {name}")
            return future.result()
        finally:
            peer.destroy_client(client)

    return call
