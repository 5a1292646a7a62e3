"""What lira instruct and the runs through the nodes use: services of running nodes, in words for people."""

import pytest
from rclpy.parameter import Parameter

from lira_ros.nodes import fusion_node, reasoning_node
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros.client import InstructionClient
from lira_ros.ros.errors import ServiceError


@pytest.fixture
def nodes(spinner, monkeypatch):
    """Return a reasoning and a fusion node that wait to be configured."""
    for module in (reasoning_node, fusion_node):
        monkeypatch.setattr(module, "create_relevance", lambda configuration: Relevance(None))
    overrides = [Parameter("autostart", value=False)]
    classes = (reasoning_node.ReasoningNode, fusion_node.FusionNode)
    return [spinner.add(kind(namespace="/lira", parameter_overrides=overrides)) for kind in classes]


def test_a_person_gives_lists_and_cancels_instructions(nodes, wait_for):
    with InstructionClient("lira", 15.0) as client:
        assert client.not_ready() == "list_instructions: /lira/list_instructions: reasoning_node is unconfigured"
        assert client.not_active("fusion_node") == "fusion_node is unconfigured"
        for node in nodes:
            node.trigger_configure()
            node.trigger_activate()
        assert client.not_ready() is None
        assert client.not_active("fusion_node") is None
        reply = client.submit("Find the red mug.", "mug")
        assert (reply.success, reply.id) == (True, "mug")
        assert reply.message == "mug: looking for red mug"
        refused = client.submit("Find the sofa.", "mug")
        assert not refused.success
        assert "already in use" in refused.message
        assert client.submit("Find the sofa.", "mug", replace=True).success
        title, line = client.list().message.splitlines()
        assert title == "1 active: mug"
        assert line.split()[:2] == ["mug", "pending"]
        assert '"Find the sofa."' in line
        wait_for(lambda: nodes[1]._map.instructions, what="the instruction in the fusion")
        full = client.fetch_map("mug")
        assert (full.instruction_id, full.instances) == ("mug", [])
        with pytest.raises(ServiceError, match="get_instance_map: instruction_id 'chair': no such instruction"):
            client.fetch_map("chair")
        assert client.cancel("mug").message == "cancelled mug"
        assert not client.cancel("mug").success
        assert client.list().message == "0 active: none"


def test_a_node_that_does_not_run_is_named(ros_context):
    with InstructionClient("nowhere", 0.3) as client:
        with pytest.raises(ServiceError, match=r"/nowhere/save_map: no such service within .* are the nodes running\?"):
            client.save_map("a", 0.3)
        assert "/nowhere/list_instructions: no such service" in client.not_ready()
        assert "/nowhere/mapping_node/get_state: no such service" in client.not_active("mapping_node")
