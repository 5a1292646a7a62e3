import numpy as np
import pytest

from lira_ros.mapping.ply import write_mesh, write_points
from lira_ros.mapping.surface import Mesh

POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32)
COLORS = np.array([[255, 0, 1], [2, 3, 4], [5, 6, 7], [8, 9, 10]], np.uint8)
TYPES = {"float": "<f4", "uchar": "u1", "int": "<i4"}


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
    write_mesh(tmp_path / "m.ply", Mesh(POINTS, triangles, COLORS, normals))
    vertices, faces, rest = read_vertices((tmp_path / "m.ply").read_bytes())
    np.testing.assert_array_equal(np.stack([vertices[n] for n in "xyz"], 1), POINTS)
    np.testing.assert_array_equal(np.stack([vertices[n] for n in ("red", "green", "blue")], 1), COLORS)
    np.testing.assert_array_equal(vertices["nz"], 1)
    read = np.frombuffer(rest, np.dtype([("n", "u1"), ("c", "<i4", 3)]), faces)
    assert (read["n"] == 3).all()
    np.testing.assert_array_equal(read["c"], triangles)
    assert len(rest) == faces * 13


def test_points_file_holds_instance_ids_where_given(tmp_path):
    write_points(tmp_path / "p.ply", POINTS, COLORS, np.array([0, 1, 1, 70000]))
    vertices, faces, rest = read_vertices((tmp_path / "p.ply").read_bytes())
    np.testing.assert_array_equal(vertices["instance_id"], (0, 1, 1, 70000))
    assert (faces, rest) == (0, b"")
    write_points(tmp_path / "q.ply", POINTS[:0], COLORS[:0])
    vertices, _, _ = read_vertices((tmp_path / "q.ply").read_bytes())
    assert len(vertices) == 0
    assert "instance_id" not in vertices.dtype.names


def test_lengths_must_agree(tmp_path):
    with pytest.raises(ValueError, match="4 points"):
        write_points(tmp_path / "p.ply", POINTS, COLORS[:2])
    with pytest.raises(ValueError, match="3 ids"):
        write_points(tmp_path / "p.ply", POINTS, COLORS, np.zeros(3, int))


def test_open3d_reads_it(tmp_path):
    open3d = pytest.importorskip("open3d")
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    write_mesh(tmp_path / "m.ply", Mesh(POINTS, triangles, COLORS, POINTS))
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / "m.ply"))
    np.testing.assert_allclose(np.asarray(mesh.vertices), POINTS)
    np.testing.assert_array_equal(np.asarray(mesh.triangles), triangles)
    np.testing.assert_allclose(np.asarray(mesh.vertex_colors) * 255, COLORS, atol=0.01)
