"""Saving and loading across nodes: each gives its state as bytes, and the mapping node keeps them in the map file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lira_msgs.srv import ExportState, ImportState
from lira_ros.ros import qos
from lira_ros.ros.conversions.image import bytes_array
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode
from lira_ros.ros.sessions import MappingSessions
from lira_ros.state.columns import StateError

# The parts of a map file and the nodes that know them. In this order they are asked for, so that no answer is noted as
# given that is not in the instances; and in this order they are given back, so that instances find their instructions.
PARTS = {"instructions": "reasoning_node", "instances": "fusion_node"}


class StateServices:
    """Offers the state of a node; answers in the worker thread."""

    def __init__(
        self,
        node: LiraNode,
        sessions: Callable[[], MappingSessions],
        give: Callable[[], bytes],
        take: Callable[[bytes], str],
        begun: Callable[[], None],
    ) -> None:
        """give: returns the state. take: goes on from one, b"" for nothing, and returns a sentence; raises StateError.

        begun: is called when the session has begun that a state belongs to.
        """
        self._node, self._sessions, self._give, self._take, self._begun = node, sessions, give, take, begun
        # After what is queued: it was sent before the map that it belongs to is saved.
        node.offer(ExportState, "~/export_state", self._export, ExportState.Response.NOT_CONFIGURED, last=True)
        node.offer(ImportState, "~/import_state", self._import, ImportState.Response.NOT_CONFIGURED)

    def _export(self, request: ExportState.Request, response: ExportState.Response) -> None:
        current = self._sessions().current
        if request.session != current:
            message = f"session: expected {current or 'none, for no keyframe came yet'}, got {request.session}"
            self._node.refuse(response, "~/export_state", response.OTHER_SESSION, message)
            return
        response.data = bytes_array(self._give())
        response.success, response.code = True, response.OK
        response.message = f"{len(response.data)} bytes"

    def _import(self, request: ImportState.Request, response: ImportState.Response) -> None:
        sessions, where = self._sessions(), self._node.resolve_service_name("~/import_state")
        try:
            sessions.refuse_ended(request.session, where)
            if request.session == 0 or request.session == sessions.current:
                raise ConversionError(f"{where}: expected a session to come, got {request.session}, which has begun")
            if not request.frame_id:
                raise ConversionError(f"{where}: frame_id: expected the map frame, got ''")
            message = self._take(bytes(request.data))
        except (ConversionError, StateError) as error:
            self._node.refuse(response, "~/import_state", response.DATA_BROKEN, str(error))
            return
        sessions.begin(request.session, request.frame_id, where)
        self._begun()
        response.success, response.code, response.message = True, response.OK, message


class OtherStates:
    """Asks the other nodes for their states, and gives them back; for coroutines of the executor thread."""

    def __init__(self, node: LiraNode) -> None:
        self._node = node
        self._clients = {
            (kind, part): node.create_client(
                kind, f"{name}/{verb}_state", qos_profile=qos.services(), callback_group=node.service_group
            )
            for kind, verb in ((ExportState, "export"), (ImportState, "import"))
            for part, name in PARTS.items()
        }

    async def collect(self, session: int, limit_s: float) -> tuple[dict[str, bytes], list[str]]:
        """Return the states by part, and a sentence for each node that gave none."""
        parts: dict[str, bytes] = {}
        problems = []
        for part in PARTS:
            response, problem = await self._call(ExportState, part, ExportState.Request(session=session), limit_s)
            if response is None:
                problems.append(f"no {part} were saved: {problem}")
            else:
                parts[part] = bytes(response.data)
        return parts, problems

    async def give_back(
        self, session: int, frame_id: str, parts: Mapping[str, bytes], limit_s: float
    ) -> tuple[list[str], list[str]]:
        """Begin a session at the other nodes with their states; returns what they say, and what went wrong."""
        said, problems = [], []
        for part in PARTS:
            request = ImportState.Request(session=session, frame_id=frame_id)
            request.data = bytes_array(parts.get(part, b""))
            response, problem = await self._call(ImportState, part, request, limit_s)
            if part not in parts:
                problems.append(f"the file has no {part}")
            elif response is None:
                problems.append(f"no {part} were taken up: {problem}")
            else:
                said.append(response.message)
        return said, problems

    async def _call(self, kind: type, part: str, request: object, limit_s: float) -> tuple[object | None, str]:
        client = self._clients[kind, part]
        name = self._node.resolve_service_name(client.srv_name)
        if not client.service_is_ready():
            return None, f"{name} is not there; does {PARTS[part]} run?"
        future = client.call_async(request)
        if not await self._node.within(limit_s, future):
            client.remove_pending_request(future)
            return None, f"{name} did not answer within {limit_s:g} s (state_timeout_s)"
        response = future.result()
        return (response, "") if response.success else (None, response.message)
