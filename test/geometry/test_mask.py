import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lira_ros.geometry import mask as masks

ANY_MASK = npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=23))


@given(ANY_MASK)
def test_run_lengths_survive_a_round_trip(mask):
    counts = masks.encode(mask)
    assert counts.dtype == np.uint32
    assert int(counts.sum()) == mask.size
    assert (counts[1:] > 0).all()
    np.testing.assert_array_equal(masks.decode(counts, *mask.shape), mask)


def test_runs_are_column_major_and_start_with_zeros():
    mask = np.array([[0, 1, 0], [0, 1, 1]], dtype=bool)
    assert masks.encode(mask).tolist() == [2, 2, 1, 1]
    assert masks.encode(~mask).tolist() == [0, 2, 2, 1, 1]
    assert masks.encode(np.zeros((0, 0), dtype=bool)).tolist() == []


def test_decode_accepts_zero_runs_between():
    # A valid though not minimal encoding: other encoders split long runs with a run of zero length.
    assert masks.decode([1, 1, 0, 1, 1], 2, 2).T.ravel().tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("counts", "size", "words"),
    [
        ([3], (2, 2), "sum to 3 pixels, expected 2 x 2 = 4"),
        ([5], (2, 2), "longer than the image"),
        ([], (2, 2), "sum to 0"),
        ([1], (0, 0), "longer than the image"),
        ([-1, 5], (2, 2), "must not be negative, got -1"),
        ([1.5, 2.5], (2, 2), "whole numbers"),
        ([[4]], (2, 2), "whole numbers"),
        ([4], (-2, -2), "size must not be negative"),
        (np.array([2**63, 2**63, 4], dtype=np.uint64), (2, 2), "longer than the image"),
    ],
)
def test_decode_refuses_runs_that_do_not_fit(counts, size, words):
    with pytest.raises(ValueError, match=words):
        masks.decode(counts, *size)


def test_encode_refuses_other_arrays():
    with pytest.raises(ValueError, match="uint8"):
        masks.encode(np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"\(4,\)"):
        masks.encode(np.zeros(4, dtype=bool))


@given(npst.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(1, 4))
def test_resize_by_a_whole_factor_and_back_is_the_identity(mask, factor):
    height, width = mask.shape
    larger = masks.resize(mask, height * factor, width * factor)
    assert larger.sum() == mask.sum() * factor**2
    np.testing.assert_array_equal(masks.resize(larger, height, width), mask)


def test_resize_refuses_nothing():
    with pytest.raises(ValueError, match="4 x 0 to 2 x 2"):
        masks.resize(np.zeros((0, 4), dtype=bool), 2, 2)


@given(npst.arrays(np.bool_, (5, 6)), npst.arrays(np.bool_, (5, 6)))
def test_overlap_is_symmetric_and_bounded(a, b):
    value = masks.intersection_over_union(a, b)
    assert 0.0 <= value <= 1.0
    assert value == masks.intersection_over_union(b, a)
    assert masks.intersection_over_union(a, a) == float(a.any())


def test_overlap_refuses_different_sizes():
    with pytest.raises(ValueError, match="3 x 2 and 2 x 3"):
        masks.intersection_over_union(np.ones((2, 3), dtype=bool), np.ones((3, 2), dtype=bool))


def test_only_the_far_side_of_a_depth_jump_is_marked():
    depth = np.full((9, 12), 2.0, dtype=np.float32)
    depth[:, :4] = 1.0
    depth[:, 9:] = 0.0
    behind = masks.behind_discontinuities(depth, 2, 0.05)
    assert behind[:, 4:6].all()
    assert not behind[:, :4].any()
    assert not behind[:, 6:].any()


def test_a_slope_is_no_discontinuity():
    depth = np.tile(np.linspace(1.0, 1.2, 40, dtype=np.float32), (5, 1))
    assert not masks.behind_discontinuities(depth, 2, 0.04).any()
