import pytest

from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.language.situations import asks_for_use, states_situation


@pytest.mark.parametrize(
    "text",
    [
        "the kettle must boil soon",
        "my plants should survive the summer",
        "the parrot whistles every morning",
        "guests arrive at seven",
        "the baby wants to crawl",
        "after jogging around the lake",
        "it purrs",
    ],
)
def test_what_happens_is_a_situation(text):
    assert states_situation(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "the red chair",
        "the trash can near the door",
        "the chair that must be repaired",
        "the lamp should be red",
        "the box should be on the table",
        "the shelf holds books",
        "the lamp stands near the bed",
        "every lamp must be marked",
        "which lamp stands near the bed",
        "lamps and a candle",
    ],
)
def test_what_a_thing_is_or_where_it_is_is_none(text):
    assert not states_situation(text.split())


@pytest.mark.parametrize(
    "text",
    ["in what do i boil rice", "what would you throw to a seal", "what dries wet boots", "on what does one iron"],
)
def test_a_question_for_a_use(text):
    assert asks_for_use(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "on what does the mug stand",
        "what do you see on the table",
        "what is under the bed",
        "what stands near the lamp",
    ],
)
def test_a_question_for_a_place_is_none(text):
    assert not asks_for_use(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "Two ears and a trunk, but no legs.",
        "The parrot loves to hide in it.",
        "In what does a sailor pack his belongings?",
        "What is opened against hail and sleet?",
    ],
)
def test_riddles_are_compared_as_a_whole(text):
    constraint = parse(text)
    assert constraint.phrase.implicit or not constraint.phrase.head
    assert not constraint.alternatives
    assert not constraint.excluded


def test_a_wish_for_a_colour_belongs_to_the_riddle():
    constraint = parse("In what does a sailor pack his belongings? If possible in green, and in no other colour.")
    assert constraint.phrase.implicit
    assert constraint.phrase.colors == ("green",)
    assert not constraint.relations
