"""Questions for unnamed things that were changed are told from questions for where things are."""

import pytest

from lira_ros.reasoning.language.changes import asks_for_change
from lira_ros.reasoning.language.parser import describe, parse


@pytest.mark.parametrize(
    "text",
    [
        "what has been moved since yesterday",
        "show me the thing that somebody took off the shelf",
        "what did anyone put in a different place while you were away",
        "something that once lay on the bed is in another room now",
        "which one has changed its place",
        "the object that used to stand by the window",
        "is anything no longer where it was",
    ],
)
def test_what_was_changed_is_asked_for(text):
    assert asks_for_change(text)
    constraint = parse(text)
    assert constraint.phrase.implicit
    assert constraint.relations == ()  # where it was once says nothing of where it is


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("Where did my mug go?", "mug"),
        ("What has been put on the sofa?", "anything, on sofa"),
        ("Tell me what has remained under the bed.", "anything, under bed"),
        ("What is not on the table?", "anything, not on table"),
        ("The lamp that was moved next to the sofa", "lamp moved, near sofa"),
    ],
)
def test_what_is_there_is_asked_for(text, understood):
    assert not asks_for_change(text.lower().strip("?."))
    assert describe(parse(text)) == understood


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("The bathroom holds several towels. Mark them.", "towel, inside bathroom"),
        ("Which plants could you spot in the hall? I need every one.", "plant, inside corridor"),
        ("Compare how tall the shelves are. Give me the second largest.", "shelf, the second largest"),
        ("Should there be more than three cups, show them. Otherwise do nothing.", "cup, if at least 4"),
        ("If there is more than one door, mark the doors.", "door, if at least 2"),
        ("Do you have a kettle here?", "kettle"),
        ("Which cushions share the colour green?", "green cushion"),
        ("Mark every chair you find.", "chair"),
    ],
)
def test_wordings_of_number_size_and_place(text, understood):
    assert describe(parse(text)) == understood
