import pytest

from lira_ros.reasoning.knowledge import classes
from lira_ros.reasoning.knowledge.uses import uses
from lira_ros.reasoning.language.usefulness import mentioned
from lira_ros.reasoning.relevance import CONFORM_SCORE, LanguageConfiguration, create_relevance


@pytest.fixture(scope="module")
def usefulness():
    relevance = create_relevance(LanguageConfiguration())
    if relevance.encoder is None:
        pytest.skip("the sentence encoder is not installed")
    return relevance._usefulness


def test_uses_are_told_of_known_classes_once():
    assert set(uses()) <= set(classes())
    statements = [statement for own in uses().values() for statement in own]
    assert all(statement == statement.strip() and statement for statement in statements)
    assert all(len(own) == len(set(own)) for own in uses().values())


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("I knocked over a glass of wine", "tissue"),
        ("my shirt is full of creases", "iron"),
        ("the baby is tired", "crib"),
        ("there are flames in the pan", "fire extinguisher"),
        ("I want to phone my sister", "phone"),
        ("where can the laptop be plugged in", "outlet"),
        ("how late is it", "clock"),
        ("I cut my finger and need a plaster", "first aid kit"),
    ],
)
def test_needs_choose_among_all_known_classes(usefulness, text, best):
    scores = usefulness.of(text)
    assert max(scores, key=scores.__getitem__) == best
    assert scores[best] >= CONFORM_SCORE
    assert set(scores) == set(classes())


@pytest.mark.parametrize("text", ["the stock market went up", "he voted for her"])
def test_nothing_answers_what_is_no_need(usefulness, text):
    assert max(usefulness.of(text).values()) < CONFORM_SCORE


def test_a_kind_is_preferred(usefulness):
    plain, container = (
        usefulness.of("carry water to the plants"),
        usefulness.of("carry water to the plants", "container"),
    )
    assert container["bucket"] / container["towel"] > plain["bucket"] / plain["towel"]


def test_what_the_need_itself_names_is_mentioned():
    assert mentioned("where can I put the milk and my wet gloves") == {"juice"}
    assert mentioned("the books lie on a table") == {"book", "table"}
    assert mentioned("we drink and plant and iron") == frozenset()
