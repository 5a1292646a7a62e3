"""LIRA's targets and losses."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.training.tiff_losses import NO_OBJECT, confidence_loss, similarity_loss, targets  # noqa: E402


def test_a_candidate_is_compared_on_what_its_keyframe_shows():
    true_ids = np.array([3] * 10 + [5] * 10 + [0] * 5)
    masks = np.zeros((4, 25), dtype=bool)
    visible = np.ones((4, 25), dtype=bool)
    masks[0, :8] = True  # 8 of 10
    masks[1, :8] = True
    visible[1, 8:10] = False  # the rest of the object is hidden
    masks[2, 4:14] = True  # 6 of one and 4 of another: 6 / 14
    masks[3, 20:] = True  # background
    ious, ids = targets(masks, visible, true_ids)
    np.testing.assert_allclose(ious, [0.8, 1.0, 6 / 14, 0.0], rtol=1e-6)
    assert ids.tolist() == [3, 3, NO_OBJECT, NO_OBJECT]


@pytest.mark.parametrize(("covered", "expected"), [(6, 3), (5, NO_OBJECT)])
def test_six_tenths_are_enough(covered, expected):
    mask = (np.arange(10) < covered)[None]
    assert targets(mask, np.ones((1, 10), dtype=bool), np.full(10, 3))[1].tolist() == [expected]


def test_no_candidates_have_no_targets_and_nothing_alike():
    ious, ids = targets(np.zeros((0, 5), bool), np.zeros((0, 5), bool), np.zeros(5, int))
    assert ious.shape == ids.shape == (0,)
    embeddings = torch.zeros((0, 128), requires_grad=True)
    assert similarity_loss(embeddings, [], torch.zeros(0, 128), []).item() == 0.0


def test_the_similarity_loss_is_the_mean_over_all_pairs_and_the_diagonal():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    loss = similarity_loss(embeddings, [1, 2, 1], torch.zeros(0, 2), [])
    # Pairs of one object at 1 and of two at 0.5; there are 4 of those among 9.
    assert loss.item() == pytest.approx(4 / 9 * np.log(2.0))
    unsure = similarity_loss(embeddings, [1, NO_OBJECT, 1], torch.zeros(0, 2), [])
    assert unsure.item() == pytest.approx(0.0, abs=1e-6)
    assert similarity_loss(embeddings, [1, NO_OBJECT, NO_OBJECT], torch.zeros(0, 2), []).item() == 0.0


def test_instances_of_the_map_teach_and_do_not_learn():
    known = torch.tensor([[0.0, 1.0]], requires_grad=True)
    candidate = torch.tensor([[1.0, 0.2]], requires_grad=True)
    loss = similarity_loss(candidate, [7], known, [7])
    loss.backward()
    assert known.grad is None
    # It turns towards what it is the same as.
    assert candidate.grad[0, 1] < 0
    apart = torch.tensor([[1.0, 0.2]], requires_grad=True)
    similarity_loss(apart, [7], known, [8]).backward()
    assert apart.grad[0, 1] > 0


def test_the_confidence_loss_is_the_mean_square():
    assert confidence_loss(torch.tensor([0.5, 1.0]), torch.tensor([1.0, 0.0])).item() == pytest.approx(0.625)
