"""What is kept of keyframes within a budget of bytes."""

from wall_strip import wall_view

from lira_ros.reasoning.feature_cache import FeatureCache


def cache(max_bytes):
    return FeatureCache(max_bytes, len)


def held(features, *numbers):
    return [number for number in numbers if features.get(wall_view(number, 0.0)) is not None]


def test_the_least_recently_used_goes_first():
    features = cache(30)
    for number in (1, 2, 3):
        features.put(wall_view(number, 0.0), b"x" * 10)
    assert features.get(wall_view(1, 0.0)) == b"x" * 10
    features.put(wall_view(4, 0.0), b"x" * 15)  # two have to go
    assert held(features, 1, 2, 3, 4) == [1, 4]
    assert features.held_bytes == 25
    features.clear()
    assert held(features, 1, 4) == []
    assert features.held_bytes == 0


def test_a_value_that_is_replaced_is_counted_once():
    features = cache(30)
    for size in (10, 20, 5):
        features.put(wall_view(1, 0.0), b"x" * size)
        assert features.held_bytes == size
    features.put(wall_view(1, 0.0), b"x" * 31)  # what it was before is no longer true
    assert features.get(wall_view(1, 0.0)) is None
    assert features.held_bytes == 0


def test_a_value_that_is_too_large_drives_nothing_out_and_a_budget_of_nothing_keeps_nothing():
    features = cache(30)
    features.put(wall_view(1, 0.0), b"x" * 10)
    features.put(wall_view(2, 0.0), b"x" * 31)
    assert held(features, 1, 2) == [1]
    nothing = cache(0)
    nothing.put(wall_view(1, 0.0), b"x")
    assert nothing.get(wall_view(1, 0.0)) is None
    assert (nothing.held_bytes, nothing.hits, nothing.misses) == (0, 0, 1)
