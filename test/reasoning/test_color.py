import numpy as np
import pytest

from lira_ros.reasoning.color import COLORS, appearance, color_name, color_shares, color_similarity, name_colors

NAMED = [
    ((255, 0, 0), "red"),
    ((120, 20, 25), "red"),
    ((30, 60, 150), "blue"),
    ((120, 170, 230), "blue"),
    ((0, 128, 0), "green"),
    ((60, 90, 40), "green"),
    ((255, 255, 0), "yellow"),
    ((255, 140, 0), "orange"),
    ((139, 69, 19), "brown"),
    ((90, 60, 40), "brown"),
    ((200, 150, 100), "brown"),
    ((222, 200, 170), "beige"),
    ((128, 0, 128), "purple"),
    ((255, 192, 203), "pink"),
    ((20, 20, 22), "black"),
    ((130, 130, 130), "gray"),
    ((240, 240, 235), "white"),
    ((225, 220, 205), "white"),
]


def paint(rgb, count=200, noise=6.0):
    generator = np.random.default_rng(1)
    return np.clip(generator.normal(rgb, noise, (count, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("rgb", "name"), NAMED)
def test_typical_colors_have_their_name_despite_noise(rgb, name):
    assert color_name(paint(rgb)) == name


@pytest.mark.parametrize("shade", [0.55, 0.75, 1.0])
@pytest.mark.parametrize(("rgb", "name"), [((220, 40, 40), "red"), ((50, 90, 210), "blue"), ((60, 170, 70), "green")])
def test_a_color_keeps_its_name_in_the_shade(rgb, name, shade):
    assert color_name(paint(shade * np.array(rgb))) == name


def test_dark_pixels_beside_a_color_are_taken_for_its_shade():
    leaves = np.concatenate([paint((12, 16, 10), 130), paint((50, 110, 40), 70)])
    assert color_name(leaves) == "green"
    assert color_name(np.concatenate([paint((18, 18, 20), 190), paint((50, 110, 40), 10)])) == "black"


def test_shares_of_a_thing_of_two_colors():
    shares = color_shares(np.concatenate([paint((235, 235, 235), 150), paint((190, 20, 30), 50)]))
    assert next(iter(shares)) == "white"
    assert shares["red"] == pytest.approx(0.25, abs=0.05)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_no_points_have_no_color():
    nothing = np.zeros((0, 3), dtype=np.uint8)
    assert color_name(nothing) == ""
    assert color_shares(nothing) == {}
    assert appearance(nothing).shape == (0,)


def test_every_color_has_some_name():
    values = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3).astype(np.uint8)
    named = {COLORS[i] for i in np.unique(name_colors(grid))}
    assert named == set(COLORS) - {"silver", "gold", "copper"}


def test_similarity_is_symmetric_and_highest_for_the_same_name():
    for first in COLORS:
        assert color_similarity(first, first) == 1.0
        for second in COLORS:
            assert color_similarity(first, second) == color_similarity(second, first)
            assert first == second or color_similarity(first, second) < 1.0
    assert color_similarity("silver", "gray") > color_similarity("silver", "red") == 0.0
    assert color_similarity("beige", "brown") > color_similarity("beige", "blue")
    assert color_similarity("", "") == 0.0


def test_appearance_tells_colors_apart_and_forgives_a_change_of_light():
    red, dimmer, blue = (appearance(paint(rgb)) for rgb in ((200, 30, 40), (180, 27, 36), (40, 60, 180)))
    for vector in (red, dimmer, blue):
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    assert red @ dimmer > 0.8
    assert red @ blue < 0.3


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, 3\) uint8"):
        color_shares(np.zeros((4, 3), dtype=np.float32))
