"""The services about instances: fetch the map of an instruction, ask for instances, fetch their pictures."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping

from lira_msgs.msg import Instance as InstanceMessage
from lira_msgs.srv import GetInstanceMap, GetInstanceViews, QueryInstances
from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.fusion.contracts import Instance, Verdict
from lira_ros.fusion.instance_query import UnknownAnchorError
from lira_ros.ros.conversions.instance import instance_to_message, verdicts_to_messages, view_to_message
from lira_ros.ros.conversions.query import QUERY_ID, QueryRefused, query_from_request, relation_to_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.instance_map_output import InstanceMapOutput
from lira_ros.ros.node import LiraNode
from lira_ros.ros.sessions import MappingSessions

# Instances converted at once when nothing else is to be done: 5 ms of the worker's time.
PREPARED_AT_ONCE = 20


class InstanceServices:
    """Answers about one ConformingMap; used in the worker thread."""

    def __init__(
        self, node: LiraNode, conforming_map: ConformingMap, sessions: MappingSessions, output: InstanceMapOutput
    ) -> None:
        """Answer in the map frame of the current session; a map is answered as ``output`` publishes it."""
        self._node = node
        self._map = conforming_map
        self._sessions = sessions
        self._output = output
        self._messages: dict[int, tuple[Instance, InstanceMessage]] = {}  # without voxels, of instances as they were

    def get_map(self, request: GetInstanceMap.Request, response: GetInstanceMap.Response) -> None:
        """Answer with the map of an instruction."""
        names = [item.id for item in self._map.instructions]
        wanted = request.instruction_id or (names[-1] if names else "")
        if not names:
            response.code = GetInstanceMap.Response.NO_INSTRUCTION
            response.message = "no instruction is active; submit one first"
            return
        if wanted not in names:
            message = f"instruction_id {wanted!r}: no such instruction; active: {', '.join(names)}"
            self._node.refuse(response, "get_instance_map", GetInstanceMap.Response.UNKNOWN_ID, message)
            return
        if self._node.state == "active":
            self._output.publish_changes()
        response.success = True
        response.code = GetInstanceMap.Response.OK
        response.map = self._output.full_map(wanted, include_rejected=request.include_rejected)
        response.message = f"{wanted}: {len(response.map.instances)} instances conform"

    def query(self, request: QueryInstances.Request, response: QueryInstances.Response) -> None:
        """Answer with the instances that meet the conditions of a request."""
        try:
            query = query_from_request(request)
        except QueryRefused as error:
            self._node.refuse(response, "query_instances", error.code, str(error))
            return
        try:
            answer = self._map.query(query)
        except UnknownAnchorError as error:
            self._node.refuse(response, "query_instances", QueryInstances.Response.INVALID_RELATION, str(error))
            return
        response.success = True
        response.code = QueryInstances.Response.OK
        response.header.stamp = stamp_from_ns(self._map.stamp_ns)
        response.header.frame_id = self._sessions.map_frame
        response.instances = [self._message(item, request.include_voxels, answer.verdicts) for item in answer.instances]
        response.relations = [relation_to_message(item) for item in answer.relations]
        response.message = f"{len(answer.instances)} instances"

    def prepare(self) -> None:
        """Convert some instances that changed, so that whoever asks for all of them need not wait for it."""
        instances = self._map.fusion.instances()
        self._messages = {item.id: self._messages[item.id] for item in instances if item.id in self._messages}
        changed = (item for item in instances if self._messages.get(item.id, (None,))[0] is not item)
        for item in itertools.islice(changed, PREPARED_AT_ONCE):
            self._messages[item.id] = (item, instance_to_message(item, with_voxels=False))

    def _message(self, instance: Instance, with_voxels: bool, verdicts: Mapping[int, Verdict]) -> InstanceMessage:
        """Return the message of an instance with the verdict of a query; what has not changed is not made again."""
        kept = self._messages.get(instance.id)
        if kept is None or kept[0] is not instance:
            kept = (instance, instance_to_message(instance, with_voxels=False))
            self._messages[instance.id] = kept
        if not with_voxels and not verdicts:
            return kept[1]
        message = instance_to_message(instance) if with_voxels else copy.copy(kept[1])
        message.verdicts = verdicts_to_messages({QUERY_ID: verdicts[instance.id]} if verdicts else {})
        return message

    def get_views(self, request: GetInstanceViews.Request, response: GetInstanceViews.Response) -> None:
        """Answer with pictures of instances."""
        views, unknown = self._map.views(list(request.ids), request.max_views)
        response.header.stamp = stamp_from_ns(self._map.stamp_ns)
        response.header.frame_id = self._sessions.map_frame
        response.views = [view_to_message(view, self._sessions.map_frame) for view in views]
        if unknown:
            message = f"ids: no instance has the id {', '.join(map(str, unknown))} (any more)"
            self._node.refuse(response, "get_instance_views", GetInstanceViews.Response.UNKNOWN_ID, message)
            return
        response.success = True
        response.code = GetInstanceViews.Response.OK
        response.message = f"{len(views)} views of {len({view.instance_id for view in views})} instances"
