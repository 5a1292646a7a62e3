"""Words on pictures: any script that a font of this computer has, cut or wrapped to a width."""

from __future__ import annotations

import functools
import subprocess
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

ELLIPSIS = "…"
# A character that no font has: what is drawn for it is what is drawn for every other that is missing.
_MISSING = "\uffff"
# fontconfig answers in milliseconds; on a computer where it builds its cache first, letters stay boxes this once.
_FONT_SEARCH_S = 5.0


@functools.lru_cache
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with Matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew and more."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def text_width(text: str, size_px: int, bold: bool = False) -> int:
    """Return the width of a line of text [px]."""
    return round(sum(_length(face, part) for face, part in _runs(text, size_px, bold)))


def shortened(text: str, width_px: int, size_px: int, bold: bool = False) -> str:
    """Return the text, cut at its end with an ellipsis where it is wider than ``width_px``."""
    if text_width(text, size_px, bold) <= width_px:
        return text
    return text[: _fitting(text, width_px - text_width(ELLIPSIS, size_px, bold), size_px, bold)].rstrip() + ELLIPSIS


def _fitting(text: str, width_px: int, size_px: int, bold: bool) -> int:
    """Return how many characters of a text fit into a width."""
    fits, beyond = 0, len(text) + 1
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if text_width(text[:middle].rstrip(), size_px, bold) <= width_px:
            fits = middle
        else:
            beyond = middle
    return fits


def wrapped(text: str, width_px: int, size_px: int, max_lines: int, bold: bool = False) -> list[str]:
    """Return the text in at most ``max_lines`` lines, broken at spaces where there are some; the last may be cut."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < max_lines - 1 and text_width(rest, size_px, bold) > width_px:
        room = max(1, _fitting(rest, width_px, size_px, bold))
        space = rest.rfind(" ", 0, room + 1)
        cut = space if space > 0 else room
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, shortened(rest, width_px, size_px, bold)] if rest else lines


def write(
    picture: Image.Image,
    text: str,
    place: tuple[float, float],
    size_px: int,
    color: tuple[int, int, int],
    bold: bool = False,
) -> None:
    """Write a line of text into a picture; ``place`` is the left end of its base line [px]."""
    draw = ImageDraw.Draw(picture)
    x, y = place
    for face, part in _runs(text, size_px, bold):
        draw.text((x, y), part, fill=color, font=face, anchor="ls", direction=_direction())
        x += _length(face, part)


def _length(face: ImageFont.FreeTypeFont, part: str) -> float:
    return face.getlength(part, direction=_direction())


@functools.cache
def _direction() -> str | None:
    # A number after an Arabic word stays after it; Pillow without Raqm knows one direction only.
    return "ltr" if features.check("raqm") else None


def _runs(text: str, size_px: int, bold: bool) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
    faces = ((_font_with(character, size_px, bold), character) for character in text)
    for face, part in groupby(faces, key=lambda pair: pair[0]):
        yield face, "".join(character for _, character in part)


@functools.lru_cache(maxsize=4096)
def _font_with(character: str, size_px: int, bold: bool) -> ImageFont.FreeTypeFont:
    usual = font(size_px, bold)
    if _has(usual, character):
        return usual
    # The first word of the name of a character is its script: CJK, HANGUL, DEVANAGARI ...
    other = _font_of_script(unicodedata.name(character, "").split(" ")[0], ord(character))
    if other is None:
        return usual
    found = ImageFont.truetype(other[0], size_px, index=other[1])
    return found if _has(found, character) else usual


def _has(face: ImageFont.FreeTypeFont, character: str) -> bool:
    return character.isspace() or bytes(face.getmask(character)) != bytes(face.getmask(_MISSING))


_SCRIPT_FONTS: dict[str, tuple[str, int] | None] = {}


def _font_of_script(script: str, code: int) -> tuple[str, int] | None:
    """Ask fontconfig for a font with a character, once a script; None where it is not installed or has none."""
    if script not in _SCRIPT_FONTS:
        _SCRIPT_FONTS[script] = None
        command = ["fc-match", "--format=%{file}\n%{index}", f":charset={code:x}"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_FONT_SEARCH_S, check=True).stdout
            path, index = answer.split("\n")
            ImageFont.truetype(path, 10, index=int(index))
            _SCRIPT_FONTS[script] = (path, int(index))
        except (OSError, subprocess.SubprocessError, ValueError):
            pass
    return _SCRIPT_FONTS[script]
