import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.reasoning.contracts import Attributes
from lira_ros.reasoning.knowledge import (
    UNKNOWN,
    affordance_likelihoods,
    class_likelihoods,
    classes,
    core_noun,
    find_class,
)


def thing(length, width, height, bottom, flat=0.3, level=0.5, round_=0.6, color="", support=""):
    return Attributes(
        color, (length, width, height), bottom, bottom + height, flat, level, round_, length / width, 0.8, support
    )


TABLE_TOP = thing(1.8, 0.9, 0.04, 0.70, flat=0.95, level=1.0, round_=0.55, support="floor")
SOFA = thing(2.0, 0.95, 0.75, 0.05, flat=0.35, level=0.95, support="floor")
CHAIR = thing(0.5, 0.48, 0.85, 0.0, flat=0.3, level=0.95, support="floor")
MUG = thing(0.1, 0.09, 0.1, 0.75, round_=0.9, support="surface")


def test_table_of_classes_is_sound():
    assert len(classes()) >= 80
    seen: set[str] = set()
    for known in classes().values():
        assert known.use
        assert known.kinds
        for low, high in (known.length_m, known.width_m, known.height_m, known.top_m):
            assert low < high
        assert known.support in {"", "floor", "surface", "wall"}
        assert not seen & {known.name}
        seen.add(known.name)


@pytest.mark.parametrize(
    ("attributes", "accepted"),
    [
        (TABLE_TOP, {"table", "desk"}),
        (SOFA, {"sofa", "bed"}),
        (CHAIR, {"chair"}),
        (MUG, {"mug", "cup", "glass"}),
        (thing(0.9, 0.06, 2.0, 0.0, flat=0.95, level=0.0, support="floor"), {"door"}),
    ],
)
def test_measures_rank_the_class(attributes, accepted):
    likelihoods = class_likelihoods(attributes)
    assert next(name for name in likelihoods if name != UNKNOWN) in accepted


def test_what_measures_cannot_tell_apart_shares_the_score():
    likelihoods = class_likelihoods(MUG)
    assert max(likelihoods.values()) < 0.5
    assert min(likelihoods["mug"], likelihoods["cup"]) > 0.05


def test_an_odd_thing_is_unknown():
    likelihoods = class_likelihoods(thing(4.5, 0.03, 0.5, 1.2))
    assert max(likelihoods, key=likelihoods.get) == UNKNOWN
    assert likelihoods[UNKNOWN] > 0.5


def test_nothing_measured_is_unknown():
    assert class_likelihoods(Attributes()) == {UNKNOWN: 1.0}


def test_partial_views_are_lower_bounds():
    part = thing(0.3, 0.25, 0.04, 0.70, flat=0.95, level=1.0, support="floor")
    whole, partial = class_likelihoods(part), class_likelihoods(part, partial=True)
    assert partial["table"] > 2.0 * whole.get("table", 0.0)
    too_large = thing(5.0, 3.0, 0.04, 0.70, flat=0.95, level=1.0, support="floor")
    assert class_likelihoods(too_large, partial=True).get("nightstand", 0.0) < 0.01


measure = st.one_of(st.just(float("nan")), st.floats(0.0, 20.0))


@settings(deadline=None, max_examples=100)
@given(st.tuples(measure, measure, measure), measure, measure, measure, st.booleans())
def test_likelihoods_are_a_distribution(size, bottom, top, share, partial):
    attributes = Attributes(
        "red", size, bottom, top, min(1.0, share), min(1.0, share), min(1.0, share), 1.5, 0.5, "floor"
    )
    likelihoods = class_likelihoods(attributes, partial=partial)
    assert math.isclose(sum(likelihoods.values()), 1.0, abs_tol=1e-9)
    assert all(0.0 <= value <= 1.0 for value in likelihoods.values())
    assert UNKNOWN in likelihoods


