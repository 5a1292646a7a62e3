"""get_instance_mesh over DDS: the part of the map that an instance is, closed, with its box and its surroundings."""

import numpy as np
import pytest
from mapping_harness import feed
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3D, Detection3DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from lira_msgs.srv import GetInstanceMesh
from lira_ros.ros import qos
from lira_ros.ros.conversions.points import points_to_message

# The box of wall_scene: 0.3 m wide, 0.3 m in front of the wall, with its front at y = 1.2 m.
FRONT = [(x, 1.2, z) for x in np.arange(0.15, 0.46, 0.05) for z in np.arange(0.6, 1.2, 0.05)]


def mesh_arrays(mesh):
    vertices = np.array([(p.x, p.y, p.z) for p in mesh.vertices]).reshape(-1, 3)
    return vertices, np.array([t.vertex_indices for t in mesh.triangles], np.int64).reshape(-1, 3)


def test_the_mesh_of_an_instance_is_closed_and_lies_in_its_box(mapping, camera, peer, call_service, wait_for):
    def ask(**values):
        return call_service(peer, GetInstanceMesh, "get_instance_mesh", GetInstanceMesh.Request(**values))

    node = mapping(points_rate_hz=30.0)
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    points = peer.create_publisher(PointCloud2, "instances/points", qos.latched())
    detections = peer.create_publisher(Detection3DArray, "instances/detections", qos.latched())
    labels = peer.create_publisher(LabelInfo, "instances/label_info", qos.latched())
    feed(camera, 5, node, wait_for)
    answer = ask(instance_id=7)
    assert answer.code == answer.UNKNOWN_ID
    assert "none" in answer.message
    cloud = np.array(FRONT, np.float32)
    ids = np.full(len(cloud), 7, np.uint32)
    points.publish(points_to_message(cloud, np.zeros((len(cloud), 3), np.uint8), 1, "map", ids))
    labels.publish(LabelInfo(class_map=[VisionClass(class_id=3, class_name="box")]))
    detection = Detection3D(id="find/7")
    detection.bbox.center.position.x, detection.bbox.center.position.y = 0.3, 1.2
    detection.bbox.center.position.z = 0.9
    detection.bbox.center.orientation.w = 1.0
    detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z = 0.35, 0.1, 0.65
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id = "3"
    detection.results = [result]
    detections.publish(Detection3DArray(detections=[detection]))
    answer = wait_for(lambda: (found := ask(instance_id=7, surroundings_m=0.4)).success and found, 15, "the mesh")
    assert answer.label == "box"
    assert answer.header.frame_id == "map"
    assert answer.header.stamp.sec > 0
    assert list(answer.box.dimensions) == pytest.approx([0.35, 0.1, 0.65])
    assert answer.box.type == answer.box.BOX
    assert answer.box_pose == detection.bbox.center
    vertices, triangles = mesh_arrays(answer.mesh)
    assert len(triangles) > 20
    assert (np.abs(vertices - (0.3, 1.2, 0.9)) <= np.array([0.35, 0.1, 0.65]) / 2 + 0.11).all()
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    there, back = (np.unique(item, axis=0, return_counts=True) for item in (edges, edges[:, ::-1]))
    assert np.array_equal(there[0], back[0])
    assert np.array_equal(there[1], back[1])
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() > 0
    # The camera is at y = 0: what it sees faces it.
    front = (np.abs(vertices[triangles][..., 1] - 1.2) < 0.02).all(axis=1)
    assert np.cross(b - a, c - a)[front, 1].max() < 0
    around, other = mesh_arrays(answer.surroundings)
    assert len(other) > 20
    assert np.abs(around[:, 1] - 1.5).min() < 0.02, "the wall is around it"
    assert len(ask(instance_id=7).surroundings.triangles) == 0
    assert ask(instance_id=8).code == GetInstanceMesh.Response.UNKNOWN_ID
    for value in (-1.0, 100.0, float("nan")):
        assert ask(instance_id=7, surroundings_m=value).code == GetInstanceMesh.Response.INVALID_REQUEST
    node.worker.submit(node._mapper.reset).result(10)
    answer = wait_for(lambda: (found := ask(instance_id=7)).code and found, 15, "a refusal")
    assert answer.code == answer.NO_SURFACE
