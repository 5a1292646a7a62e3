"""Run the real nodes over a recording: processes, replay, instructions in time, and the record for the report."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lira_ros.cli.processes import NodeCommand, NodeProcesses, ProcessError
from lira_ros.configuration import build
from lira_ros.evaluation.record import RunRecord
from lira_ros.evaluation.runner import Request
from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.surface import Mesh
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import InstructionError, parse

NAMESPACE = "lira"
CAMERA = "/camera/camera"
REMAPPINGS = {
    "color/image": f"{CAMERA}/color/image_raw",
    "color/camera_info": f"{CAMERA}/color/camera_info",
    "depth/image": f"{CAMERA}/aligned_depth_to_color/image_raw",
    "depth/camera_info": f"{CAMERA}/aligned_depth_to_color/camera_info",
}
NODE_SECTIONS = {
    "mapping_node": ("mapping",),
    "reasoning_node": ("reasoner", "instructions", "scheduler", "language"),
    "fusion_node": ("fusion", "language"),
}
START_LIMIT_S = 120.0  # a first start compiles kernels on a slow computer
# Nodes that may end before the others: the recording is over; nobody looks on any more.
MAY_END = ("replay_node", "view_node")
SETTLE_LIMIT_S = 120.0  # after the walk, for what is still to be answered
# ROS domains that are free of ephemeral ports on Linux (ROS 2 documentation, "The ROS_DOMAIN_ID").
DOMAINS = range(1, 102)


@dataclass(frozen=True)
class NodeRun:
    """What to run: a recording, instructions with their times, and how."""

    recording: str
    requests: Sequence[Request]
    output: Path
    values: Mapping[str, Any]  # configuration values by dotted name, as for lira run
    suite: bool = False  # mapping, reasoning and fusion in one process
    rate: float = 1.0
    viewer_file: str = ""  # written for the Rerun viewer by a node that looks on, "" = none


def isolated_environment() -> dict[str, str]:
    """Return the variables that keep a run to this machine and apart from other ROS systems, unless they are set."""
    wanted = {"ROS_DOMAIN_ID": str(random.choice(DOMAINS)), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def run_nodes(run: NodeRun, progress: Callable[[float, RunRecord], None]) -> RunRecord:
    """Start the nodes, replay the recording, give the instructions in time, wait for the last answer, save the map.

    ``progress`` is called a few times a second with the seconds of the recording. Raises ProcessError when a node
    ends by itself and InstructionError when an instruction is refused. No process is left behind in any case.
    """
    os.environ.update(isolated_environment())  # also for the DDS participant of this process
    os.environ.setdefault("ROS_LOG_DIR", str(run.output / "log"))
    from lira_ros.ros.client import InstructionClient
    from lira_ros.ros.dds import clean_shared_memory
    from lira_ros.ros.monitor import Monitor

    clean_shared_memory()
    record = RunRecord(title=run.recording)
    with NodeProcesses(run.output / "log", {}) as processes:
        processes.start(_commands(run))
        with InstructionClient(NAMESPACE, START_LIMIT_S) as client:
            monitor = Monitor(client, record, REMAPPINGS["color/camera_info"])
            _wait_until_ready(client, processes)
            started_s = time.monotonic()
            waiting = sorted(run.requests, key=lambda request: request.at_s)
            # What is asked for from the start is known before the first image comes.
            waiting = _submit_due(waiting, 0.0, client, monitor)
            processes.start([_replay(run)])
            while not processes.finished("replay_node"):
                processes.check(but=MAY_END)
                monitor.spin(0.2)
                if monitor.frames:
                    waiting = _submit_due(waiting, monitor.recording_s, client, monitor)
                progress(monitor.recording_s, record)
            if waiting:  # what is asked for after the walk is asked for when all of it is known
                _spin_until(monitor.mapped, monitor, processes, progress)
                _submit_due(waiting, float("inf"), client, monitor)
            _spin_until(monitor.settled, monitor, processes, progress)
            record.duration_s = time.monotonic() - started_s
            files = client.save_map("map", SETTLE_LIMIT_S)
            monitor.spin(1.0)  # saving closes the last fragment, which may still refine an instance
            _collect(client, record)
    record.mesh = _saved_mesh(files, run.values)
    return record


def _saved_mesh(files: Sequence[str], values: Mapping[str, Any]) -> Mesh:
    prefix = "mapping."
    configuration = build(
        MappingConfiguration, {name[len(prefix) :]: v for name, v in values.items() if name.startswith(prefix)}
    )
    mapper = Mapper(configuration)
    mapper.load(next(name for name in files if not name.endswith((".ply", ".glb"))))
    return mapper.mesh()


def _commands(run: NodeRun) -> list[NodeCommand]:
    # The replay can wait for a slow computer, unlike a camera: nothing needs to be lost on the way, and the reasoning
    # sees the pixels that it would see without nodes.
    common = {"map_directory": str(run.output.resolve()), "camera.sensor_reliable": True, "jpeg_quality": 0}
    # The oracle answers from the annotation of the recording that is replayed.
    truth = {"recording": run.recording} if run.values.get("reasoner.backend") == "oracle" else {}
    commands = []
    if run.viewer_file:
        viewer = {"viewer.open": "none", "viewer.save": run.viewer_file}
        commands.append(NodeCommand("view_node", NAMESPACE, {}, viewer))
    if run.suite:
        return [*commands, NodeCommand("suite", NAMESPACE, REMAPPINGS, {**run.values, **common, **truth})]
    for executable, sections in NODE_SECTIONS.items():
        parameters = {name: value for name, value in run.values.items() if name.split(".")[0] in sections}
        if executable == "mapping_node":
            parameters.update(common)
        if executable == "reasoning_node":
            parameters.update(truth)
        commands.append(NodeCommand(executable, NAMESPACE, REMAPPINGS, parameters))
    return commands


def _replay(run: NodeRun) -> NodeCommand:
    return NodeCommand(
        "replay_node", NAMESPACE, {}, {"recording": run.recording, "rate": run.rate, "wait_for_subscribers": True}
    )


def _wait_until_ready(client: Any, processes: NodeProcesses) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while (reason := client.not_ready() or client.not_active("mapping_node")) is not None:
        processes.check(but=MAY_END)
        if time.monotonic() > deadline_s:
            raise ProcessError(f"the nodes are not ready after {START_LIMIT_S:.0f} s: {reason}")
        time.sleep(0.1)


def _submit_due(waiting: list[Request], now_s: float, client: Any, monitor: Any) -> list[Request]:
    record: RunRecord = monitor.record
    for request in waiting:
        if request.at_s > now_s:
            continue
        reply = client.submit(request.text, request.instruction_id)
        if not reply.success:
            raise InstructionError("REFUSED", f"{request.text!r}: {reply.message}")
        monitor.note_submitted(reply.id)
        record.instructions[reply.id] = Instruction(reply.id, request.text, parse(request.text, any_language=True))
        record.submitted_s[reply.id] = monitor.recording_s
    return [request for request in waiting if request.at_s > now_s]


def _spin_until(
    condition: Callable[[], bool], monitor: Any, processes: NodeProcesses, progress: Callable[[float, RunRecord], None]
) -> None:
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while time.monotonic() < deadline_s:
        monitor.spin(0.3)
        processes.check(but=MAY_END)
        progress(monitor.recording_s, monitor.record)
        if condition():
            return


def _collect(client: Any, record: RunRecord) -> None:
    from lira_ros.ros.conversions.instance import instance_from_message
    from lira_ros.ros.conversions.instruction import status_from_message

    for name in record.instructions:
        message = client.fetch_map(name, include_rejected=True)
        record.conforming[name] = tuple(instance_from_message(item, "get_instance_map") for item in message.instances)
        record.rejected[name] = tuple(instance_from_message(item, "get_instance_map") for item in message.rejected)
        record.statuses[name] = status_from_message(message.status)


def progress_line(seconds: float, record: RunRecord) -> str:
    """Return one line about how far a run is."""
    words = {
        SearchState.PENDING: "pending",
        SearchState.SEARCHING: "searching",
        SearchState.FOUND: "found",
        SearchState.NONE_CONFORM: "none",
        SearchState.CANCELLED: "cancelled",
        SearchState.FAILED: "failed",
    }
    parts = [f"{seconds:5.1f} s", f"{len(record.keyframes)} keyframes"]
    for name in record.instructions:
        status: InstructionStatus | None = record.statuses.get(name)
        found = f" {status.instances_found}" if status is not None and status.state == SearchState.FOUND else ""
        parts.append(f"{name}: {words[status.state] if status is not None else 'pending'}{found}")
    return " | ".join(parts)
