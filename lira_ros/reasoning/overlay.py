"""Draw what a reasoner saw into the keyframe's image, for people."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.contracts import CandidateSet, Role

# Targets stand out, anchors are seen, context stays in the background (RGB).
ROLE_COLORS = {Role.TARGET: (255, 140, 0), Role.ANCHOR: (0, 170, 255), Role.CONTEXT: (170, 170, 170)}

# Readable on a picture of 640 pixels; letters grow with wider ones.
FONT_SCALE = 0.45
FONT_WIDTH_PX = 800


def draw_overlay(color: NDArray[np.uint8], candidates: CandidateSet, title: str) -> NDArray[np.uint8]:
    """Return a copy of the (H, W, 3) RGB image with the masks tinted by role, names of targets, and a title line."""
    picture = color.copy()
    for role in (Role.CONTEXT, Role.ANCHOR, Role.TARGET):
        for candidate in (item for item in candidates.candidates if item.role == role):
            if candidate.mask.shape != color.shape[:2]:
                continue
            tint = np.array(ROLE_COLORS[role], dtype=np.float32)
            if role != Role.CONTEXT:
                picture[candidate.mask] = (0.55 * picture[candidate.mask] + 0.45 * tint).astype(np.uint8)
            contours, _ = cv2.findContours(candidate.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(picture, contours, -1, ROLE_COLORS[role], 1, cv2.LINE_AA)
    for candidate in (item for item in candidates.candidates if item.role != Role.CONTEXT):
        rows, columns = np.nonzero(candidate.mask)
        if len(rows):
            place = (int(columns.mean()) - 20, int(rows.mean()))
            _write(picture, f"{candidate.label or '?'} {candidate.score:.2f}", place)
    _write(picture, title, (6, round(16 * max(1.0, picture.shape[1] / FONT_WIDTH_PX))))
    return picture


def _write(picture: NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    # The built-in fonts of OpenCV hold ASCII only.
    plain = text.encode("ascii", "replace").decode("ascii")
    scale = FONT_SCALE * max(1.0, picture.shape[1] / FONT_WIDTH_PX)
    width = round(scale / FONT_SCALE)
    x, y = place
    # The rim is the text moved about: thicker letters are also wider since OpenCV 5.
    rim = [((x + dx * width, y + dy * width), (0, 0, 0)) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]
    for (left, bottom), color in [*rim, ((x, y), (255, 255, 255))]:
        cv2.putText(picture, plain, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, color, width, cv2.LINE_AA)
