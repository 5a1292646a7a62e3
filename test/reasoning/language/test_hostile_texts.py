import json
import sys

import pytest

from lira_ros.reasoning.contracts import MAX_INSTRUCTION_CHARACTERS
from lira_ros.reasoning.language.parser import InstructionError, describe, parse

NESTED = {
    "relations": "the cup on the table next to the chair that is between the sofa and the lamp which is behind ",
    "conjunctions": "the red chair and ",
    "commas": "the lamp, ",
    "relatives": "the chair that is ",
    "sentences": "Find the lamp. The one on the desk. ",
    "conditions": "if there are more than two ",
    "places": "what is the place where the ",
    "states": "is the lamp on or off ",
    "groups": "in the stack of ",
    "exclusions": "but not the red one ",
}


def outcome(text):
    try:
        return describe(parse(text))
    except InstructionError as error:
        return error.message


def calls(text):
    """Count the calls of Python functions that reading a text takes."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        outcome(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", NESTED.values(), ids=NESTED.keys())
def test_reading_takes_time_in_proportion_to_the_text(piece):
    long = (piece * MAX_INSTRUCTION_CHARACTERS)[:MAX_INSTRUCTION_CHARACTERS]
    outcome(long)  # what is made once is made
    # Twice the text takes twice the work; the square of it would take four times as much.
    assert calls(long) <= 3.2 * calls(long[: MAX_INSTRUCTION_CHARACTERS // 2]) + 1000


@pytest.mark.parametrize(
    "text",
    [
        "the red\x00 chair\x1b[31m",
        "the chair\r\n\tnear\vthe\x0ctable",
        "\u202ethe chair\u202c near the table",
        "the chair\u200b\ufeff near\u00a0the table",
        "\ud800 the chair",
        "../../etc/passwd near the table",
        "C:\\Windows\\chair",
        "{0.__class__} %s %n ${HOME} `ls` $(ls) chair",
        "chair'; DROP TABLE chairs; --",
        "<script>chair</script> &lt; <|im_end|> [SEG]",
        "the chair \N{POTTED PLANT}\N{ZERO WIDTH JOINER}\N{FIRE}",
        "the (((((chair))))) [[[near]]] \"the\" 'table'",
        "9" * 2000,
        "chair " + "9" * 1000 + " tables more than " + "9" * 500,
        "²³ ½ chairs ٣ tables",
        "a" * 2000,
        "a-" * 1000,
        "chair" + "\u0301" * 1000,
        "the the the of of of",
        "not not not not the chair",
    ],
)
def test_strange_texts_are_read_or_refused_and_shown_without_control_characters(text):
    shown = outcome(text)
    assert shown
    assert all(character.isprintable() for character in shown)


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "?!.,;:", "\N{FIRE}\N{POTTED PLANT}", "((()))", "\x00\x01", "\u202e"]
)
def test_texts_without_words_are_refused(text):
    with pytest.raises(InstructionError) as error:
        parse(text)
    assert error.value.code in {"EMPTY_TEXT", "NOT_UNDERSTOOD"}


@pytest.mark.parametrize(
    "text",
    ["Finde den roten Stuhl neben dem Tisch", "busca la silla roja", "找到红色的椅子", "اعثر على الكرسي", "найди стул"],
)
def test_other_languages_are_refused(text):
    with pytest.raises(InstructionError) as error:
        parse(text)
    assert error.value.code == "NOT_UNDERSTOOD"


def test_every_question_of_the_collections_is_read(shared_data):
    folder = shared_data / "language"
    questions = json.loads((folder / "open_eqa" / "open-eqa-v0.json").read_text(encoding="utf-8"))
    situations = json.loads((folder / "sqa3d" / "sqa3d_test_excerpt400.json").read_text(encoding="utf-8"))["entries"]
    texts = [entry["question"] for entry in questions]
    texts += [f"{entry['situation']} {entry['question']}" for entry in situations]
    assert all(describe(parse(text)) for text in texts)
