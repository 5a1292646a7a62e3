"""lira export: turn a saved map into a file that other programs open."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lira_ros.fusion.map_export import glb_with_instances, json_of
from lira_ros.fusion.map_state import SavedInstances, read_instances
from lira_ros.mapping import mesh_files, open3d_grid
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.nav2_map import nav2_files
from lira_ros.mapping.storage import MapFile
from lira_ros.mapping.surface import Mesh
from lira_ros.state.columns import StateError

SUFFIXES = {
    ".ply": "mesh with colours, normals and labels (PLY)",
    ".glb": "mesh with colours and normals, instances as nodes, +y up (binary glTF 2.0)",
    ".json": "instances with labels, boxes, verdicts and relations",
    ".yaml": "free space for Nav2's map_server, with the image as .pgm beside it",
    ".npz": "voxels as a VoxelBlockGrid (Open3D)",
}


class ExportError(ValueError):
    """A map cannot be exported as asked for; says why."""


@dataclass(frozen=True)
class _Loaded:
    """A map file: its map, its instances (None when it has none), and the slab that is free space [m]."""

    path: Path
    mapper: Mapper
    instances: SavedInstances | None
    slab: tuple[float, float, float]

    def mesh(self, path: Path) -> Mesh:
        mesh = self.mapper.mesh()
        if len(mesh.triangles) == 0:
            weight = self.mapper.configuration.mesh_weight
            raise ExportError(f"{path}: the map has no surface where voxels weigh {weight:g}")
        return mesh


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "export",
        help=summary,
        epilog="; ".join(f"{suffix}: {meaning}" for suffix, meaning in SUFFIXES.items()),
    )
    parser.add_argument("map_file", type=Path, metavar="MAPFILE", help="a map as saved by save_map")
    parser.add_argument(
        "--to",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help=f"file to write, ending with {', '.join(SUFFIXES)}; may be repeated",
    )
    parser.add_argument(
        "--weight",
        type=float,
        default=MappingConfiguration().mesh_weight,
        metavar="W",
        help="least weight of voxels between which a surface is drawn (default: %(default)s)",
    )
    parser.add_argument(
        "--slab",
        type=float,
        nargs=3,
        default=(0.1, 1.5, 0.05),
        metavar=("BOTTOM", "TOP", "CELL"),
        help="for .yaml: heights above the floor between which something is in the way, and the edge of a cell [m] "
        "(default: 0.1 1.5 0.05, as free_space of the mapping node)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Load the map and write each file."""
    for path in options.to:
        _check(path, options.map_file)
    loaded = _loaded(options)
    for path in options.to:
        for written in _WRITERS[path.suffix.lower()](path, loaded):
            print(f"wrote {written}")
    return 0


def _check(path: Path, map_file: Path) -> None:
    # Before the map is loaded, which may take a while.
    if path.suffix.lower() not in SUFFIXES:
        raise ExportError(f"--to {path}: expected a file that ends with {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise ExportError(f"--to {path}: this is a folder")
    if not path.parent.is_dir():
        raise ExportError(f"--to {path}: there is no folder {path.parent}")
    if path.exists() and map_file.exists() and path.samefile(map_file):
        raise ExportError(f"--to {path}: this is the map itself, choose another name")


def _loaded(options: argparse.Namespace) -> _Loaded:
    weight, path = options.weight, options.map_file
    if not weight >= 0:
        raise ExportError(f"--weight: expected 0 or more, got {weight}")
    state = MapFile(path).state
    fragments = tuple(state.fragments)
    if not fragments:
        raise ExportError(f"{path}: the map is empty")
    voxel_size_m, truncation_m = fragments[0].voxel_size_m, fragments[0].truncation_m
    configuration = MappingConfiguration(
        voxel_size_m=voxel_size_m, truncation_voxels=truncation_m / voxel_size_m, mesh_weight=weight
    )
    mapper = Mapper(configuration)
    mapper.restore(state, path)
    part = state.parts.get("instances")
    try:
        instances = None if part is None else read_instances(bytes(part))
    except StateError as error:
        raise ExportError(f"{path}: {error}") from error
    return _Loaded(path, mapper, instances, tuple(options.slab))


def _write_ply(path: Path, loaded: _Loaded) -> list[Path]:
    mesh_files.write_ply(path, loaded.mesh(path))
    return [path]


def _write_glb(path: Path, loaded: _Loaded) -> list[Path]:
    return _write(path, glb_with_instances(loaded.mesh(path), loaded.mapper.up, loaded.instances))


def _write_json(path: Path, loaded: _Loaded) -> list[Path]:
    if loaded.instances is None:
        raise ExportError(f"{path}: {loaded.path} was saved without instances: fusion_node did not run, or failed")
    return _write(path, json_of(loaded.instances))


def _write_nav2(path: Path, loaded: _Loaded) -> list[Path]:
    bottom_m, top_m, resolution_m = loaded.slab
    image_path = path.with_suffix(".pgm")
    try:
        distances = loaded.mapper.distance_slice(bottom_m, top_m, resolution_m)
        image, text = nav2_files(distances, image_path.name)
    except ValueError as error:
        raise ExportError(f"{path}: {error}") from error
    return _write(image_path, image) + _write(path, text.encode())


def _write_npz(path: Path, loaded: _Loaded) -> list[Path]:
    if loaded.mapper.statistics()["fragments_on_disk"]:
        raise ExportError(f"{path}: the map takes more than half of the memory, and Open3D holds grids in memory")
    open3d_grid.write_grid(path, open3d_grid.grid_of_map(*loaded.mapper.volumes()))
    return [path]


def _write(path: Path, data: bytes) -> list[Path]:
    with partial_file(path) as partial:
        partial.write_bytes(data)
    return [path]


_WRITERS: dict[str, Callable[[Path, _Loaded], list[Path]]] = {
    ".ply": _write_ply,
    ".glb": _write_glb,
    ".json": _write_json,
    ".yaml": _write_nav2,
    ".npz": _write_npz,
}
