"""What the page shows of the robot's world, as JSON values and binary frames."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Instance, InstructionStatus, OrientedBox, Verdict
from lira_ros.web.frames import frame, number, numbers

# Pictures as wide as the page shows them; JPEG of this quality shows masks and lettering without smears.
PICTURE_WIDTH_PX, PICTURE_QUALITY = 640, 78
# So many voxels draw a sofa of 2 cm voxels; of larger things every n-th is shown.
MOST_VOXELS = 12_000
# The way is drawn as a line of so many points at most, on a screen of about as many pixels.
MOST_WAY_POINTS = 2_000
# Of the diagnostics of a node, which have a hundred values.
TOLD_VALUES = frozenset(("state", "paused", "session", "frames mapped", "reasoner", "instances", "map keyframes"))
TOLD_BEGINNINGS = ("input ", "stage sensor stamp", "problem ")
MOST_VALUES = 40
# Positions within a region of the surface are told in so many steps: hundredths of a millimetre.
STEPS = 65_535


def region_frame(
    name: str, vertices: NDArray[np.float32], triangles: NDArray[np.uint32], colors: NDArray[np.uint8]
) -> bytes:
    """Return a part of the surface: (V, 3) vertices [m], (T, 3) indices and (V, 3) RGB; V > 0."""
    low = vertices.min(axis=0)
    step = np.maximum((vertices.max(axis=0) - low) / STEPS, np.finfo(np.float32).tiny)
    positions = np.rint((vertices - low) / step).astype(np.uint16)
    indices = triangles.astype(np.uint16 if len(vertices) <= STEPS + 1 else np.uint32)
    head = {
        "kind": "region",
        "name": name,
        "origin": [float(value) for value in low],
        "step": [float(value) for value in step],
    }
    return frame(head, positions.ravel(), colors.ravel(), indices.ravel())


def voxels_frame(instance: Instance) -> bytes:
    """Return the voxels of an instance, at most MOST_VOXELS of them, spread evenly."""
    voxels = instance.voxels[:: max(1, -(-len(instance.voxels) // MOST_VOXELS))]
    origin = np.rint(instance.box.T_map_box[:3, 3] / instance.voxel_size_m).astype(np.int64)
    near = np.clip(voxels - origin, -32768, 32767).astype(np.int16)
    head = {
        "kind": "voxels",
        "name": str(instance.id),
        "origin": numbers(origin * instance.voxel_size_m),
        "size_m": number(instance.voxel_size_m),
    }
    return frame(head, near.ravel())


def picture_frame(color: NDArray[np.uint8], source: str) -> bytes:
    """Return a (H, W, 3) RGB picture as a JPEG, no wider than the page shows it. source: what it is, in a word."""
    height, width = color.shape[:2]
    if width > PICTURE_WIDTH_PX:
        size = (PICTURE_WIDTH_PX, max(1, round(height * PICTURE_WIDTH_PX / width)))
        color = np.asarray(cv2.resize(color, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(color, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, PICTURE_QUALITY])
    head = {"kind": "picture", "name": "", "source": source, "width": color.shape[1], "height": color.shape[0]}
    return frame(head, np.asarray(data, dtype=np.uint8).ravel())


def way_frame(points: NDArray[np.floating]) -> bytes:
    """Return the way of the camera, (N, 3) points [m] in order, at most MOST_WAY_POINTS and always the last."""
    every = max(1, -(-len(points) // MOST_WAY_POINTS))
    thinned = points[::-1][::every][::-1]
    return frame({"kind": "way", "name": ""}, thinned.astype(np.float32).ravel())


def pose_value(T_map_camera: NDArray[np.floating]) -> dict[str, object]:
    """Return where the camera is: the first three rows of T_map_camera."""
    return {"rows": numbers(T_map_camera[:3])}


def box_value(box: OrientedBox) -> dict[str, object]:
    """Return an oriented box: the first three rows of T_map_box and the size [m]."""
    return {"rows": numbers(box.T_map_box[:3]), "size_m": numbers(box.size_m)}


def instance_value(instance: Instance, verdicts: Mapping[str, Verdict]) -> dict[str, object]:
    """Return what the page tells of an instance; verdicts: by instruction id."""
    attributes = instance.attributes
    return {
        "id": instance.id,
        "label": instance.label,
        "label_confidence": number(instance.label_confidence),
        "existence": number(instance.existence),
        "confirmed": bool(instance.state),
        "names": [[name, number(share)] for name, share in list(instance.names.items())[:5]],
        "colors": [[name, number(share)] for name, share in list(instance.colors.items())[:3]],
        "size_m": numbers(instance.box.size_m),
        "bottom_height_m": number(attributes.bottom_height_m),
        "box": box_value(instance.box),
        "observations": instance.observations,
        "merged_from": list(instance.merged_from)[:20],
        "verdicts": {
            name: {"verdict": verdict.conformity.name.lower(), "score": number(verdict.score), "reason": verdict.reason}
            for name, verdict in sorted(verdicts.items())
        },
    }


def instruction_value(text: str, understood: str, order: int, status: InstructionStatus | None) -> dict[str, object]:
    """Return what the page tells of an instruction; order: by time of submission, from 0."""
    value: dict[str, object] = {"text": text, "understood": understood, "order": order}
    if status is None:
        return {**value, "state": "pending", "reason": "", "answered": 0, "pending": 0, "judged": 0, "found": 0}
    return {
        **value,
        "state": status.state.name.lower(),
        "reason": status.reason,
        "answered": status.keyframes_answered,
        "pending": status.keyframes_pending,
        "judged": status.instances_judged,
        "found": status.instances_found,
    }


def mean_up(rotations: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """Return the direction that is up for (N, 3, 3) orientations of an optical camera, None without one.

    The y axis of an optical frame points down in its image, and cameras are carried upright on the whole.
    """
    total = -np.asarray(rotations, dtype=np.float64).reshape(-1, 3, 3)[:, :, 1].sum(axis=0)
    length = float(np.linalg.norm(total))
    return total / length if length > 0.0 else None


def health_value(level: int, message: str, values: Mapping[str, str]) -> dict[str, object]:
    """Return what the page tells of the health of a node: what people follow out of its diagnostic values."""
    told = {key: text for key, text in values.items() if key in TOLD_VALUES or key.startswith(TOLD_BEGINNINGS)}
    return {"level": level, "message": message, "values": dict(list(told.items())[:MOST_VALUES])}
