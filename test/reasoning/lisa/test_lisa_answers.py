import pytest

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.lisa.answers import NamedMask, check_answer, name_mask


@pytest.mark.parametrize(
    ("words", "label", "color"),
    [
        ("white sink", "sink", "white"),
        (", beige curtain", "curtain", "beige"),
        (". And a light blue shower curtain", "shower curtain", "blue"),
        ("Beige Curtain ", "curtain", "beige"),
        (", grey sofa", "sofa", "gray"),
        (", table", "table", ""),
        ("dark wooden table", "dark wooden table", ""),
        (", red", "", "red"),
        ("", "", ""),
        (",,", "", ""),
        ("the brown\n  cabinet", "cabinet", "brown"),
        ("\N{REPLACEMENT CHARACTER}\x1b[31m white sink", "sink", "white"),
    ],
)
def test_words_before_a_mask_are_colour_and_class(words, label, color):
    found = name_mask(words)
    assert "\x1b" not in found.label
    if "\x1b" not in words:
        assert found == NamedMask(label, color)


def test_a_long_text_is_cut():
    assert len(name_mask("very " * 500 + "long").label) <= 60


@pytest.mark.parametrize("text", ["No object.", " no objects", "No object"])
def test_no_object_is_an_answer(text):
    assert check_answer(text, 0, finished=True, may_be_silent=False) == ""


def test_words_that_say_nothing_are_never_nothing_there():
    with pytest.raises(ReasoningError, match="I do not know"):
        check_answer("I do not know.", 0, finished=True, may_be_silent=False)
    with pytest.raises(ReasoningError, match="cut off"):
        check_answer("No object", 0, finished=False, may_be_silent=True)
    for empty in ("", " \n"):
        with pytest.raises(ReasoningError, match="without a word"):
            check_answer(empty, 0, finished=True, may_be_silent=True)
    assert check_answer("There is no such thing.", 0, finished=True, may_be_silent=True) == ""


def test_what_was_said_before_the_cut_counts_and_the_cut_is_told():
    assert check_answer("white sink [SEG]", 1, finished=True, may_be_silent=False) == ""
    assert "cut off after 2 masks" in check_answer("a [SEG], b [SEG], c", 2, finished=False, may_be_silent=False)
