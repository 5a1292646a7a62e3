import numpy as np

from lira_ros.fusion.rooms import HALF_DISTANCE_M, room_of

UP = np.array([0.0, 0.0, 1.0])


def rooms(things, up=UP):
    """Return the rooms of (name, x, y, z)."""
    places = np.array([place for _, *place in things], dtype=np.float64).reshape(-1, 3)
    return room_of([{name: 1.0} for name, *_ in things], places, up)


HOME = [
    ("refrigerator", 0.0, 0.0, 0.9),
    ("stove", 1.0, 0.0, 0.4),
    ("bed", 8.0, 0.0, 0.3),
    ("nightstand", 9.2, 0.0, 0.3),
    ("toilet", 0.0, 8.0, 0.4),
]


def test_things_are_in_the_room_of_what_stands_around():
    found = rooms([*HOME, ("mug", 0.6, 0.3, 1.0), ("mug", 8.6, 0.2, 0.6), ("picture", 0.2, 7.5, 1.5)])
    assert found == ("kitchen", "kitchen", "bedroom", "bedroom", "bathroom", "kitchen", "bedroom", "bathroom")


def test_a_thing_that_is_typical_itself_tells_its_room():
    assert rooms([("bed", 0.0, 0.0, 0.3)]) == ("bedroom",)


def test_synonyms_and_longer_names_are_known():
    assert rooms([("fridge", 0.0, 0.0, 0.9), ("double bed", 9.0, 0.0, 0.3)]) == ("kitchen", "bedroom")


def test_nothing_around_tells_nothing():
    far = 10.0 * HALF_DISTANCE_M
    assert rooms([("mug", 0.0, 0.0, 1.0)]) == ("",)
    assert rooms([("bed", 0.0, 0.0, 0.3), ("mug", far, 0.0, 1.0)]) == ("bedroom", "")
    assert rooms([]) == ()


def test_the_height_does_not_count_whichever_way_is_up():
    up = np.array([0.0, 1.0, 0.0])
    # In this frame y is up: the mug hangs high over the stove.
    found = rooms([("stove", 0.0, 0.0, 0.0), ("bed", 2.5, 0.0, 0.0), ("mug", 0.2, 5.0, 0.0)], up)
    assert found[2] == "kitchen"


def test_unsure_names_speak_less():
    places = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    names = [{"mug": 1.0}, {"bed": 0.3, "unknown": 0.7}, {"stove": 0.9, "unknown": 0.1}]
    assert room_of(names, places, UP)[0] == "kitchen"
