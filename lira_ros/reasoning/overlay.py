"""Draw what a reasoner saw into the keyframe's image, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lira_ros.lettering import shortened, text_width, wrapped, write
from lira_ros.reasoning.contracts import Candidate, CandidateSet, Role

# Orange, blue and grey of the palette that colour-blind people tell apart (Okabe and Ito, 2008), a little lighter.
ROLE_COLORS = {Role.TARGET: (255, 150, 20), Role.ANCHOR: (70, 180, 255), Role.CONTEXT: (200, 200, 200)}
ROLE_WORDS = {Role.TARGET: "asked for", Role.ANCHOR: "referred to", Role.CONTEXT: "others"}
_INK = (20, 20, 22)
_PAPER = (250, 250, 248)
_MUTED = (110, 113, 120)
_TINT = 0.42
# Letters are this share of the width, within what can be read and what covers too much.
_LETTER_SHARE = 1 / 46
_LETTER_RANGE_PX = (11, 40)
# A label this near to a thing touches it.
_TOUCH_PX = 2
# A label is no wider than this share of the picture.
_LABEL_SHARE = 0.34
# A small picture is enlarged until its longer side has about this length; a sheet has at least half this width.
_SHEET_WIDTH_PX = 900
_TITLE_LINES = 4
# Lines below the picture; more are in the JSON beside it.
_LISTED = 12

_LEFT_TO_RIGHT_MARK = "\u200e"

_Box = tuple[int, int, int, int]  # left, top, right, bottom [px]


def draw_overlay(color: NDArray[np.uint8], candidates: CandidateSet, title: str) -> NDArray[np.uint8]:
    """Return a copy of the (H, W, 3) RGB image with masks and names by role, under a line with the title.

    The pixels are those of the image, so that it fits what else is known of the keyframe.
    """
    letters = _letter_size(color.shape[1])
    picture = Image.fromarray(_painted(color, candidates))
    strip = round(1.7 * letters)
    width, height = picture.size
    if height > 4 * strip:
        band = Image.new("RGB", (width, strip), _INK)
        picture.paste(Image.blend(picture.crop((0, 0, width, strip)), band, 0.7), (0, 0))
        pad = letters // 2
        write(picture, shortened(title, width - 2 * pad, letters), (pad, round(1.2 * letters)), letters, _PAPER)
        taken = [(0, 0, width, strip)]
    else:
        taken = []
    _label(picture, [(item, _words(item)) for item in _named(candidates)], letters, taken)
    return np.asarray(picture)


def draw_sheet(color: NDArray[np.uint8], candidates: CandidateSet, title: str) -> NDArray[np.uint8]:
    """Return a sheet for people: the title, the (H, W, 3) RGB image with masks and names, what the colours mean.

    A list below says why each thing is there; its numbers are the ids of the candidates. Small images are enlarged by
    a whole factor; masks of another size than the image are left out.
    """
    factor = max(1, round(_SHEET_WIDTH_PX / max(color.shape[:2])))
    size = (color.shape[1] * factor, color.shape[0] * factor)
    color = np.asarray(cv2.resize(color, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    width, height = max(size[0], _SHEET_WIDTH_PX // 2), size[1]
    letters = _letter_size(width)
    pad, line = letters, round(1.5 * letters)
    picture = Image.fromarray(_painted(color, candidates))
    named = [(item, f"{item.id} {_words(item)}") for item in _named(candidates)]
    _label(picture, named, letters, [])

    large = round(1.25 * letters)
    lines = wrapped(title, width - 2 * pad, large, _TITLE_LINES, bold=True)
    head = round(0.6 * line) + len(lines) * round(1.5 * large) + line
    listed = named[:_LISTED]
    foot = 2 * line + line * (len(listed) + (len(named) > len(listed))) + round(0.4 * line)
    sheet = Image.new("RGB", (width, head + height + foot), _PAPER)
    sheet.paste(picture, (0, head))
    y = round(0.4 * line) + large
    for text in lines:
        write(sheet, text, (pad, y), large, _INK, bold=True)
        y += round(1.5 * large)
    said = f"{candidates.model}, {candidates.latency_s:.2f} s"
    write(sheet, shortened(said, width - 2 * pad, letters), (pad, y), letters, _MUTED)

    y = head + height + round(1.3 * line)
    _legend(sheet, candidates, (pad, y), letters)
    for item, words in listed:
        y += line
        _swatch(sheet, item.role, (pad, y), letters)
        x = pad + 2 * letters
        name = shortened(words, width // 2, letters, bold=True)
        write(sheet, name, (x, y), letters, _INK, bold=True)
        x += text_width(name, letters, bold=True) + letters
        if item.reason:
            write(sheet, shortened(item.reason, width - pad - x, letters), (x, y), letters, _MUTED)
    if len(named) > len(listed):
        write(sheet, f"and {len(named) - len(listed)} more", (pad + 2 * letters, y + line), letters, _MUTED)
    return np.asarray(sheet)


def _letter_size(width_px: int) -> int:
    return int(np.clip(round(width_px * _LETTER_SHARE), *_LETTER_RANGE_PX))


def _named(candidates: CandidateSet) -> list[Candidate]:
    """Return the candidates that get a name, most important first."""
    found = [item for item in candidates.candidates if item.role != Role.CONTEXT]
    return sorted(found, key=lambda item: (item.role, -item.score))


def _words(candidate: Candidate) -> str:
    # The mark keeps the number behind a name that is written from right to left.
    return f"{candidate.label or '?'}{_LEFT_TO_RIGHT_MARK} {candidate.score:.2f}"


def _painted(color: NDArray[np.uint8], candidates: CandidateSet) -> NDArray[np.uint8]:
    """Return a copy with masks tinted and outlined, the most important on top."""
    picture = color.copy()
    height, width = color.shape[:2]
    line_px = max(1, round(width / 500))
    for candidate in sorted(candidates.candidates, key=lambda item: (-item.role, item.score)):
        mask = _enlarged(candidate.mask, width, height)
        if mask is None:
            continue
        tint = np.array(ROLE_COLORS[candidate.role], dtype=np.float32)
        if candidate.role != Role.CONTEXT:
            picture[mask] = ((1 - _TINT) * picture[mask] + _TINT * tint).astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        # A dark rim under the line: seen on white and on black.
        thick = line_px if candidate.role == Role.CONTEXT else 2 * line_px
        cv2.drawContours(picture, contours, -1, _INK, thick + 2 * line_px, cv2.LINE_AA)
        cv2.drawContours(picture, contours, -1, ROLE_COLORS[candidate.role], thick, cv2.LINE_AA)
    return picture


def _enlarged(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_] | None:
    """Return a mask in the size of the picture, None when the picture is not a whole multiple of it."""
    rows, columns = mask.shape
    if rows == 0 or columns == 0 or height % rows or width % columns or height // rows != width // columns:
        return None
    factor = height // rows
    return mask if factor == 1 else np.repeat(np.repeat(mask, factor, axis=0), factor, axis=1)


@dataclass(frozen=True)
class _Thing:
    """Where a candidate is. box: around its mask. center: a pixel deep within it."""

    box: _Box
    center: tuple[int, int]


def _thing(candidate: Candidate, width: int, height: int) -> _Thing | None:
    mask = _enlarged(candidate.mask, width, height)
    if mask is None or not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    part = np.pad(mask[top:bottom, left:right], 1).astype(np.uint8)
    depth = cv2.distanceTransform(part, cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return _Thing((left, top, right, bottom), (left + int(column) - 1, top + int(row) - 1))


def _label(picture: Image.Image, named: list[tuple[Candidate, str]], letters: int, taken: list[_Box]) -> None:
    """Write names beside things, none over another; one that finds no room is left to its outline.

    taken: boxes that stay free; those of the names are added.
    """
    width, height = picture.size
    things = [(item, words, _thing(item, width, height)) for item, words in named]
    boxes = [thing.box for _, _, thing in things if thing is not None]
    pad = max(2, letters // 4)
    placed: list[tuple[Candidate, str, _Thing, _Box]] = []
    for item, words, thing in things:
        if thing is None:
            continue
        text = shortened(words, round(_LABEL_SHARE * width), letters, bold=True)
        size = (text_width(text, letters, bold=True) + 2 * pad, round(1.25 * letters) + pad)
        others = [box for box in boxes if box != thing.box]
        free = [box for box in _places(thing, size, (width, height)) if not any(_shared(box, used) for used in taken)]
        if free:
            box = min(free, key=partial(_cost, thing=thing, others=others, width=width))
            taken.append(box)
            placed.append((item, text, thing, box))
    canvas = np.array(picture)
    for item, _, thing, box in placed:
        _connect(canvas, box, thing, ROLE_COLORS[item.role], max(1, letters // 9))
    picture.paste(Image.fromarray(canvas))
    for item, text, _, box in placed:
        picture.paste(_INK, (box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1))
        picture.paste(ROLE_COLORS[item.role], box)
        write(picture, text, (box[0] + pad, box[1] + pad // 2 + letters), letters, _INK, bold=True)


def _cost(box: _Box, thing: _Thing, others: list[_Box], width: int) -> float:
    """Return how bad a place for a name is: what it hides of other things, and how far it is from its own."""
    (left, top, right, bottom), area = thing.box, (box[2] - box[0]) * (box[3] - box[1])
    across = max(0, left - box[2] - _TOUCH_PX, box[0] - right - _TOUCH_PX)
    down = max(0, top - box[3] - _TOUCH_PX, box[1] - bottom - _TOUCH_PX)
    # A name on another thing is as bad as one a quarter of the picture away.
    return sum(_shared(box, other) for other in others) / area + 4 * (across + down) / width


def _places(thing: _Thing, size: tuple[int, int], picture: tuple[int, int]) -> Iterator[_Box]:
    """Yield boxes of a size near a thing and within the picture: above, below, beside, on it, then all around."""
    (left, top, right, bottom), (x, y) = thing.box, thing.center
    width, height = size
    corners = [
        (left, top - height - 1),
        (left, bottom + 1),
        (right - width, top - height - 1),
        (right - width, bottom + 1),
        (right + 1, y - height // 2),
        (left - width - 1, y - height // 2),
        (x - width // 2, y - height // 2),
    ]
    for ring in (1, 2, 3, 5, 8):
        corners += [
            (x - width // 2 + column * width * 2 // 3, y - height // 2 + row * (height + 2) * ring)
            for row, column in product((-1, 1, 0), (0, -1, 1, -2, 2))
        ]
    for corner in corners:
        # Moved into the picture where it would reach out.
        box_left = min(max(1, corner[0]), picture[0] - width - 1)
        box_top = min(max(1, corner[1]), picture[1] - height - 1)
        if box_left >= 1 and box_top >= 1:
            yield box_left, box_top, box_left + width, box_top + height


def _shared(a: _Box, b: _Box) -> int:
    """Return how many pixels two boxes share."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0, across) * max(0, down)


