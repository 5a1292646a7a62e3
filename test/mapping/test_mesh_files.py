import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.mapping.mesh_files import gltf_from_map, split, write_glb, write_ply, write_points_ply
from lira_ros.mapping.surface import Mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
COLORS = np.array([[255, 0, 1], [2, 3, 4], [5, 6, 7], [8, 9, 10]], np.uint8)
LABELS = np.array([0, 7, 65535, 7], np.uint16)
TYPES = {"float": "<f4", "uchar": "u1", "ushort": "<u2", "int": "<i4"}


def read_vertices(data):
    head, body = data.split(b"end_header\n", 1)
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    count, fields, faces = 0, [], 0
    for line in lines:
        words = line.split()
        if words[:2] == ["element", "vertex"]:
            count = int(words[2])
        elif words[:2] == ["element", "face"]:
            faces = int(words[2])
        elif words[0] == "property" and words[1] != "list":
            fields.append((words[2], TYPES[words[1]]))
    dtype = np.dtype(fields)
    return np.frombuffer(body, dtype, count), faces, body[count * dtype.itemsize :]


def test_mesh_file_holds_vertices_normals_colors_and_faces(tmp_path):
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    write_ply(tmp_path / "m.ply", Mesh(POINTS, triangles, COLORS, normals, LABELS))
    vertices, faces, rest = read_vertices((tmp_path / "m.ply").read_bytes())
    np.testing.assert_array_equal(np.stack([vertices[n] for n in "xyz"], 1), POINTS)
    np.testing.assert_array_equal(np.stack([vertices[n] for n in ("red", "green", "blue")], 1), COLORS)
    np.testing.assert_array_equal(vertices["nz"], 1)
    np.testing.assert_array_equal(vertices["label"], LABELS)
    read = np.frombuffer(rest, np.dtype([("n", "u1"), ("c", "<i4", 3)]), faces)
    assert (read["n"] == 3).all()
    np.testing.assert_array_equal(read["c"], triangles)
    assert len(rest) == faces * 13


def test_points_file_holds_instance_ids_where_given(tmp_path):
    write_points_ply(tmp_path / "p.ply", POINTS, COLORS, np.array([0, 1, 1, 70000]))
    vertices, faces, rest = read_vertices((tmp_path / "p.ply").read_bytes())
    np.testing.assert_array_equal(vertices["instance_id"], (0, 1, 1, 70000))
    assert (faces, rest) == (0, b"")
    write_points_ply(tmp_path / "q.ply", POINTS[:0], COLORS[:0])
    vertices, _, _ = read_vertices((tmp_path / "q.ply").read_bytes())
    assert len(vertices) == 0
    assert "instance_id" not in vertices.dtype.names


def test_lengths_must_agree(tmp_path):
    with pytest.raises(ValueError, match="4 points"):
        write_points_ply(tmp_path / "p.ply", POINTS, COLORS[:2])
    with pytest.raises(ValueError, match="3 ids"):
        write_points_ply(tmp_path / "p.ply", POINTS, COLORS, np.zeros(3, int))


def test_open3d_reads_it(tmp_path):
    open3d = pytest.importorskip("open3d")
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    write_ply(tmp_path / "m.ply", Mesh(POINTS, triangles, COLORS, POINTS, LABELS))
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / "m.ply"))
    np.testing.assert_allclose(np.asarray(mesh.vertices), POINTS)
    np.testing.assert_array_equal(np.asarray(mesh.triangles), triangles)
    np.testing.assert_allclose(np.asarray(mesh.vertex_colors) * 255, COLORS, atol=0.01)


TETRAHEDRON = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)


def tetrahedron(shift=0.0):
    points = POINTS + np.float32(shift)
    normals = points - points.mean(axis=0)
    return Mesh(points, TETRAHEDRON, COLORS, normals / np.linalg.norm(normals, axis=1, keepdims=True), LABELS)


def test_trimesh_reads_the_ply(tmp_path):
    mesh = tetrahedron()
    write_ply(tmp_path / "m.ply", mesh)
    read = trimesh.load(tmp_path / "m.ply", process=False)
    np.testing.assert_array_equal(read.vertices, mesh.vertices)
    np.testing.assert_array_equal(read.faces, mesh.triangles)
    np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], mesh.colors)
    np.testing.assert_allclose(read.vertex_normals, mesh.normals, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda up: np.linalg.norm(up) > 0.1))
