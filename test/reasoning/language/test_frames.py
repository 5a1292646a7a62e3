import pytest

from lira_ros.reasoning.constraint import Rank, RankKind, RelationKind
from lira_ros.reasoning.language.frames import between_frame, distance_frame, holder_frame, mentions, reference_frame


def heads(draft):
    return [anchor.phrase.head for relation in draft.relations for anchor in relation.anchors]


def test_mentions_are_noun_phrases_in_order():
    found = mentions(["the", "red", "lamp", "stands", "between", "the", "sofa", "and", "a", "small", "box"])
    assert [mention.draft.head for mention in found] == ["lamp", "sofa", "box"]
    assert found[0].draft.colors == ["red"]


def test_a_rank_by_distance_finds_its_anchor_elsewhere():
    draft = distance_frame(["measured", "from", "the", "sofa", ",", "which", "lamp", "is", "the", "second", "nearest"])
    assert draft.head == "lamp"
    assert isinstance(draft.rank, Rank)
    assert draft.rank.kind is RankKind.DISTANCE
    assert (draft.rank.descending, draft.rank.ordinal, draft.rank.anchor.phrase.head) == (False, 2, "sofa")


def test_an_orange_thing_is_no_fruit():
    assert (
        distance_frame(
            [
                "the",
                "lamp",
                "at",
                "the",
                "closest",
                "distance",
                "from",
                "the",
                "orange",
                "object",
                "in",
                "class",
                "sink",
            ]
        )
        is None
    )


@pytest.mark.parametrize("text", ["the nearest lamp to the sofa", "which lamp is red"])
def test_no_distance_frame_where_the_anchor_follows_or_nothing_is_ranked(text):
    assert distance_frame(text.split()) is None


def test_distances_have_a_reference():
    anchor, ranked = reference_frame(["compare", "the", "distances", "of", "the", "lamps", "to", "the", "door"])
    assert (anchor.head, ranked.head) == ("door", "lamp")
    assert reference_frame(["the", "lamp", "is", "red"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "the sofa is on one side and the lamp on the other side , find the box",
        "on the way from the sofa to the lamp there is the box",
    ],
)
def test_between_in_other_words(text):
    draft = between_frame(text.split())
    assert draft.head == "box"
    assert draft.relations[0].kind is RelationKind.BETWEEN
    assert sorted(heads(draft)) == ["lamp", "sofa"]


def test_between_needs_three_things():
    assert between_frame(["the", "sofa", "is", "on", "one", "side"]) is None


@pytest.mark.parametrize(
    ("text", "kind", "head"),
    [
        ("what does the mug stand on", RelationKind.HOLDS, "mug"),
        ("on what is the mug standing", RelationKind.HOLDS, "mug"),
        ("which object carries the lamp", RelationKind.HOLDS, "lamp"),
        ("what does the box contain", RelationKind.INSIDE, "box"),
    ],
)
def test_what_carries_and_what_is_contained(text, kind, head):
    draft = holder_frame(text.split())
    assert draft.relations[0].kind is kind
    assert heads(draft) == [head]


@pytest.mark.parametrize("text", ["something to sit on", "the mug on the table", "what is red"])
def test_no_holder_is_asked_for(text):
    assert holder_frame(text.split()) is None
