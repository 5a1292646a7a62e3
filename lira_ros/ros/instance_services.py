"""The services about instances: fetch the map of an instruction, ask for instances, fetch their pictures."""

from __future__ import annotations

from lira_msgs.srv import GetInstanceMap, GetInstanceViews, QueryInstances
from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.ros.conversions.instance import instance_to_message, view_to_message
from lira_ros.ros.conversions.query import QueryRefused, query_from_request
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.instance_map_output import InstanceMapOutput
from lira_ros.ros.node import LiraNode
from lira_ros.ros.sessions import MappingSessions


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
        instances = self._map.query(query.instruction, query.ids, query.label, query.sphere)
        response.success = True
        response.code = QueryInstances.Response.OK
        response.header.stamp = stamp_from_ns(self._map.stamp_ns)
        response.header.frame_id = self._sessions.map_frame
        response.instances = [instance_to_message(i, with_voxels=request.include_voxels) for i in instances]
        response.message = f"{len(instances)} instances"

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
