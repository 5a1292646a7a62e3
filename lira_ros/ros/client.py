"""Talk to running nodes from a plain program: submit, list, cancel, fetch maps, save."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lira_msgs.msg import InstanceMap, InstructionStatus
from lira_msgs.srv import CancelInstruction, GetInstanceMap, ListInstructions, SaveMap, SubmitInstruction
from lira_ros.ros.dds import configure_dds
from lira_ros.ros.errors import ServiceError, plain_sentence

STATE_NAMES = {
    InstructionStatus.PENDING: "pending",
    InstructionStatus.SEARCHING: "searching",
    InstructionStatus.FOUND: "found",
    InstructionStatus.NONE_CONFORM: "none conforms",
    InstructionStatus.CANCELLED: "cancelled",
    InstructionStatus.FAILED: "failed",
}

# What every program asks for.
SERVICES = (
    (SubmitInstruction, "submit_instruction"),
    (CancelInstruction, "cancel_instruction"),
    (ListInstructions, "list_instructions"),
    (GetInstanceMap, "get_instance_map"),
)

# How long a node that may still be starting is waited for before the caller looks whether its process is alive.
READY_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Reply:
    """What a service answered, for a person: success, its sentence, and the id of a new instruction."""

    success: bool
    message: str
    id: str = ""


class InstructionClient:
    """A context manager with a node of its own that calls the services of the suite."""

    def __init__(self, namespace: str, timeout_s: float) -> None:
        self._namespace = namespace
        self._timeout_s = timeout_s

    def __enter__(self) -> InstructionClient:
        """Start a ROS context of its own and a node in it."""
        configure_dds()
        self.context = Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("lira_client", namespace=self._namespace, context=self.context, use_global_arguments=False)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        # A service answers only whom it has discovered, and forgets answers to others. Over a network that loses
        # packets that takes seconds, so clients are made early and kept.
        self._clients: dict[str, Any] = {}
        for kind, name in SERVICES:
            self._client(kind, name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End node and context."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def call(self, service_type: Any, name: str, request: Any, timeout_s: float | None = None) -> Any:
        """Call a service and return its response; raises ServiceError when nobody answers in time."""
        client = self._client(service_type, name)
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        resolved = self.node.resolve_service_name(name)
        deadline_s = time.monotonic() + limit_s
        while not client.service_is_ready():
            if time.monotonic() > deadline_s:
                raise ServiceError(f"{resolved}: no such service within {limit_s:g} s; are the nodes running?")
            self.executor.spin_once(timeout_sec=0.05)
        future = client.call_async(request)
        self.executor.spin_until_future_complete(future, timeout_sec=max(0.1, deadline_s - time.monotonic()))
        if not future.done():
            client.remove_pending_request(future)
            raise ServiceError(f"{resolved}: no answer within {limit_s:g} s")
        return future.result()

    def _client(self, service_type: Any, name: str) -> Any:
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, name)
        return self._clients[name]

    def spin(self, seconds: float) -> None:
        """Take in what comes for so long, for those who subscribe with ``node``."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left_s)

    def not_ready(self) -> str | None:
        """Return why the reasoning or the fusion cannot answer yet, None when both are configured."""
        for kind, name in ((ListInstructions, "list_instructions"), (GetInstanceMap, "get_instance_map")):
            try:
                response = self.call(kind, name, kind.Request(), READY_TIMEOUT_S)
            except ServiceError as error:
                return str(error)
            if response.code == kind.Response.NOT_CONFIGURED:
                return f"{name}: {response.message}"
        return None

    def not_active(self, node_name: str) -> str | None:
        """Return why a node of the namespace does not work yet, None when it is active."""
        try:
            state = self.call(GetState, f"{node_name}/get_state", GetState.Request(), READY_TIMEOUT_S).current_state
        except ServiceError as error:
            return str(error)
        return None if state.id == State.PRIMARY_STATE_ACTIVE else f"{node_name} is {plain_sentence(state.label)}"

    def submit(self, text: str, instruction_id: str = "", replace: bool = False) -> Reply:
        """Submit an instruction."""
        request = SubmitInstruction.Request(text=text, id=instruction_id, replace=replace)
        response = self.call(SubmitInstruction, "submit_instruction", request)
        return Reply(response.accepted, plain_sentence(response.message), response.id)

    def cancel(self, instruction_id: str) -> Reply:
        """Cancel an instruction, or all with an empty id."""
        response = self.call(CancelInstruction, "cancel_instruction", CancelInstruction.Request(id=instruction_id))
        return Reply(response.success, plain_sentence(response.message))

    def list(self) -> Reply:
        """List the active instructions, one line each with state and reason."""
        response = self.call(ListInstructions, "list_instructions", ListInstructions.Request())
        lines = [plain_sentence(response.message)]
        for instruction, status in zip(response.instructions, response.statuses, strict=True):
            state = STATE_NAMES.get(status.state, str(status.state))
            said = f'"{plain_sentence(instruction.text)}": {plain_sentence(status.reason)}'
            lines.append(f"  {plain_sentence(instruction.id):<12} {state:<13} {said}")
        return Reply(response.success, "\n".join(lines))

    def fetch_map(self, instruction_id: str, include_rejected: bool = False) -> InstanceMap:
        """Return the full map of an instruction; raises ServiceError with the node's sentence when it is refused."""
        request = GetInstanceMap.Request(instruction_id=instruction_id, include_rejected=include_rejected)
        response = self.call(GetInstanceMap, "get_instance_map", request)
        if not response.success:
            raise ServiceError(f"get_instance_map: {response.message}")
        return response.map

    def save_map(self, name: str, timeout_s: float) -> list[str]:
        """Let the mapping node save its map; returns the files, raises ServiceError when it could not."""
        response = self.call(SaveMap, "save_map", SaveMap.Request(name=name), timeout_s)
        if not response.success:
            raise ServiceError(f"save_map: {response.message}")
        return list(response.files)
