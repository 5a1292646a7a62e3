"""Write meshes and points as binary little-endian PLY."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

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


_PROPERTY_OF = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


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


def write_mesh(path: str | Path, mesh: Mesh) -> None:
    """Write a coloured triangle mesh with normals; raises OSError when the file cannot be written."""
    faces = np.zeros(len(mesh.triangles), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    faces["count"] = 3
    faces["corners"] = mesh.triangles
    with Path(path).open("wb") as file:
        _write_vertices(
            file,
            _columns(mesh.vertices, mesh.colors, mesh.normals),
            [("face", len(faces), ["list uchar int vertex_indices"])],
        )
        file.write(faces.tobytes())


def write_points(
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
    with Path(path).open("wb") as file:
        _write_vertices(file, columns, [])
