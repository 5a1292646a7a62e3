import numpy as np
import pytest

from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.reasoning.overlay import ROLE_COLORS, _label, _named, _places, _shared, _Thing, draw_overlay, draw_sheet


def candidate(number, box, role=Role.TARGET, label="mug", size=(120, 160)):
    mask = np.zeros(size, bool)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = True
    return Candidate(number, mask, label, 0.5, 0.75, role, Attributes(), "it was there")


def answer(*candidates):
    return CandidateSet(1, 0, "find-1", "some model", 0.5, candidates)


@pytest.fixture
def gray():
    return np.full((120, 160, 3), 90, np.uint8)


def near(pixels, color, tolerance=2):
    return np.abs(pixels.astype(int) - color).max(-1) <= tolerance


def test_an_overlay_has_the_pixels_of_the_picture_and_a_color_for_each_role(gray):
    things = answer(
        candidate(1, (20, 60, 40, 80)),
        candidate(2, (60, 60, 80, 80), Role.ANCHOR),
        candidate(3, (100, 60, 120, 80), Role.CONTEXT),
    )
    before = gray.copy()
    drawn = draw_overlay(gray, things, "the mug")
    assert np.array_equal(gray, before)
    assert drawn.shape == gray.shape
    tinted = [drawn[72, column].astype(int) for column in (30, 70, 110)]
    assert tinted[0][0] > tinted[0][2] + 40
    assert tinted[1][2] > tinted[1][0] + 40
    assert tinted[2].tolist() == [90, 90, 90]
    for column, role in ((20, Role.TARGET), (60, Role.ANCHOR), (100, Role.CONTEXT)):
        assert near(drawn[66:76, column - 2 : column + 3], ROLE_COLORS[role], 20).any()


@pytest.mark.parametrize("seed", range(3))
def test_no_name_lies_on_another_or_outside(seed):
    """The boxes that are left free are those that names took: none of them overlap."""
    from PIL import Image

    random = np.random.default_rng(seed)
    things = []
    for number in range(25):
        left, top = int(random.integers(0, 300)), int(random.integers(0, 220))
        things.append(candidate(number, (left, top, left + 20, top + 20), size=(240, 320), label="a chair"))
    taken = [(0, 0, 320, 20)]
    _label(Image.new("RGB", (320, 240)), [(item, "a chair 0.75") for item in _named(answer(*things))], 11, taken)
    assert len(taken) > 15
    assert not any(_shared(a, b) for i, a in enumerate(taken) for b in taken[:i])
    assert all(0 <= a[0] < a[2] <= 320 and 0 <= a[1] < a[3] <= 240 for a in taken)


def test_a_name_that_is_wider_than_the_picture_has_no_place():
    assert not list(_places(_Thing((1, 1, 3, 3), (2, 2)), (300, 10), (200, 100)))
    assert list(_places(_Thing((1, 1, 3, 3), (2, 2)), (100, 10), (200, 100)))


def test_a_sheet_has_room_for_title_legend_and_reasons(gray):
    few = draw_sheet(gray, answer(candidate(1, (20, 60, 40, 80))), "the mug")
    many = draw_sheet(gray, answer(*[candidate(n, (20, 60, 40, 80)) for n in range(40)]), "the mug " * 200)
    none = draw_sheet(gray, answer(), "the mug")
    assert few.shape[1] % 160 == 0
    assert few.shape[1] > 600
    assert none.shape[0] < few.shape[0] < many.shape[0] < 4 * few.shape[0]
    factor = few.shape[1] // 160
    # The picture is in it, whole.
    assert (near(few, (90, 90, 90)).sum(1) > 100 * factor).sum() > 100 * factor


@pytest.mark.parametrize("label", ["", "чашка", "杯子", "كوب", "x" * 300, "a\x1b[31mb", "🍎", "\u202egum"])
def test_any_name_can_be_drawn(gray, label):
    drawn = draw_sheet(gray, answer(candidate(1, (20, 60, 40, 80), label=label)), label or "the mug")
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (1500, 60), (48, 64)])
def test_pictures_of_any_shape_can_be_drawn(shape):
    color = np.zeros((*shape, 3), np.uint8)
    whole = answer(candidate(1, (0, 0, shape[1], shape[0]), size=shape), candidate(2, (0, 0, 0, 0), size=shape))
    assert draw_overlay(color, whole, "the mug").shape == color.shape
    sheet = draw_sheet(color, whole, "the mug")
    assert sheet.shape[0] > shape[0]
    assert 450 <= sheet.shape[1] <= max(shape[1], 1350)


def test_a_mask_of_another_size_is_left_out(gray):
    odd = answer(candidate(1, (0, 0, 9, 9), size=(50, 70)))
    assert near(draw_overlay(gray, odd, "")[40:, :], (90, 90, 90)).all()
