"""Fusion of views without anything learned: consensus, weights, outliers, and no numbers that are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lira_ros.fusion.label_free import LEAST_CONSISTENCY, MOST_LOG_ODDS, TEMPERATURE, fuse_views

CHAIR, LAMP = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def logit(p):
    return np.log(p / (1.0 - p))


def test_equal_views_are_averaged_in_log_odds_by_how_well_they_see():
    probabilities = np.array([[0.9, 0.6], [0.9, 0.2], [0.3, 0.99]])
    visibility = np.array([[1.0, 1.0], [1.0, 0.5], [1.0, 0.0]])
    fused = fuse_views(probabilities, visibility, np.stack([CHAIR, 3.0 * CHAIR]))
    expected = [(logit(0.9) + logit(0.6)) / 2, (logit(0.9) + 0.5 * logit(0.2)) / 1.5, logit(0.3)]
    np.testing.assert_allclose(logit(fused.probability), expected)
    np.testing.assert_allclose(fused.evidence, [2.0, 1.5, 1.0])
    np.testing.assert_allclose(fused.consensus, CHAIR, atol=1e-12)
    np.testing.assert_allclose(fused.consistency, 1.0)
    assert not fused.rejected.any()


def test_a_view_that_means_something_else_is_left_out():
    probabilities = np.array([[0.9, 0.9, 0.1], [0.2, 0.2, 0.9]])
    fused = fuse_views(probabilities, np.ones((2, 3)), np.stack([CHAIR, CHAIR, LAMP]))
    assert fused.rejected.tolist() == [False, False, True]
    np.testing.assert_allclose(fused.probability, [0.9, 0.2])
    np.testing.assert_allclose(fused.evidence, 2.0)
    assert fused.consistency[2] < LEAST_CONSISTENCY


def test_a_view_that_is_somewhat_off_weighs_less_by_the_softmax():
    off = np.array([0.9, np.sqrt(1 - 0.81), 0.0])
    fused = fuse_views(np.array([[0.9, 0.9, 0.9, 0.1]]), np.ones((1, 4)), np.stack([CHAIR, CHAIR, CHAIR, off]))
    assert not fused.rejected.any()
    weight = np.exp((fused.consistency[3] - fused.consistency[0]) / TEMPERATURE)
    assert 0.8 < weight < 0.9
    np.testing.assert_allclose(logit(fused.probability), (3 - weight) / (3 + weight) * logit(0.9))


def test_a_mask_that_most_others_contradict_is_left_out():
    # Ten voxels of the thing, thirty of what is behind it: the last view took both for one.
    inside = np.array([[0.9] * 4] * 10 + [[0.1] * 3 + [0.9]] * 30)
    fused = fuse_views(inside, np.ones(inside.shape), np.tile(CHAIR, (4, 1)))
    assert fused.rejected.tolist() == [False, False, False, True]
    np.testing.assert_allclose(fused.probability, [0.9] * 10 + [0.1] * 30)


def test_half_a_mask_is_not_contradicted():
    halves = np.array([[0.9, 0.9, 0.9]] * 10 + [[0.9, 0.9, 0.1]] * 10)
    fused = fuse_views(halves, np.ones(halves.shape), np.tile(CHAIR, (3, 1)))
    assert not fused.rejected.any()
    assert (fused.probability > 0.5).all()


@pytest.mark.parametrize("shown", [2, 9])
def test_who_does_not_see_a_mask_again_does_not_judge_it(shown):
    # Two others contradict, but the second sees only a part of the mask of the last view.
    probabilities = np.array([[0.1, 0.1, 0.9]] * 12 + [[0.9, 0.9, 0.1]] * 12)
    visibility = np.ones(probabilities.shape)
    visibility[shown:12, 1] = 0.0
    fused = fuse_views(probabilities, visibility, np.tile(CHAIR, (3, 1)))
    assert fused.rejected[2] == (shown == 9)


def test_two_that_contradict_one_another_are_both_heard():
    fused = fuse_views(np.array([[0.9, 0.1]] * 5), np.ones((5, 2)), np.stack([CHAIR, LAMP]))
    assert not fused.rejected.any()
    np.testing.assert_allclose(fused.probability, 0.5)


def test_one_view_says_what_it_says():
    fused = fuse_views(np.array([[0.8], [0.3], [1.0], [0.5]]), np.array([[1.0], [0.2], [1.0], [0.0]]), CHAIR[None])
    np.testing.assert_allclose(logit(fused.probability), [logit(0.8), logit(0.3), MOST_LOG_ODDS, 0.0], atol=1e-12)
    np.testing.assert_allclose(fused.evidence, [1.0, 0.2, 1.0, 0.0])


def test_views_without_meaning_weigh_as_others_do_in_the_mean():
    probabilities = np.array([[0.9, 0.9, 0.1]])
    fused = fuse_views(probabilities, np.ones((1, 3)), np.stack([CHAIR, CHAIR, np.zeros(3)]))
    np.testing.assert_allclose(logit(fused.probability), logit(0.9) / 3)
    nameless = fuse_views(probabilities, np.ones((1, 3)), np.zeros((3, 0)))
    np.testing.assert_allclose(logit(nameless.probability), logit(0.9) / 3)
    assert nameless.consensus.shape == (0,)
    opposite = fuse_views(probabilities[:, :2], np.ones((1, 2)), np.stack([CHAIR, -CHAIR]))
    np.testing.assert_allclose(opposite.probability, 0.9)


def test_agreement_may_be_counted_in_another_way():
    between = np.array([0.8, 0.6, 0.0])
    near = [
        fuse_views(np.array([[0.9, 0.9, 0.1]]), np.ones((1, 3)), np.stack([CHAIR, CHAIR, between]), agreement)
        for agreement in (lambda a, b: float(a @ b), lambda a, b: (float(a @ b) - 0.9) / 0.1)
    ]
    assert not near[0].rejected.any()
    assert near[1].rejected.tolist() == [False, False, True]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), voxels=st.integers(0, 6), views=st.integers(1, 8), seed=st.integers(0, 1000))
def test_numbers_are_numbers_and_the_order_of_views_does_not_matter(data, voxels, views, seed):
    def unit_values(shape):
        return data.draw(arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])))

    probabilities, visibility = unit_values((voxels, views)), unit_values((voxels, views))
    embeddings = data.draw(arrays(np.float64, (views, 3), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])))
    fused = fuse_views(probabilities, visibility, embeddings)
    for values in (fused.probability, fused.evidence, fused.consensus, fused.consistency):
        assert np.isfinite(values).all()
    assert ((fused.probability > 0) & (fused.probability < 1)).all()
    assert not fused.rejected.all()
    order = np.random.default_rng(seed).permutation(views)
    other = fuse_views(probabilities[:, order], visibility[:, order], embeddings[order])
    np.testing.assert_allclose(other.consistency, fused.consistency[order], atol=1e-9)
    if np.array_equal(other.rejected, fused.rejected[order]):
        np.testing.assert_allclose(other.probability, fused.probability, atol=1e-9)
    else:
        # A consistency within rounding of the limit may fall on either side.
        assert np.abs(fused.consistency - LEAST_CONSISTENCY).min() < 1e-9 or np.ptp(fused.consistency) < 1e-9