def test_the_file_of_a_map_has_y_up_and_is_not_mirrored(up):
    up = np.array(up) / np.linalg.norm(up)
    rotation = gltf_from_map(up)
    np.testing.assert_allclose(rotation @ up, (0, 1, 0), atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_a_ros_map_keeps_its_x_axis_in_a_glb():
    np.testing.assert_array_equal(gltf_from_map(np.array([0, 0, 1.0])) @ (1, 2, 3), (1, 3, -2))


@pytest.mark.parametrize("up", [(0, 0, 1), (0, -1, 0), (0.6, 0, 0.8)])
def test_trimesh_reads_the_glb_with_nodes_colors_and_normals(tmp_path, up):
    mesh, cup, other = tetrahedron(), tetrahedron(5.0), tetrahedron(7.0)
    nothing = Mesh(POINTS[:0], TETRAHEDRON[:0], COLORS[:0], POINTS[:0], LABELS[:0])
    write_glb(tmp_path / "m.glb", mesh, np.array(up), [("red cup", cup), ("red cup", other), ("gone", nothing)])
    scene = trimesh.load_scene(tmp_path / "m.glb", process=False)
    assert set(scene.graph.nodes_geometry) == {"map", "red cup", "red cup 2"}
    rotation = gltf_from_map(np.array(up))
    for name, expected in (("map", mesh), ("red cup", cup), ("red cup 2", other)):
        transform, geometry = scene.graph[name]
        read = scene.geometry[geometry]
        np.testing.assert_array_equal(transform, np.eye(4))
        np.testing.assert_allclose(read.vertices @ rotation, expected.vertices, atol=1e-5)
        np.testing.assert_array_equal(read.faces, expected.triangles)
        np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], expected.colors)
        np.testing.assert_allclose(read.vertex_normals @ rotation, expected.normals, atol=1e-5)


def test_a_glb_says_its_normals_and_colors_itself(tmp_path):
    write_glb(tmp_path / "m.glb", tetrahedron(), np.array([0, 0, 1.0]))
    data = (tmp_path / "m.glb").read_bytes()
    magic, version, length, size = struct.unpack("<4sIII", data[:16])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    attributes = json.loads(data[20 : 20 + size])["meshes"][0]["primitives"][0]["attributes"]
    assert {"POSITION", "NORMAL", "COLOR_0"} <= set(attributes)


def test_open3d_reads_the_glb(tmp_path):
    open3d = pytest.importorskip("open3d")
    mesh = tetrahedron()
    write_glb(tmp_path / "m.glb", mesh, np.array([0, 0, 1.0]))
    read = open3d.io.read_triangle_mesh(str(tmp_path / "m.glb"))
    np.testing.assert_allclose(np.asarray(read.vertices), mesh.vertices[:, [0, 2, 1]] * (1, 1, -1), atol=1e-6)
    assert len(read.triangles) == 4
    np.testing.assert_allclose(np.asarray(read.vertex_colors) * 255, COLORS, atol=0.01)


def test_a_map_without_surface_makes_no_glb(tmp_path):
    nothing = Mesh(POINTS[:0], TETRAHEDRON[:0], COLORS[:0], POINTS[:0], LABELS[:0])
    with pytest.raises(ValueError, match=r"m\.glb: the map has no surface yet"):
        write_glb(tmp_path / "m.glb", nothing, np.array([0, 0, 1.0]))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_kept_when_the_new_one_fails(tmp_path):
    path = tmp_path / "m.ply"
    path.write_text("the old one")
    bad = Mesh(POINTS, TETRAHEDRON, COLORS[:, :2], POINTS, LABELS)
    with pytest.raises(IndexError):
        write_ply(path, bad)
    with pytest.raises(FileNotFoundError):
        write_ply(tmp_path / "no_folder" / "m.ply", tetrahedron())
    assert path.read_text() == "the old one"
    assert [item.name for item in tmp_path.iterdir()] == ["m.ply"]


def test_a_mesh_is_cut_into_those_of_its_owners():
    mesh = tetrahedron()
    parts = split(mesh, np.array([0, 9, 0, 0]))
    assert set(parts) == {0, 9}
    np.testing.assert_array_equal(parts[9].triangles, [(0, 2, 1)])  # of triangle 1, 3, 2
    np.testing.assert_array_equal(parts[9].vertices, mesh.vertices[1:])
    np.testing.assert_array_equal(parts[9].labels, LABELS[1:])
    assert len(parts[0].triangles) == 3
    for part in parts.values():
        np.testing.assert_array_equal(np.linalg.norm(part.normals, axis=1).round(5), 1)
