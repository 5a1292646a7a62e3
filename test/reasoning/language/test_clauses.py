import pytest

from lira_ros.reasoning.constraint import RankKind
from lira_ros.reasoning.language.clauses import read_restriction, split_requests, without_asides


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("find the lamp , if there is one", "find the lamp"),
        ("find all lamps , each of them", "find all lamps"),
        ("find the lamp in this home", "find the lamp"),
        ("the place where the lamp is at the moment", "the lamp"),
        ("the third box from the top", "the third highest box"),
        ("a bottle can be found on this desk", "this desk with a bottle on it"),
        ("is the front door open or closed", "find the front door"),
        ("where are the jackets kept", "find the jackets"),
        ("the bigger of the two boxes", "the bigger boxes"),
        ("the mug on the table or desk", "the mug on the table or desk"),
        ("is the mug on the table or desk", "is the mug on the table or desk"),
    ],
)
def test_wordings_become_plain(text, kept):
    assert " ".join(without_asides(text.split())) == kept


def test_a_second_request_is_a_part_of_its_own():
    parts = split_requests(["look", "into", "the", "box", "and", "find", "the", "ball", "in", "it"])
    assert [" ".join(part) for part in parts] == ["look into the box", "find the ball in it"]


def test_things_in_a_row_are_one_request():
    assert len(split_requests(["find", "the", "box", "and", "the", "ball"])) == 1


@pytest.mark.parametrize(
    ("text", "colors", "excluded"),
    [
        ("it has to be red", ["red"], []),
        ("leave out what is not white", ["white"], []),
        ("but not the blue one", [], ["blue"]),
        ("skip whatever is of another color than blue", ["blue"], []),
        ("if possible in green , and in no other color", ["green"], []),
    ],
)
def test_restrictions_to_colours(text, colors, excluded):
    draft = read_restriction(text.split())
    assert (draft.colors, draft.excluded_colors) == (colors, excluded)


def test_restriction_to_a_rank():
    draft = read_restriction(["compare", "their", "sizes", "and", "take", "the", "second", "largest"])
    assert (draft.rank.kind, draft.rank.descending, draft.rank.ordinal) == (RankKind.SIZE, True, 2)


@pytest.mark.parametrize("text", ["next to the red one", "the red lamp", "it is nice", "red " * 17])
def test_what_names_or_places_something_is_no_restriction(text):
    assert read_restriction(text.split()) is None
