"""Every panel of the Foxglove layout finds its topic or service, with a type that it can show."""

import ast
import json
import re
import shutil
import subprocess

import pytest
from launch_recorder import REPOSITORY

pytest.importorskip("rclpy", reason="needs ROS 2 (make setup)")
pytest.importorskip("lira_msgs", reason="needs lira_msgs (make setup)")

from shown_topics import interfaces

from lira_ros.ros.diagnostics import Statistics, to_status

pytestmark = pytest.mark.ros

LAYOUT = json.loads((REPOSITORY / "config" / "foxglove_layout.json").read_text("utf-8"))
PANELS = LAYOUT["configById"]
# What the panels can show of ROS 2 messages (Foxglove documentation, "3D panel" and "Image panel", supported messages).
IN_3D = {
    "geometry_msgs/msg/PoseStamped",
    "nav_msgs/msg/OccupancyGrid",
    "nav_msgs/msg/Path",
    "sensor_msgs/msg/PointCloud2",
    "visualization_msgs/msg/MarkerArray",
}
IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
PATH = re.compile(r'/studio_script/lira_latency\.stages\[:\]\{node=="(?P<node>.+)"\}\{stage=="(?P<stage>.+)"\}\.p95_ms')


@pytest.fixture(scope="module")
def offered():
    return interfaces()


def panels(kind):
    return {name: panel for name, panel in PANELS.items() if name.split("!")[0] == kind}


def test_every_topic_of_the_3d_panel_is_published_and_can_be_shown(offered):
    (panel,) = panels("3D").values()
    for topic in panel["topics"]:
        assert topic in offered[0], f"nobody publishes {topic}"
        assert offered[0][topic][0] in IN_3D
    # And what is for people is not forgotten.
    for topic, (kind, _) in offered[0].items():
        if kind in {"visualization_msgs/msg/MarkerArray", "sensor_msgs/msg/PointCloud2"}:
            assert topic in panel["topics"]


def test_images_and_messages_are_published(offered):
    for panel in panels("Image").values():
        assert offered[0][panel["imageMode"]["imageTopic"]][0] in IMAGES
    for panel in panels("RawMessages").values():
        topic, _, field = panel["topicPath"].partition(".")
        package, _, name = offered[0][topic][0].split("/")
        message = getattr(__import__(f"{package}.msg", fromlist=[name]), name)
        assert field in message.get_fields_and_field_types()
    for panel in panels("DiagnosticSummary").values():
        assert panel["topicToRender"] in offered[0]


@pytest.mark.parametrize("name", panels("CallService"))
def test_a_service_can_be_called_as_the_panel_would(name, offered):
    panel = PANELS[name]
    request = offered[1][panel["serviceName"]].Request()
    for field, value in json.loads(panel["requestPayload"]).items():
        setattr(request, field, value)  # raises for a field that is none, or of another type


def test_plotted_latencies_are_those_that_nodes_measure():
    measured = set()
    for path in (REPOSITORY / "lira_ros").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "latency":
                measured.update(item.value for item in call.args[:1] if isinstance(item, ast.Constant))
    (panel,) = panels("Plot").values()
    assert panel["paths"]
    for path in panel["paths"]:
        found = PATH.fullmatch(path["value"])
        assert found, path["value"]
        assert found["stage"] in measured
        assert found["node"].startswith("/lira/")
        assert (REPOSITORY / "lira_ros" / "nodes" / f"{found['node'].split('/')[-1]}.py").is_file()
    from lira_ros.nodes.view_node import STAGES

    assert set(STAGES) <= measured  # those that the Rerun viewer plots


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js to run the script of the layout")
def test_the_script_of_the_layout_reads_the_latencies_that_nodes_report(tmp_path):
    (script,) = LAYOUT["userNodes"].values()
    source = script["sourceCode"]
    # What is left without the types is JavaScript.
    source = re.sub(r"^(import|type) .*$", "", source, flags=re.MULTILINE)
    source = source.replace(': Input<"/diagnostics">): Output', ")").replace(": Stage[]", "")
    statistics = Statistics()
    statistics.latency("integrate", 0.0125)
    statistics.arrived("frames mapped")
    status = to_status("/lira/mapping_node", "active", statistics, [], "", {"paused": False})
    values = [{"key": pair.key, "value": pair.value} for pair in status.values]
    event = {"message": {"status": [{"name": status.name, "values": values}]}}
    module = tmp_path / "script.mjs"
    module.write_text(f"{source}\nconsole.log(JSON.stringify([output, script({json.dumps(event)})]));\n")
    run = subprocess.run(["node", str(module)], capture_output=True, text=True, check=True)
    topic, message = json.loads(run.stdout)
    assert message == {"stages": [{"node": "/lira/mapping_node", "stage": "integrate", "p95_ms": 12.5}]}
    assert topic == "/studio_script/lira_latency"


def test_every_panel_has_its_place_once():
    def leaves(node):
        if isinstance(node, str):
            return [node]
        assert node["direction"] in ("row", "column")
        return leaves(node["first"]) + leaves(node["second"])

    assert sorted(leaves(LAYOUT["layout"])) == sorted(PANELS)
