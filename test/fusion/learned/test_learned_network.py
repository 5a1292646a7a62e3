"""The network treats candidates as a set, and does without whatever a reasoner does not give."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lira_ros.fusion.learned.features import (  # noqa: E402
    CANDIDATE_FEATURES,
    INSTANCE_FEATURES,
    PAIR_FEATURES,
    VOXEL_FEATURES,
    Tokens,
)
from lira_ros.fusion.learned.network import InstanceNetwork, NetworkShape, stack  # noqa: E402

SHAPE = NetworkShape(text_length=5, look_length=7, width=16, heads=2, rounds=2, pair_width=8, voxel_width=8)


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return InstanceNetwork(SHAPE).eval()


def tokens(candidates, instances, seed=0, text_length=5, look_length=7):
    random = np.random.default_rng(seed)
    total = candidates + instances
    pairs = random.random((total, total, PAIR_FEATURES)).astype(np.float32)
    pairs = pairs + pairs.transpose(1, 0, 2)
    return Tokens(
        random.random((candidates, CANDIDATE_FEATURES)).astype(np.float32),
        random.random((instances, INSTANCE_FEATURES)).astype(np.float32),
        pairs,
        [random.random(text_length).astype(np.float32) for _ in range(total)],
        [random.random(look_length).astype(np.float32) for _ in range(total)],
    )


def compare(network, *items):
    with torch.inference_mode():
        return network(stack(items, network.shape))


def reordered(item, order, first):
    return Tokens(
        item.candidates[[i for i in order if i < first]],
        item.instances[[i - first for i in order if i >= first]],
        item.pairs[np.ix_(order, order)],
        [item.texts[i] for i in order],
        [item.looks[i] for i in order],
    )


def test_another_order_of_candidates_and_instances_reorders_what_is_said(network):
    item = tokens(4, 3)
    order = [2, 0, 3, 1, 6, 4, 5]
    said, other = compare(network, item), compare(network, reordered(item, order, 4))
    np.testing.assert_allclose(other.same[0], said.same[0][order][:, order], atol=1e-5)
    np.testing.assert_allclose(other.valid[0], said.valid[0][order], atol=1e-5)


def test_sameness_is_symmetric(network):
    same = compare(network, tokens(3, 4)).same[0]
    np.testing.assert_allclose(same, same.T, atol=1e-6)


def test_what_else_is_in_a_batch_changes_nothing(network):
    small, large = tokens(2, 1), tokens(5, 6, seed=1)
    alone, beside = compare(network, small), compare(network, small, large)
    np.testing.assert_allclose(beside.same[0, :3, :3], alone.same[0], atol=1e-5)
    np.testing.assert_allclose(beside.overlap[0, :3], alone.overlap[0], atol=1e-5)


def test_candidates_see_one_another(network):
    # Judging a mask alone is what LIRA's network does.
    three = tokens(3, 2)
    changed = dataclasses.replace(three, candidates=three.candidates.copy())
    changed.candidates[2] += 1.0
    before, after = compare(network, three), compare(network, changed)
    assert not np.allclose(before.valid[0, 0], after.valid[0, 0], atol=1e-6)


@pytest.mark.parametrize(("candidates", "instances"), [(0, 0), (0, 3), (1, 0), (30, 20)])
def test_any_number_of_tokens_is_answered_with_numbers(network, candidates, instances):
    said = compare(network, tokens(candidates, instances))
    for values in (said.same, said.valid, said.overlap):
        assert torch.isfinite(values).all()


def test_vectors_of_another_length_count_as_none(network):
    item = tokens(2, 2)
    nothing = dataclasses.replace(item, texts=[np.zeros(0, np.float32)] * 4, looks=[np.zeros(0, np.float32)] * 4)
    other = dataclasses.replace(item, texts=[np.ones(9, np.float32)] * 4, looks=[np.ones(3, np.float32)] * 4)
    np.testing.assert_array_equal(compare(network, nothing).same, compare(network, other).same)
    assert not np.allclose(compare(network, item).same, compare(network, nothing).same)


def test_another_encoder_begins_with_what_the_network_knows_without_it(network):
    adapted = network.adapted(4096, 0).eval()
    assert adapted.text_adapter.in_features == 4096
    assert adapted.look_adapter is None
    item = tokens(3, 2, text_length=4096, look_length=0)
    blank = dataclasses.replace(item, texts=[np.zeros(0, np.float32)] * 5)
    np.testing.assert_allclose(compare(adapted, item).same, compare(network, blank).same, atol=1e-6)


def test_a_voxel_is_judged_by_itself_and_by_what_it_is_asked_for(network):
    said = compare(network, tokens(2, 1))
    features = torch.rand(1, 6, VOXEL_FEATURES)
    with torch.inference_mode():
        first = network.voxel_logits(said.embeddings[:, 0], said.embeddings[:, 2], said.pairs[:, 0, 2], features)
        part = network.voxel_logits(said.embeddings[:, 0], said.embeddings[:, 2], said.pairs[:, 0, 2], features[:, 2:4])
        other = network.voxel_logits(said.embeddings[:, 1], said.embeddings[:, 2], said.pairs[:, 1, 2], features)
    np.testing.assert_allclose(part, first[:, 2:4], atol=1e-6)
    assert not np.allclose(first, other, atol=1e-6)


def test_the_shipped_sizes_stay_below_five_million_parameters():
    for lengths in ({}, {"text_length": 4096, "look_length": 1152}):
        count = sum(item.numel() for item in InstanceNetwork(NetworkShape(**lengths)).parameters())
        assert count < 5_000_000