def test_affordances_without_a_class():
    bench = affordance_likelihoods(thing(1.6, 0.4, 0.45, 0.0, flat=0.8, level=1.0, support="floor"))
    assert bench["sit"] > 0.6
    assert bench["sit_several"] > 0.6
    stool = affordance_likelihoods(thing(0.4, 0.4, 0.45, 0.0, flat=0.8, level=1.0, support="floor"))
    assert stool["sit"] > 0.6
    assert stool.get("sit_several", 0.0) < 0.1
    top = affordance_likelihoods(TABLE_TOP)
    assert top["put"] > 0.8
    assert top["write_at"] > 0.8
    assert top.get("sit", 0.0) < 0.1
    assert affordance_likelihoods(Attributes()) == {}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("couch", "sofa"),
        ("brown leather couch", "sofa"),
        ("Chairs", "chair"),
        ("tray of fruit (left)", "tray"),
        ("blue crate with bottles", "crate"),
        ("bookshelf next to the door", "bookshelf"),
        ("kitchen counters", "kitchen counter"),
        ("zeppelin", None),
        ("", None),
    ],
)
def test_labels_find_their_class(label, name):
    known = find_class(label)
    assert (known.name if known else None) == name


def test_core_noun_drops_what_follows():
    assert core_noun("white mug with a handle (chipped), on the desk") == "white mug"


def test_an_upright_panel_and_what_lies_on_furniture_are_no_seats():
    sofa = affordance_likelihoods(thing(2.0, 0.9, 0.75, 0.05, flat=0.25, level=1.0, support="floor"))
    panel = affordance_likelihoods(thing(2.0, 0.7, 0.75, 0.05, flat=0.75, level=0.0, support="floor"))
    bundle = affordance_likelihoods(thing(1.6, 0.6, 0.3, 0.45, flat=0.3, level=0.9, support="surface"))
    assert sofa["sit_several"] > 0.6
    assert panel.get("sit_several", 0.0) < 0.1
    assert bundle.get("sit_several", 0.0) < 0.1


def test_a_counter_is_no_table_however_level_and_a_seat_seen_from_above_is_no_table_either():
    counter = class_likelihoods(thing(2.8, 0.5, 0.06, 0.82, flat=0.94, level=1.0, support="floor"))
    assert counter["kitchen counter"] > 2 * counter.get("table", 0.0)
    seat = class_likelihoods(thing(0.48, 0.45, 0.06, 0.42, flat=0.9, level=1.0, support="floor"))
    assert max(seat, key=seat.get) == "chair seat"


LENGTHS = st.one_of(st.floats(0.0, 30.0), st.sampled_from([0.0, 1e-9, 1e-3, 1e6, math.inf, math.nan]))
SHARES = st.one_of(st.floats(0.0, 1.0), st.just(math.nan))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(LENGTHS, LENGTHS, LENGTHS),
    st.tuples(LENGTHS, LENGTHS),
    st.tuples(SHARES, SHARES, SHARES, SHARES),
    st.one_of(st.floats(1.0, 1e6), st.sampled_from([1e300, math.inf, math.nan])),
    st.sampled_from(["", "floor", "surface", "wall"]),
)
def test_whatever_was_measured_has_likelihoods(size_m, heights_m, shares, elongation, support):
    flatness, level, roundness, fill = shares
    attributes = Attributes("red", size_m, *heights_m, flatness, level, roundness, elongation, fill, support)
    likelihoods = class_likelihoods(attributes)
    assert all(0.0 <= value <= 1.0 for value in likelihoods.values())
    assert all(0.0 <= value <= 1.0 for value in affordance_likelihoods(attributes).values())


def test_a_line_of_voxels_is_judged_like_any_long_thing():
    # One and a half metres long and a millimetre wide, as a row of voxels along an axis is measured.
    line = Attributes("gray", (1.5, 0.001, 0.02), 0.7, 0.72, 0.9, 1.0, 0.1, 1500.0, 0.5, "surface")
    assert "table" not in class_likelihoods(line)
