"""A saved map for other programs: the mesh with its instances as parts of their own, and what is known of them."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.map_state import SavedInstances
from lira_ros.mapping.mesh_files import cut_out, glb_bytes
from lira_ros.mapping.surface import Mesh


def glb_with_instances(mesh: Mesh, up: NDArray[np.floating], saved: SavedInstances | None) -> bytes:
    """Return a GLB file in which each instance is a node "LABEL ID"; raises ValueError for a map without surface."""
    if saved is None:
        return glb_bytes(mesh, up)
    drawn = {key: item for key, item in saved.voxels.items() if len(item.voxels)}
    points = {key: item.voxels.astype(np.float64) * item.voxel_size_m for key, item in drawn.items()}
    reach_m = max((item.voxel_size_m for item in drawn.values()), default=0.0)
    rest, parts = cut_out(mesh, points, reach_m)
    labels = {item["id"]: str(item.get("label") or "thing") for item in saved.document["instances"]}
    return glb_bytes(rest, up, [(f"{labels.get(key, 'thing')} {key}", part) for key, part in parts.items()])


def json_of(saved: SavedInstances) -> bytes:
    """Return the document of map_document() for people to read."""
    return (json.dumps(saved.document, indent=1, ensure_ascii=False) + "\n").encode()
