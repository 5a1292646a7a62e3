import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lira_ros import lettering
from lira_ros.lettering import ELLIPSIS, shortened, text_width, wrapped, write

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(0, 300))
def test_a_shortened_text_fits_and_begins_like_the_whole(text, width):
    short = shortened(text, width, 12)
    assert short == text or (short.endswith(ELLIPSIS) and text.startswith(short[:-1]))
    assert text_width(short, 12) <= max(width, text_width(ELLIPSIS, 12))


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(40, 300), st.integers(1, 4))
def test_wrapped_lines_fit_and_hold_the_text_in_order(text, width, max_lines):
    lines = wrapped(text, width, 12, max_lines)
    assert len(lines) <= max_lines
    assert all(text_width(line, 12) <= width for line in lines)
    kept = "".join("".join(lines).removesuffix(ELLIPSIS).split())
    assert "".join(text.split()).startswith(kept)


def test_lines_break_at_spaces():
    assert wrapped("one two three", text_width("one two", 12) + 2, 12, 3) == ["one two", "three"]
    assert wrapped("", 100, 12, 3) == []


def test_what_is_written_is_as_wide_as_was_said():
    picture = Image.new("RGB", (300, 40))
    write(picture, "mug чашка", (5, 25), 14, (255, 255, 255))
    columns = np.flatnonzero(np.asarray(picture).any(axis=(0, 2)))
    assert columns[0] >= 5
    assert abs(columns[-1] - columns[0] - text_width("mug чашка", 14)) <= 3


@pytest.fixture
def no_fonts_known(monkeypatch):
    monkeypatch.setattr(lettering, "_SCRIPT_FONTS", {})
    lettering._font_with.cache_clear()
    yield
    lettering._font_with.cache_clear()


def test_a_script_is_looked_up_once_and_the_text_never_reaches_the_command(no_fonts_known, monkeypatch):
    asked = []

    def answer(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, f"{lettering.font(10).path}\n0")

    monkeypatch.setattr(subprocess, "run", answer)
    assert text_width("杯子 杯 mug", 12) > 0
    assert asked == [["fc-match", "--format=%{file}\n%{index}", ":charset=676f"]]


@pytest.mark.parametrize("said", ["", "/no/such/font.ttf\n0", "nonsense", FileNotFoundError("fc-match")])
def test_without_a_font_boxes_are_drawn(no_fonts_known, monkeypatch, said):
    def answer(command, **_):
        if isinstance(said, Exception):
            raise said
        return subprocess.CompletedProcess(command, 0, said)

    monkeypatch.setattr(subprocess, "run", answer)
    assert text_width("杯", 12) > 0
