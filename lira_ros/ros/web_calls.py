"""What a page asks for, as calls of the services of the suite: never waited for, always answered in a sentence."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from rclpy.client import Client
from std_srvs.srv import Trigger

from lira_msgs.srv import CancelInstruction, GetInstanceViews, SaveMap, SubmitInstruction
from lira_ros.ros import qos
from lira_ros.ros.errors import plain_sentence
from lira_ros.ros.node import LiraNode
from lira_ros.web.calls import Answer, Call

# Pictures of one instance that the page shows; each is some ten kB.
MOST_VIEWS = 4

_SERVICES: dict[str, tuple[Any, str]] = {
    "submit": (SubmitInstruction, "submit_instruction"),
    "cancel": (CancelInstruction, "cancel_instruction"),
    "views": (GetInstanceViews, "get_instance_views"),
    "save": (SaveMap, "save_map"),
    "pause": (Trigger, "mapping_node/pause"),
    "resume": (Trigger, "mapping_node/resume"),
    "reset": (Trigger, "mapping_node/reset"),
}


def _request(call: Call) -> Any:
    arguments = call.arguments
    if call.name == "submit":
        return SubmitInstruction.Request(text=arguments["text"], id=arguments["id"], replace=arguments["replace"])
    if call.name == "cancel":
        return CancelInstruction.Request(id=arguments["id"])
    if call.name == "views":
        return GetInstanceViews.Request(ids=[arguments["id"]], max_views=MOST_VIEWS)
    if call.name == "save":
        return SaveMap.Request(name=arguments["name"])
    return Trigger.Request()


def _values(call: Call, response: Any) -> Mapping[str, object]:
    if call.name == "submit":
        return {"id": plain_sentence(response.id), "understood": plain_sentence(response.understood)}
    if call.name == "views":
        jpegs = [bytes(view.image.data) for view in response.views[:MOST_VIEWS]]
        return {"jpegs": [base64.b64encode(jpeg).decode("ascii") for jpeg in jpegs]}
    return {}


class SuiteCalls:
    """The services that pages call. ``answer`` may be called from any thread and does not block."""

    def __init__(self, node: LiraNode) -> None:
        """Create the clients; close() destroys them."""
        self._node = node
        self._clients: dict[str, Client] = {
            name: node.create_client(kind, service, qos_profile=qos.services())
            for name, (kind, service) in _SERVICES.items()
        }

    def close(self) -> None:
        """Destroy the clients, in the executor thread."""
        for client in self._clients.values():
            self._node.destroy_client(client)
        self._clients.clear()

    def answer(self, call: Call) -> Future[Answer]:
        """Call the service of a call; the future gets its answer, and a refusal is an answer."""
        answered: Future[Answer] = Future()
        client = self._clients.get(call.name)
        if client is None:
            answered.set_result(Answer(False, f"{self._node.get_name()} is {self._node.state}"))
            return answered
        if not client.service_is_ready():
            service = self._node.resolve_service_name(client.srv_name)
            answered.set_result(Answer(False, f"{service}: no such service; does the suite run?"))
            return answered
        try:
            request = _request(call)
        except (AssertionError, UnicodeError) as error:  # a lone surrogate in a text is no string of ROS
            answered.set_result(Answer(False, f"{call.name}: {error}"))
            return answered
        asked = client.call_async(request)
        asked.add_done_callback(_finisher(call, answered))

        def forget(future: Future[Answer]) -> None:
            if future.cancelled():  # the page has stopped waiting
                client.remove_pending_request(asked)

        answered.add_done_callback(forget)
        return answered


def _finisher(call: Call, answered: Future[Answer]) -> Callable[[Any], None]:
    def finish(asked: Any) -> None:
        if not answered.set_running_or_notify_cancel():
            return
        try:
            response = asked.result()
            success = response.accepted if call.name == "submit" else response.success
            answered.set_result(Answer(bool(success), plain_sentence(response.message), _values(call, response)))
        except Exception as error:  # whoever waits is told
            answered.set_exception(error)

    return finish
