"""Write meshes and points for other programs: PLY (binary little-endian) and GLB (binary glTF 2.0).

Files are replaced only once the new one is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lira_ros.geometry.ground import level_axes
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.mapping.surface import Mesh


def _header(elements: list[tuple[str, int, list[str]]]) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", "comment units: metres, colours: RGB"]
    for name, count, properties in elements:
        lines.append(f"element {name} {count}")
        lines += [f"property {item}" for item in properties]
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii")


def _vertex_table(columns: dict[str, NDArray]) -> NDArray[np.void]:
    table = np.zeros(
        len(next(iter(columns.values()))), dtype=[(name, values.dtype.str) for name, values in columns.items()]
    )
    for name, values in columns.items():
        table[name] = values
    return table


_PROPERTY_OF = {"<f4": "float", "|u1": "uchar", "<u2": "ushort", "<i4": "int"}


def _columns(points: NDArray, colors: NDArray, normals: NDArray | None) -> dict[str, NDArray]:
    columns: dict[str, NDArray] = {}
    for i, name in enumerate("xyz"):
        columns[name] = np.asarray(points[:, i], dtype="<f4")
    if normals is not None:
        for i, name in enumerate(("nx", "ny", "nz")):
            columns[name] = np.asarray(normals[:, i], dtype="<f4")
    for i, name in enumerate(("red", "green", "blue")):
        columns[name] = np.asarray(colors[:, i], dtype="u1")
    return columns


def _write_vertices(file: BinaryIO, columns: dict[str, NDArray], more: list[tuple[str, int, list[str]]]) -> None:
    table = _vertex_table(columns)
    assert table.dtype.names is not None
    properties = [f"{_PROPERTY_OF[table.dtype[name].str]} {name}" for name in table.dtype.names]
    file.write(_header([("vertex", len(table), properties), *more]))
    file.write(table.tobytes())


def write_ply(path: str | Path, mesh: Mesh) -> None:
    """Write a triangle mesh in map coordinates with normals, colours and, as property label, the label of each vertex.

    Raises OSError when the file cannot be written.
    """
    with partial_file(path) as partial, partial.open("wb") as file:
        ply_to(file, mesh)


def ply_to(file: BinaryIO, mesh: Mesh) -> None:
    """Write what write_ply() writes into an open file."""
    columns = _columns(mesh.vertices, mesh.colors, mesh.normals)
    columns["label"] = np.asarray(mesh.labels, dtype="<u2")
    faces = np.zeros(len(mesh.triangles), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    faces["count"] = 3
    faces["corners"] = mesh.triangles
    _write_vertices(file, columns, [("face", len(faces), ["list uchar int vertex_indices"])])
    file.write(faces.tobytes())


def write_points_ply(
    path: str | Path,
    points: NDArray[np.float32],
    colors: NDArray[np.uint8],
    instance_ids: NDArray[np.integer] | None = None,
) -> None:
    """Write (N, 3) points [m] with (N, 3) uint8 RGB colours and, where given, (N,) ids as property instance_id.

    Raises ValueError when the lengths differ, OSError when the file cannot be written.
    """
    if len(points) != len(colors) or (instance_ids is not None and len(instance_ids) != len(points)):
        raise ValueError(
            f"PLY: {len(points)} points need as many colours and ids, got {len(colors)} colours"
            + ("" if instance_ids is None else f" and {len(instance_ids)} ids")
        )
    columns = _columns(points, colors, None)
    if instance_ids is not None:
        columns["instance_id"] = np.asarray(instance_ids, dtype="<i4")
    with partial_file(path) as partial, partial.open("wb") as file:
        _write_vertices(file, columns, [])


def split(mesh: Mesh, owners: NDArray[np.integer]) -> dict[int, Mesh]:
    """Cut a mesh into those of its owners; a triangle belongs to the owner (V,) of its first vertex."""
    parts = {}
    triangle_owners = np.asarray(owners)[mesh.triangles[:, 0]]
    for owner in np.unique(triangle_owners):
        used, corners = np.unique(mesh.triangles[triangle_owners == owner], return_inverse=True)
        parts[int(owner)] = Mesh(
            mesh.vertices[used],
            corners.reshape(-1, 3).astype(np.int32),
            mesh.colors[used],
            mesh.normals[used],
            mesh.labels[used],
        )
    return parts


def cut_out(mesh: Mesh, points: Mapping[int, NDArray[np.floating]], reach_m: float) -> tuple[Mesh, dict[int, Mesh]]:
    """Cut what lies within ``reach_m`` of the (N, 3) points of each instance out of a mesh.

    Returns the rest, and the parts by instance id; an instance without surface has none.
    """
    owners = np.zeros(len(mesh.vertices), np.int64)
    if points and len(mesh.vertices):
        ids = np.concatenate([np.full(len(own), key, np.int64) for key, own in points.items()])
        tree = cKDTree(np.concatenate(list(points.values())))
        distance, nearest = tree.query(mesh.vertices, distance_upper_bound=reach_m)
        near = np.isfinite(distance)
        owners[near] = ids[nearest[near]]
    parts = split(mesh, owners)
    # A map that is an instance throughout is that instance alone.
    return parts.pop(0, replace(mesh, triangles=mesh.triangles[:0])), parts


def gltf_from_map(up: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation of map coordinates into those of a GLB file, which has +y up.

    up: (3,) unit vector against gravity in the map. x of the file is the level x of level_axes(); with +z up a
    point (x, y, z) becomes (x, z, -y).
    """
    x, y = level_axes(up)
    return np.stack([x, np.cross(x, y), -y])


def write_glb(
    path: str | Path, mesh: Mesh, up: NDArray[np.floating], instances: Iterable[tuple[str, Mesh]] = ()
) -> None:
    """Write a mesh as binary glTF 2.0: metres, +y up (see gltf_from_map()), with normals and colours of the vertices.

    The mesh is the node "map"; each of ``instances`` with triangles is a node of its name, numbered where the name is
    taken. Colours are written as they are (sRGB), the way trimesh and Open3D read them. Raises ValueError when nothing
    has a triangle, OSError when the file cannot be written.
    """
    try:
        data = glb_bytes(mesh, up, instances)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with partial_file(path) as partial:
        partial.write_bytes(data)


def glb_bytes(mesh: Mesh, up: NDArray[np.floating], instances: Iterable[tuple[str, Mesh]] = ()) -> bytes:
    """Return what write_glb() writes; raises ValueError when nothing has a triangle."""
    import trimesh  # takes a second to import, and only who exports needs it

    rotation = gltf_from_map(up).astype(np.float32)
    scene = trimesh.Scene()
    for name, part in (("map", mesh), *instances):
        if len(part.triangles) == 0:
            continue
        node, number = name, 1
        while node in scene.geometry:
            number += 1
            node = f"{name} {number}"
        geometry = trimesh.Trimesh(
            vertices=part.vertices @ rotation.T,
            faces=part.triangles,
            vertex_normals=part.normals @ rotation.T,
            vertex_colors=part.colors,
            process=False,
        )
        scene.add_geometry(geometry, node_name=node, geom_name=node)
    if not scene.geometry:
        raise ValueError("the map has no surface yet, and a GLB file needs one")
    return bytes(scene.export(file_type="glb", include_normals=True))
