"""What the nodes publish and offer, for the tests of the layouts that show it."""

import functools
import importlib

import rclpy
from rclpy.parameter import Parameter

from lira_ros.ros.inputs import type_name

NODES = (
    ("mapping_node", "MappingNode"),
    ("reasoning_node", "ReasoningNode"),
    ("fusion_node", "FusionNode"),
    ("planning_node", "PlanningNode"),
)


@functools.lru_cache
def interfaces(namespace="/lira"):
    """Return publishers, topic -> (type, QoS), and services, name -> class, of the configured nodes."""
    context = rclpy.Context()
    rclpy.init(context=context)
    topics, services = {}, {}
    for module, name in NODES:
        node_class = getattr(importlib.import_module(f"lira_ros.nodes.{module}"), name)
        overrides = [Parameter("autostart", value=False)]
        node = node_class(context=context, namespace=namespace, parameter_overrides=overrides)
        node.trigger_configure()
        topics.update((item.topic_name, (type_name(item.msg_type), item.qos_profile)) for item in node.publishers)
        services.update((node.resolve_service_name(item.srv_name), item.srv_type) for item in node.services)
        node.shut_down()
        node.destroy_node()
    rclpy.try_shutdown(context=context)
    return topics, services
