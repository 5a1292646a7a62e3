"""Write what a run leaves behind: maps, pictures, timeline."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lira_ros.evaluation.pictures import instruction_picture, timeline_figure
from lira_ros.evaluation.record import RunRecord
from lira_ros.fusion.display_color import display_color
from lira_ros.fusion.instance_map import write_instance_map
from lira_ros.mapping.mesh_files import write_glb, write_ply, write_points_ply


def write_report(record: RunRecord, directory: Path) -> list[Path]:
    """Write instance_map.json, map.ply, map.glb, instances.ply, a PNG for each instruction and timeline.png.

    Returns the paths written. Raises OSError when the directory cannot be written.
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
            write_glb(written[-1], record.mesh, up)
    written.append(_write_instances(record, directory / "instances.ply"))
    if record.mesh is not None:
        for number, instruction_id in enumerate(record.instructions, start=1):
            words = re.sub(r"[^a-z0-9]+", "-", record.instructions[instruction_id].text.lower()).strip("-")[:40]
            written.append(directory / f"{number:02d}-{words.strip('-') or instruction_id}.png")
            instruction_picture(record, instruction_id).save(written[-1], optimize=True)
    written.append(directory / "timeline.png")
    figure = timeline_figure(record)
    FigureCanvasAgg(figure).print_png(str(written[-1]))
    return written


def _write_instances(record: RunRecord, path: Path) -> Path:
    instances = {item.id: item for conforming in record.conforming.values() for item in conforming}
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
