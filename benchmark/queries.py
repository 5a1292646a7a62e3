"""How long query_instances takes over DDS, from the call to the answer, on a map of many instances.

A real fusion node is given a map of boxes of furniture size with names (benchmark/relations.py), a tenth of them
tables, and answers a client in another thread. "first" is the first call of its kind, which measures relations that
nobody asked for before; "then" is the median of further ones, from the call to the answer, both ends in one process;
"node" is the part of it in which the node makes up the answer. "every pair" answers the same relation by measuring
every pair, without looking at what is in reach: what it costs without the order in which anchors are looked at.

Run: python benchmark/queries.py [--count 1000] [--repeats 15]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import threading
import time
from typing import Any

from relations import UP, VIEWER, furnished

os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import rclpy
from geometry_msgs.msg import Point
from rclpy.executors import SingleThreadedExecutor

from lira_msgs.srv import QueryInstances
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.nodes.fusion_node import FusionNode
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.ros.client import InstructionClient
from lira_ros.ros.dds import configure_dds

NAMES = ("table", "cup", "chair", "sofa", "book", "lamp", "plant", "box", "mug", "monitor")
REQUESTS: dict[str, dict[str, Any]] = {
    "by id": {"ids": [7, 11]},
    "by label": {"label": "cup"},
    "in a sphere of 3 m": {"use_sphere": True, "radius_m": 3.0, "center": Point(x=20.0, y=20.0, z=0.5)},
    "in a box of 4 m": {"use_box": True, "box_min": Point(x=18.0, y=18.0), "box_max": Point(x=22.0, y=22.0, z=3.0)},
    "on table 1": {"relation": "on", "relative_to": 1},
    "near table 1": {"relation": "near", "relative_to": 1},
    "what is on the table?": {"text": "what is on the table?"},
    "which chairs are near the sofa?": {"text": "which chairs are near the sofa?"},
    "something to sit on": {"text": "something to sit on"},
    "the largest table": {"text": "the largest table"},
    "the first hundred": {"max_results": 100},
    "everything": {},
}


def main() -> None:
    """Print one line a kind of request."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=1000, help="instances of the map")
    arguments.add_argument("--repeats", type=int, default=15)
    options = arguments.parse_args()
    instances = named(options.count)
    configure_dds()
    rclpy.init()
    node = FusionNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        while node.state != "active":
            time.sleep(0.05)
        node._map.fusion.instances = lambda: instances
        answer, took_ms = node._answers.query, []

        def timed(*call: Any) -> None:
            began_s = time.perf_counter()
            answer(*call)
            took_ms.append(1e3 * (time.perf_counter() - began_s))

        node._answers.query = timed
        with InstructionClient("", 120.0) as client:
            print(f"{options.count} instances\n{'request':<34}{'found':>7}{'first ms':>10}{'then ms':>9}{'node ms':>9}")
            for name, fields in REQUESTS.items():
                print(line(client, name, fields, options.repeats, took_ms), flush=True)
    finally:
        executor.shutdown()
        node.shut_down()
        node.destroy_node()
        rclpy.try_shutdown()
        thread.join()
    compare(instances)


def named(count: int) -> tuple[Any, ...]:
    """Return the boxes with names, as if views had named them surely."""
    items = furnished(count, 1)
    labels = ["table" if number % 10 == 0 else NAMES[1 + number % 9] for number in range(count)]
    return tuple(
        dataclasses.replace(item, label=label, label_confidence=0.8, names={label: 0.7, "box": 0.3})
        for item, label in zip(items, labels, strict=True)
    )


def line(client: InstructionClient, name: str, fields: dict[str, Any], repeats: int, took_ms: list[float]) -> str:
    """Measure one kind of request; took_ms: where the node notes its own times."""
    times_ms = []
    took_ms.clear()
    for _ in range(1 + repeats):
        began_s = time.perf_counter()
        answer = client.call(QueryInstances, "query_instances", QueryInstances.Request(**fields))
        times_ms.append(1e3 * (time.perf_counter() - began_s))
        if not answer.success:
            return f"{name:<34}{answer.message}"
    told = f"{name:<34}{len(answer.instances):>7}{times_ms[0]:>10.1f}"
    return f"{told}{statistics.median(times_ms[1:]):>9.1f}{statistics.median(took_ms[1:]):>9.1f}"


def compare(instances: tuple[Any, ...]) -> None:
    """Print what looking at the anchors in reach alone is worth."""
    table = RelationTable()
    table.look_from(UP, VIEWER)
    table.update(instances)
    tables = [item for item in instances if item.label == "table"]
    for kind in (RelationKind.ON, RelationKind.NEAR):
        gathered = table.gather(kind, tables)
        every_s, best_s = [], []
        for _ in range(3):  # the first round measures what is then kept
            began_s = time.process_time()
            for target in instances:
                any(table.relate(kind, target, (anchor,)).holds for anchor in tables if anchor is not target)
            every_s.append(time.process_time() - began_s)
            began_s = time.process_time()
            for target in instances:
                table.best(target, gathered)
            best_s.append(time.process_time() - began_s)
        ratio = every_s[-1] / best_s[-1]
        print(
            f"{kind.value:<5} one of {len(tables)} tables: every pair {1e3 * every_s[-1]:.0f} ms (first"
            f" {1e3 * every_s[0]:.0f} ms), in reach {1e3 * best_s[-1]:.0f} ms: {ratio:.0f} times as fast"
        )


if __name__ == "__main__":
    main()
