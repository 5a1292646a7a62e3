"""Mapping, reasoning and fusion in one process, for small computers: the same nodes, the same parameters."""

from __future__ import annotations

from lira_ros.nodes.fusion_node import FusionNode
from lira_ros.nodes.mapping_node import MappingNode
from lira_ros.nodes.reasoning_node import ReasoningNode
from lira_ros.ros.node import run


def main(args: list[str] | None = None) -> int:
    """Run the three nodes until SIGINT or SIGTERM."""
    return run(MappingNode, ReasoningNode, FusionNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
