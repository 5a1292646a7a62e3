"""TIFF's network against the numbers of the released module, and what the released module cannot answer."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.checkpoint import load_tiff  # noqa: E402
from lira_ros.fusion.tiff.network import FragmentCandidates, Tiff, candidate_boxes  # noqa: E402
from lira_ros.fusion.tiff.sparse_convolution import NeighbourRule  # noqa: E402

RULES = (NeighbourRule.PLUS1, NeighbourRule.QUIRK_CPU, NeighbourRule.QUIRK_GPU)
# The limits that come with the reference numbers.
NETWORK, LOGIT, CONFIDENCE, BOX = 5e-5, 5e-5, 1e-5, 1e-6


@pytest.fixture(scope="module")
def released(golden):
    return load_tiff(golden("weights_f16.safetensors"))


@pytest.fixture(scope="module")
def case(golden):
    files = {name: dict(golden(f"case_{name}.npz")) for name in "abc"}

    def read(name):
        file = files[name]
        tensors = {key: torch.from_numpy(file[key]) for key in ("coords", "feats", "masks", "text", "relative_origin")}
        fragment = FragmentCandidates(
            tensors["coords"], tensors["relative_origin"], tensors["feats"], tensors["masks"], tensors["text"]
        )
        return fragment, file

    return read


def watched(network, fragment):
    """Return what the network answers and what its layers gave out on the way, by their names."""
    seen = {}

    def note(name):
        def hook(layer, inputs, output):
            seen.setdefault(name, output)  # the first candidate's, where a layer is called once for each

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in network.named_modules()]
    with torch.no_grad():
        answer = network(fragment)
    for hook in hooks:
        hook.remove()
    return answer, seen


def assert_near(got, expected, limit):
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, atol=limit, rtol=0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.value)
@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_every_layer_gives_the_released_numbers(released, case, name, rule):
    fragment, file = case(name)
    released.rule = rule
    answer, seen = watched(released, fragment)
    assert_near(answer.embeddings, file[f"{rule.value}__embedding"], NETWORK)
    assert_near(answer.confidences, file[f"{rule.value}__confidence"], CONFIDENCE)
    assert_near(answer.confidence_logits, file[f"{rule.value}__confidence_logit"], LOGIT)

    assert_near(candidate_boxes(fragment), file["boxes"], BOX)
    assert_near(seen["text_transform"], file["text_feats"], NETWORK)
    assert_near(seen["box_encoder"], file["query_init"], NETWORK)
    assert_near(seen["contrastive_pos_enc"], file["pos_enc_cand0"], NETWORK)
    sparse = file[f"{rule.value}__sparse"]
    every = 1 if len(sparse) == file["union"].sum() else 8
    assert_near(seen["contrastive_occ_pre"][::every], sparse, NETWORK)
    assert_near(seen["contrastive_occ_pre_fc_2"][:64], file[f"{rule.value}__memory_head"], NETWORK)
    for index in range(3):
        for layer, key in (("cross_attn_to_occ_feats", "voxel"), ("cross_attn_to_text_feats", "text")):
            assert_near(seen[f"contrastive_{layer}.{index}"], file[f"{rule.value}__q_{key}"][index], NETWORK)
        assert_near(seen[f"contrastive_ffn_layers.{index}"], file[f"{rule.value}__q_ffn"][index], NETWORK)


def test_the_other_order_on_cuda_gives_its_numbers(released, case):
    fragment, file = case("c")
    released.rule = NeighbourRule.QUIRK_GPU_FIRST
    with torch.no_grad():
        answer = released(fragment)
    assert_near(answer.embeddings, file["quirk_gpu_first__embedding"], NETWORK)
    assert_near(answer.confidences, file["quirk_gpu_first__confidence"], CONFIDENCE)


def test_it_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = Tiff()
    assert sum(item.numel() for item in network.parameters()) == 3_494_977
    assert {name: item.numel() for name, item in network.named_buffers()} == {"contrastive_pos_enc.gauss_B": 192}


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Tiff(text_length=12, feature_length=7).eval()


def made(coordinates, masks, seed=0):
    generator = torch.Generator().manual_seed(seed)
    places = torch.as_tensor(coordinates)
    chosen = torch.as_tensor(masks)
    return FragmentCandidates(
        places,
        torch.tensor([8, -16, 0]),
        torch.randn(len(places), 7, generator=generator),
        chosen,
        torch.randn(len(chosen), 12, generator=generator),
    )


def cube(side):
    return np.indices((side, side, side)).reshape(3, -1).T


@pytest.mark.parametrize("rule", NeighbourRule, ids=lambda rule: rule.value)
@pytest.mark.parametrize("thin", [(True, False, False), (False, True, True), (True, True, True)])
def test_flat_candidates_are_answered(small, rule, thin):
    coordinates = cube(4)
    flat = np.all(coordinates[:, list(thin)] == 3, axis=1)
    small.rule = rule
    with torch.no_grad():
        alone = small(made(coordinates, flat[None]))  # all voxels that take part are flat, too
        among = small(made(coordinates, np.stack((flat, np.ones(64, dtype=bool)))))
    for answer in (alone, among):
        assert torch.isfinite(answer.embeddings).all()
        assert torch.isfinite(answer.confidences).all()
    small.rule = NeighbourRule.PLUS1


def test_a_thin_candidate_differs_from_another_only_along_its_extent(small):
    wide = torch.tensor([[0, 5, 0], [2, 5, 0], [4, 5, 0]])
    encoding = small.contrastive_pos_enc(wide)
    expected = 2 * torch.pi * torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [1, 0, 0]]) @ small.contrastive_pos_enc.gauss_B
    torch.testing.assert_close(encoding, torch.cat((expected.sin(), expected.cos()), dim=1))


@pytest.mark.parametrize("count", [0, 64])
def test_no_candidate_is_answered_with_nothing(small, count):
    answer = small(made(cube(4)[:count], np.zeros((0, count), dtype=bool)))
    assert answer.embeddings.shape == (0, 128)
    assert answer.confidences.shape == (0,)


def test_without_background_one_candidate_is_answered(small):
    answer = small(made(cube(4), np.ones((1, 64), dtype=bool)))
    assert torch.isfinite(answer.embeddings).all()


def test_the_order_of_candidates_is_that_of_the_answers_and_far_ones_have_no_effect(small):
    near, far = cube(3), cube(3) + np.array([50, 0, 0])
    coordinates = np.concatenate((near, far))
    masks = np.zeros((3, 54), dtype=bool)
    masks[0, :20], masks[1, 10:27], masks[2, 27:] = True, True, True
    fragment = made(coordinates, masks)
    order = [2, 0, 1]
    turned = dataclasses.replace(fragment, masks=fragment.masks[order], texts=fragment.texts[order])
    # Without the far candidate its voxels take no part.
    fewer = dataclasses.replace(fragment, masks=fragment.masks[:2], texts=fragment.texts[:2])
    with torch.no_grad():
        whole = small(fragment).embeddings
        torch.testing.assert_close(small(turned).embeddings, whole[order], atol=1e-5, rtol=0)
        torch.testing.assert_close(small(fewer).embeddings, whole[:2], atol=1e-5, rtol=0)


def test_all_parameters_that_have_an_effect_get_gradients(small):
    fragment = made(cube(3), np.eye(27, dtype=bool)[:2] | (np.arange(27) > 20))
    answer = small(fragment)
    small.zero_grad()
    (answer.embeddings.square().sum() + answer.confidences.sum()).backward()
    without = {name for name, item in small.named_parameters() if item.grad is None or not item.grad.any()}
    assert without == set()
    for layer in small.contrastive_cross_attn_to_text_feats:
        assert not layer.multihead_attn.in_proj_weight.grad[:256].any()  # query and key of a single key


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("features", torch.zeros(27, 6), "features: expected the shape \\(27, 7\\), got \\(27, 6\\)"),
        ("texts", torch.zeros(1, 12), "texts: expected the shape \\(2, 12\\), got \\(1, 12\\)"),
        ("masks", torch.ones(2, 27), "masks: expected bool, got torch.float32"),
        ("masks", torch.tensor([[True], [False]]).expand(2, 27), "those of \\[1\\] have none"),
    ],
)
def test_what_does_not_fit_is_named(small, field, value, message):
    fragment = made(cube(3), np.ones((2, 27), dtype=bool))
    with pytest.raises(ValueError, match=message):
        small(dataclasses.replace(fragment, **{field: value}))
