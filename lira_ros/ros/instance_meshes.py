"""The service get_instance_mesh: surface and box of an instance and of what is around it, for manipulators."""

from __future__ import annotations

import math
from array import array

import numpy as np
from geometry_msgs.msg import Point
from shape_msgs.msg import Mesh, MeshTriangle, SolidPrimitive
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox3D, Detection3DArray, LabelInfo

from lira_msgs.srv import GetInstanceMesh
from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.mapper import Mapper
from lira_ros.planning.target_mesh import MAX_TRIANGLES, TriangleMesh, closed, coarser, split, surface_within
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.instance_input import InstanceInput
from lira_ros.ros.node import LiraNode

SERVICE = "get_instance_mesh"
# A room is what a manipulator can reach; more would be the map, which map/shape has.
LARGEST_SURROUNDINGS_M = 5.0


class InstanceMeshes:
    """Cuts the surface of a map by instance; used in the worker thread."""

    def __init__(self, node: LiraNode, mapper: Mapper, instances: InstanceInput, frame_id: str) -> None:
        """Take the voxels from ``instances``; boxes and labels come with the detections of fusion."""
        self._node, self._mapper, self._instances, self._frame_id = node, mapper, instances, frame_id
        self._boxes: dict[int, tuple[BoundingBox3D, str]] = {}
        self._labels: dict[str, str] = {}
        node.worker.add_queue("detections", self._take_detections, 1)
        node.worker.add_queue("labels", self._take_labels, 1)

    def open(self) -> None:
        """Subscribe."""
        worker = self._node.worker
        for kind, topic, queue in (
            (LabelInfo, "instances/label_info", "labels"),
            (Detection3DArray, "instances/detections", "detections"),
        ):
            self._node.subscribe(
                kind, topic, lambda message, queue=queue: worker.put(queue, message), qos.latched(), required=False
            )

    def _take_labels(self, message: LabelInfo) -> None:
        self._labels = {str(item.class_id): item.class_name for item in message.class_map}

    def _take_detections(self, message: Detection3DArray) -> None:
        self._boxes.clear()
        for detection in message.detections:
            number = detection.id.rpartition("/")[2]  # "instruction/instance"
            if number.isdecimal():
                class_id = detection.results[0].hypothesis.class_id if detection.results else ""
                self._boxes[int(number)] = (detection.bbox, class_id)

    def answer(self, stamp_ns: int, request: GetInstanceMesh.Request, response: GetInstanceMesh.Response) -> None:
        """Answer with the mesh of an instance in a map that is as new as a stamp."""
        codes, around_m, number = GetInstanceMesh.Response, request.surroundings_m, request.instance_id
        if not (math.isfinite(around_m) and 0 <= around_m <= LARGEST_SURROUNDINGS_M):
            message = f"surroundings_m: expected 0 to {LARGEST_SURROUNDINGS_M:g} m, got {around_m}"
            self._node.refuse(response, SERVICE, codes.INVALID_REQUEST, message)
            return
        layer = self._instances.layer
        if number not in layer.ids() or number not in self._boxes:
            there = ", ".join(str(item) for item in sorted(layer.ids())[:20]) or "none"
            message = f"instance_id {number}: no instance that conforms has this id; there are: {there}"
            self._node.refuse(response, SERVICE, codes.UNKNOWN_ID, message)
            return
        box, class_id = self._boxes[number]
        voxel_m = self._mapper.configuration.voxel_size_m
        half = 0.5 * np.array([box.size.x, box.size.y, box.size.z])
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * (half + voxel_m + around_m)
        corners = transform_points(pose_from_message(box.center, f"{SERVICE} box"), corners)
        surface = surface_within(self._mapper, corners.min(axis=0), corners.max(axis=0))
        own, others = split(surface, layer, number)
        if len(own.triangles) == 0:
            message = f"instance {number}: the map has no surface where its voxels are"
            self._node.refuse(response, SERVICE, codes.NO_SURFACE, message)
            return
        # A shell has two sides, and walls along its borders.
        shell = closed(coarser(own, MAX_TRIANGLES // 3, voxel_m), voxel_m)
        response.success, response.code = True, codes.OK
        response.header = Header(stamp=stamp_from_ns(stamp_ns), frame_id=self._frame_id)
        response.label = self._labels.get(class_id, "")
        response.mesh = _to_message(shell)
        response.box = SolidPrimitive(type=SolidPrimitive.BOX, dimensions=array("d", 2 * half))
        response.box_pose = box.center
        if around_m > 0:
            response.surroundings = _to_message(coarser(others, MAX_TRIANGLES, voxel_m))
        response.message = (
            f"instance {number} ({response.label or 'thing'}): {len(shell.triangles)} triangles, "
            f"{len(response.surroundings.triangles)} around it"
        )


def _to_message(mesh: TriangleMesh) -> Mesh:
    return Mesh(
        triangles=[MeshTriangle(vertex_indices=item) for item in mesh.triangles.astype(np.uint32)],
        vertices=[Point(x=x, y=y, z=z) for x, y, z in mesh.vertices.tolist()],
    )