def _connect(canvas: NDArray[np.uint8], box: _Box, thing: _Thing, color: tuple[int, int, int], thick_px: int) -> None:
    """Draw a line from a name to the thing that it names, where it does not touch it."""
    left, top, right, bottom = thing.box
    grown = (left - _TOUCH_PX, top - _TOUCH_PX, right + _TOUCH_PX, bottom + _TOUCH_PX)
    if box[2] >= grown[0] and box[0] <= grown[2] and box[3] >= grown[1] and box[1] <= grown[3]:
        return
    x, y = thing.center
    start = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
    for thickness, ink in ((thick_px + 2, _INK), (thick_px, color)):
        cv2.line(canvas, start, (x, y), ink, thickness, cv2.LINE_AA)
        cv2.circle(canvas, (x, y), 2 * thickness, ink, -1, cv2.LINE_AA)


def _swatch(sheet: Image.Image, role: Role, place: tuple[int, int], letters: int) -> None:
    x, y = place
    sheet.paste(_INK, (x, y - letters + 1, x + letters + 2, y + 3))
    sheet.paste(ROLE_COLORS[role], (x + 1, y - letters + 2, x + letters + 1, y + 2))


def _legend(sheet: Image.Image, candidates: CandidateSet, place: tuple[int, int], letters: int) -> None:
    x, y = place
    for role, words in ROLE_WORDS.items():
        count = sum(item.role == role for item in candidates.candidates)
        _swatch(sheet, role, (x, y), letters)
        text = f"{count} {words}"
        write(sheet, text, (x + 2 * letters, y), letters, _INK)
        x += 2 * letters + text_width(text, letters) + 2 * letters
