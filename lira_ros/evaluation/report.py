"""Write what a run leaves behind: maps, pictures, timeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from lira_ros.evaluation.file_names import instruction_stem
from lira_ros.evaluation.pictures import instruction_picture, timeline_figure
from lira_ros.evaluation.record import RunRecord
from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.display_color import display_color
from lira_ros.fusion.instance_map import write_instance_map
from lira_ros.mapping.mesh_files import cut_out, write_glb, write_ply, write_points_ply
from lira_ros.mapping.surface import Mesh


def write_report(record: RunRecord, directory: Path) -> list[Path]:
    """Write instance_map.json, map.ply, map.glb, instances.ply, a PNG for each instruction and timeline.png.

    In map.glb what was found are nodes of their own, named by label and id. Returns the paths written.
    Raises OSError when the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    newest = record.keyframes[max(record.keyframes)] if record.keyframes else None
    up = newest.up if newest is not None else np.array([0.0, 0.0, 1.0])
    written = [directory / "instance_map.json"]
    write_instance_map(written[0], record.instructions, record.statuses, record.conforming, record.rejected, up)
    if record.mesh is not None:
        written.append(directory / "map.ply")
        write_ply(written[-1], record.mesh)
        if len(record.mesh.triangles):
            written.append(directory / "map.glb")
            _write_glb(record, record.mesh, up, written[-1])
    written.append(_write_instances(record, directory / "instances.ply"))
    if record.mesh is not None:
        for number, instruction_id in enumerate(record.instructions, start=1):
            stem = instruction_stem(number, record.instructions[instruction_id].text)
            written.append(directory / f"{stem}.png")
            instruction_picture(record, instruction_id).save(written[-1], optimize=True)
    written.append(directory / "timeline.png")
    figure = timeline_figure(record)
    FigureCanvasAgg(figure).print_png(str(written[-1]))
    return written


def _found(record: RunRecord) -> dict[int, Instance]:
    return {item.id: item for conforming in record.conforming.values() for item in conforming}


def _write_glb(record: RunRecord, mesh: Mesh, up: NDArray[np.float64], path: Path) -> None:
    # What was found are nodes of their own, named, cut out of the map.
    instances = _found(record)
    reach_m = max((item.voxel_size_m for item in instances.values()), default=0.0)
    rest, parts = cut_out(mesh, {key: item.points for key, item in instances.items()}, reach_m)
    named = [(f"{instances[owner].label or 'thing'} {owner}", part) for owner, part in parts.items()]
    write_glb(path, rest, up, named)


def _write_instances(record: RunRecord, path: Path) -> Path:
    instances = _found(record)
    points = [item.points for item in instances.values()]
    # The display colour mixed with the measured one: instances stand apart and are still recognised.
    colors = [
        (0.5 * item.voxel_colors + 127.5 * np.array(display_color(item.id))).astype(np.uint8)
        for item in instances.values()
    ]
    ids = [np.full(len(item.voxels), item.id, np.int32) for item in instances.values()]
    write_points_ply(
        path,
        np.concatenate([np.zeros((0, 3), np.float32), *points]),
        np.concatenate([np.zeros((0, 3), np.uint8), *colors]),
        np.concatenate([np.zeros(0, np.int32), *ids]),
    )
    return path
