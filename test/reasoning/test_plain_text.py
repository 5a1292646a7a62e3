"""Any text becomes one line that shows all that it holds."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lira_ros.reasoning.plain_text import plain_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  the\tred \r\n mug\u2028here\u00a0now ", "the red mug here now"),
        ("\x1b[31mred\x1b]0;title\x07\x9b2J", "[31mred]0;title2J"),
        ("\u202egum der\u202c \u2066mug\u2069\u200e", "gum der mug"),
        ("m\u200bu\u200c\u200dg\ufeff\u2060\u00ad", "mug"),
        ("m\ufe0fu\U000e0101g\u3164\u115f\u034f", "mug"),
        ("mug\U000e0041\U000e007f\ud800\ue000\uffff", "mug"),
        ("Z\u0300\u0301\u0302\u0303\u0304\u0305\u0306o", "Z\u0300\u0301\u0302\u0303o"),
        ("Käse für Öl, café, 茶碗, чашка, क्षि", "Käse für Öl, café, 茶碗, чашка, क्षि"),
        ("%s {0.__class__} $\\frac{ <b> ../..", "%s {0.__class__} $\\frac{ <b> ../.."),
        ("", ""),
        ("\x00", ""),
    ],
)
def test_what_moves_turns_or_hides_is_left_out(text, expected):
    assert plain_text(text, 100) == expected


def test_long_texts_are_cut_and_say_so():
    assert plain_text("a" * 100, 100) == "a" * 100
    assert plain_text("a" * 101, 100) == "a" * 97 + "..."
    assert plain_text("\x00" * 1000 + "a", 100) == "..."
    assert plain_text("abc", 2) == ".."
    assert len(plain_text("\u202ea" * 10**6, 50)) == 50


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=60), st.integers(0, 40))
def test_the_outcome_is_printable_bounded_and_stays_as_it_is(text, limit):
    line = plain_text(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    assert not any(unicodedata.category(character).startswith("C") for character in line)
    assert plain_text(line, limit) == line
