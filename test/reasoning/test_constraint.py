"""What counts as a plain name."""

from __future__ import annotations

import pytest

from lira_ros.reasoning.constraint import is_plain_name
from lira_ros.reasoning.language.parser import parse


@pytest.mark.parametrize(
    "text",
    ["Find the red mug.", "chairs", "Where is the office chair?", "Show me two lamps.", "Find a sofa or an armchair."],
)
def test_names_are_plain(text: str) -> None:
    assert is_plain_name(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "Find the mug on the table.",
        "Find the largest chair.",
        "Chairs, but not the red one.",
        "The chairs that are not red.",
        "I am thirsty.",
        "Find the chair with wheels.",
        "A sofa or the chair next to the window.",
    ],
)
def test_what_takes_reasoning_is_not_plain(text: str) -> None:
    assert not is_plain_name(parse(text))
