import json
from pathlib import Path

import numpy as np
import pytest
from lisa_checkpoints import (
    PROMPT,
    original_sam_name,
    small_configurations,
    train_tokenizer,
    write_checkpoint,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
pytest.importorskip("transformers", reason="transformers is not installed here")

from lira_ros.reasoning.contracts import ReasoningError  # noqa: E402
from lira_ros.reasoning.lisa.checkpoint import read_weights  # noqa: E402
from lira_ros.reasoning.lisa.model import LisaModel  # noqa: E402
from lira_ros.reasoning.lisa.tokenizer import LisaTokenizer  # noqa: E402


@pytest.fixture(name="tokenizer_file", scope="module")
def tokenizer_file_fixture(tmp_path_factory):
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


@pytest.fixture(name="small", scope="module")
def small_fixture(tokenizer_file):
    """A model of random weights, and its weights under the names of a merged checkpoint."""
    tokenizer = LisaTokenizer(tokenizer_file)
    model = LisaModel.random(*small_configurations(tokenizer.size + 5), tokenizer, seed=3)
    weights = dict(model._language.state_dict())
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    weights["model.vision_tower.vision_tower.vision_model.post_layernorm.bias"] = torch.ones(24)
    for name in ("weight", "bias"):
        weights[f"model.mm_projector.{name}"] = model._projector.state_dict()[f"0.{name}"]
    weights.update({f"model.text_hidden_fcs.0.{name}": value for name, value in model._head.state_dict().items()})
    depths = {"output_hypernetworks_mlps": 3, "iou_prediction_head": 4}
    for name, value in model._sam.state_dict().items():
        original = original_sam_name(name, depths)
        if original is not None:
            weights[f"model.visual_model.{original}"] = value
    clip = {f"vision_model.{name}": value for name, value in model._vision.state_dict().items()}
    # As in the published CLIP, of which only the vision tower is wanted.
    clip.update({"logit_scale": torch.ones(()), "text_model.final_layer_norm.bias": torch.ones(3)})
    return model, weights, clip


CONFIGURATION = {
    "num_attention_heads": 6, "rms_norm_eps": 1e-6, "max_sequence_length": 640, "rope_theta": 20000.0,
    "rope_scaling": {"type": "linear", "factor": 2.0}, "mm_vision_select_layer": -2, "mm_use_im_start_end": True,
}  # fmt: skip
CLIP_CONFIGURATION = {
    "model_type": "clip",
    "vision_config": {
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14,
    },
}  # fmt: skip


def answers_of(model):
    image = np.random.default_rng(5).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    return model.teacher_forced([image], [PROMPT.format("where?") + " red chair [SEG], sink [SEG]."])[0]


@pytest.mark.parametrize(("form", "shards"), [("bin", 1), ("bin", 3), ("safetensors", 1), ("safetensors", 2)])
def test_a_checkpoint_of_any_layout_and_size_answers_as_the_model_it_holds(
    small, tokenizer_file, tmp_path, form, shards
):
    """Sizes, windows, heads and layers are told by the weights; nothing is fixed to those of one model."""
    model, weights, clip = small
    folder = write_checkpoint(
        tmp_path / "model", CONFIGURATION, weights, CLIP_CONFIGURATION, clip, tokenizer_file, form, shards
    )
    loaded = LisaModel.load(folder)
    assert loaded.report.unexpected == ()
    assert len(loaded.report.dropped) == 2
    assert loaded.report.used == len(weights) - 2 + len(clip) - 2
    wanted, found = answers_of(model), answers_of(loaded)
    np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-5)
    np.testing.assert_allclose(found.mask_logits, wanted.mask_logits, atol=1e-5)
    assert len(found.mask_logits) == 2
    assert loaded.side_px == 96
    assert loaded.weight_bytes() == model.weight_bytes()


def test_a_projector_of_two_layers_is_taken_as_llava_1_5_has_it(small, tokenizer_file, tmp_path):
    _, weights, clip = small
    weights = {name: value for name, value in weights.items() if "mm_projector" not in name}
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(48, 24, generator=generator), torch.randn(48, 48, generator=generator)
    weights.update(
        {
            "model.mm_projector.0.weight": first, "model.mm_projector.0.bias": torch.ones(48),
            "model.mm_projector.2.weight": second, "model.mm_projector.2.bias": torch.zeros(48),
        }
    )  # fmt: skip
    folder = write_checkpoint(
        tmp_path / "m", CONFIGURATION, weights, CLIP_CONFIGURATION, clip, tokenizer_file, "bin", 1
    )
    model = LisaModel.load(folder)
    inputs = torch.randn(2, 24, generator=generator)
    wanted = torch.nn.functional.gelu(inputs @ first.T + 1.0) @ second.T
    torch.testing.assert_close(model._projector(inputs), wanted)


def broken(small, tokenizer_file, folder, change):
    _, weights, clip = small
    weights = dict(weights)
    change(weights)
    return write_checkpoint(folder, CONFIGURATION, weights, CLIP_CONFIGURATION, clip, tokenizer_file, "safetensors", 1)


def test_the_whole_model_is_that_of_a_plain_reading_of_the_method(small, tokenizer_file, tmp_path):
    """Grouped heads, stretched positions and a shared table, against matrix products alone."""
    _, weights, clip = small
    # Files of PyTorch keep that two names are one table.
    weights = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"]}
    folder = write_checkpoint(
        tmp_path / "m", {**CONFIGURATION, "tie_word_embeddings": True}, weights, CLIP_CONFIGURATION, clip,
        tokenizer_file, "bin", 1,
    )  # fmt: skip
    model = LisaModel.load(folder)
    found = answers_of(model)
    encoded = model.encode([np.random.default_rng(5).integers(0, 256, (70, 90, 3), dtype=np.uint8)])
    hidden = model._embed(encoded, [found.output_ids.tolist()], 0)[0][0]
    wanted = plain_llama(weights, hidden, heads=6, key_heads=2, theta=20000.0, factor=2.0, epsilon=1e-6)
    np.testing.assert_allclose(found.hidden_states, wanted, atol=1e-5)
    np.testing.assert_allclose(found.logits, wanted @ weights["model.embed_tokens.weight"].T, atol=1e-5)


def plain_llama(weights, hidden, heads, key_heads, theta, factor, epsilon):
    """Return the final states (L, D) of a LLaMA over (L, D) embeddings, without anything of transformers."""
    length, width = hidden.shape[0], hidden.shape[1] // heads
    angles = torch.outer(torch.arange(length) / factor, theta ** (-torch.arange(0, width, 2) / width)).repeat(1, 2)
    future = torch.full((length, length), -torch.inf).triu(1)

    def norm(states, name):
        return states * (states.square().mean(-1, keepdim=True) + epsilon).rsqrt() * weights[f"{name}.weight"]

    def turned(states):
        halves = torch.cat([-states[..., width // 2 :], states[..., : width // 2]], -1)
        return states * angles.cos() + halves * angles.sin()

    for layer in range(3):
        name = f"model.layers.{layer}"
        states = norm(hidden, f"{name}.input_layernorm")
        query, key, value = (
            (states @ weights[f"{name}.self_attn.{kind}_proj.weight"].T).view(length, -1, width).transpose(0, 1)
            for kind in "qkv"
        )
        key, value = (
            turned(key).repeat_interleave(heads // key_heads, 0),
            value.repeat_interleave(heads // key_heads, 0),
        )
        attention = (turned(query) @ key.transpose(1, 2) / width**0.5 + future).softmax(-1) @ value
        hidden = hidden + attention.transpose(0, 1).flatten(1) @ weights[f"{name}.self_attn.o_proj.weight"].T
        states = norm(hidden, f"{name}.post_attention_layernorm")
        gate = torch.nn.functional.silu(states @ weights[f"{name}.mlp.gate_proj.weight"].T)
        between = gate * (states @ weights[f"{name}.mlp.up_proj.weight"].T)
        hidden = hidden + between @ weights[f"{name}.mlp.down_proj.weight"].T
    return norm(hidden, "model.norm")


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("model.layers.1.mlp.down_proj.weight", r"language model.*missing model\.layers\.1\.mlp\.down_proj\.weight"),
        ("model.mm_projector.bias", r"projector.*missing 0\.bias"),
        ("lm_head.weight", r"language model.*missing lm_head\.weight"),
        ("model.visual_model.prompt_encoder.point_embeddings.3.weight", r"SAM.*missing prompt_encoder\.point_embed\.3"),
        ("model.text_hidden_fcs.0.2.weight", r"2\.weight"),
        ("model.visual_model.image_encoder.blocks.2.norm1.bias", r"SAM.*missing .*layers\.2\.layer_norm1\.bias"),
        ("model.visual_model.mask_decoder.output_upscaling.1.weight", r"missing mask_decoder\.upscale_layer_norm"),
        ("model.embed_tokens.weight", r"misses a weight: model\.embed_tokens\.weight"),
    ],
)
def test_a_missing_key_is_named(small, tokenizer_file, tmp_path, key, named):
    folder = broken(small, tokenizer_file, tmp_path / "m", lambda weights: weights.pop(key))
    with pytest.raises(ReasoningError, match=named):
        LisaModel.load(folder)


def test_an_unknown_key_is_reported_by_name(small, tokenizer_file, tmp_path, caplog):
    folder = broken(
        small,
        tokenizer_file,
        tmp_path / "m",
        lambda weights: weights.update({"model.new_thing.weight\n": torch.ones(2)}),
    )
    assert LisaModel.load(folder).report.unexpected == ("model.new_thing.weight",)
    assert "model.new_thing.weight" in caplog.text


def test_a_key_of_another_shape_is_named(small, tokenizer_file, tmp_path):
    key = "model.visual_model.prompt_encoder.no_mask_embed.weight"
    folder = broken(small, tokenizer_file, tmp_path / "m", lambda weights: weights.update({key: torch.ones(1, 7)}))
    with pytest.raises(ReasoningError, match=r"no_mask_embed\.weight is \(1, 7\), expected \(1, 64\)"):
        LisaModel.load(folder)


def test_a_configuration_that_contradicts_the_weights_is_refused(small, tokenizer_file, tmp_path):
    folder = broken(small, tokenizer_file, tmp_path / "m", lambda weights: None)
    for change, message in (
        ({"num_hidden_layers": 32}, "num_hidden_layers is 32, the weights have 3"),
        ({"num_attention_heads": None}, "num_attention_heads: expected a positive whole number, got None"),
        ({"num_attention_heads": 7}, "does not divide"),
        ({"seg_token_idx": 9}, "seg_token_idx is 9"),
        ({"num_key_value_heads": 6}, "num_key_value_heads is 6, the weights have 2"),
        ({"tie_word_embeddings": True}, "another table"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings: expected one of False, True, got 'no'"),
        ({"rope_scaling": {"type": "linear"}}, "factor: expected a positive number, got None"),
        ({"rope_scaling": {"type": "spiral"}}, "expected a type of default, linear"),
        ({"rope_scaling": "linear"}, "rope_scaling: expected an object"),
        ({"rope_theta": "high"}, "rope_theta: expected a positive number"),
        ({"rms_norm_eps": 0}, "rms_norm_eps: expected a positive number"),
        ({"hidden_act": "sharp"}, "hidden_act: expected one of silu"),
        ({"max_sequence_length": "long"}, "max_sequence_length: expected a positive whole number"),
        ({"mm_vision_select_layer": 4}, "mm_vision_select_layer: expected a layer from -4 to 3, got 4"),
        ({"mm_vision_select_feature": "all"}, "expected one of patch, cls_patch"),
        ({"mm_use_im_start_end": "no"}, "mm_use_im_start_end: expected one of True, False"),
    ):
        (folder / "config.json").write_text(json.dumps({**CONFIGURATION, **change}))
        with pytest.raises(ReasoningError, match=message):
            LisaModel.load(folder)
    (folder / "config.json").write_text(
        json.dumps({**CONFIGURATION, "hidden_act": None, "seg_token_idx": None, "new_field": {"of": ["another", 1]}})
    )
    assert LisaModel.load(folder).side_px == 96
    for change, message in (
        ({"num_attention_heads": 5}, "num_attention_heads 5 does not divide 24"),
        ({"hidden_act": "sharp"}, "hidden_act"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps: expected a positive number"),
    ):
        vision = {**CLIP_CONFIGURATION["vision_config"], **change}
        (folder / "clip" / "config.json").write_text(json.dumps(vision))
        with pytest.raises(ReasoningError, match=message):
            LisaModel.load(folder)
    (folder / "clip" / "config.json").write_text(json.dumps(CLIP_CONFIGURATION))
    for content in ("[]", '{"crop_size": 224}', '{"image_mean": "x"}', '{"size": {"a": 1}}'):
        (folder / "clip" / "preprocessor_config.json").write_text(content)
        with pytest.raises(ReasoningError, match=r"preprocessor_config\.json: (cannot be used|expected)"):
            LisaModel.load(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(ReasoningError, match=r"config\.json: expected a JSON object"):
        LisaModel.load(folder)


def test_without_its_vision_tower_a_checkpoint_says_where_it_belongs(small, tokenizer_file, tmp_path):
    folder = broken(small, tokenizer_file, tmp_path / "m", lambda weights: None)
    (folder / "clip").rename(tmp_path / "elsewhere")
    with pytest.raises(ReasoningError, match="sub-folder clip"):
        LisaModel.load(folder)
    assert LisaModel.load(folder, tmp_path / "elsewhere").report.unexpected == ()
    (folder / "config.json").write_text(
        json.dumps({**CONFIGURATION, "mm_vision_tower": str(tmp_path / "elsewhere"), "tie_word_embeddings": False})
    )
    assert LisaModel.load(folder).side_px == 96


class Harmful:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_files_that_are_no_weights_are_refused(tmp_path, capsys):
    with pytest.raises(ReasoningError, match="there is none"):
        read_weights(tmp_path / "nothing")
    with pytest.raises(ReasoningError, match=r"pytorch_model\.bin"):
        read_weights(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"broken")
    with pytest.raises(ReasoningError, match=r"pytorch_model\.bin: expected a PyTorch file"):
        read_weights(tmp_path)
    torch.save({"a": Harmful()}, path)
    with pytest.raises(ReasoningError, match="tensors only"):
        read_weights(tmp_path)
    assert "must not run" not in capsys.readouterr().out
    torch.save({"a": torch.ones(1), "b": "text"}, path)
    with pytest.raises(ReasoningError, match="tensors by name"):
        read_weights(tmp_path)
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert read_weights(tmp_path)["a"].tolist() == [1.0, 1.0]
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ReasoningError, match=r"model\.safetensors"):
        read_weights(tmp_path)


def test_an_index_names_files_beside_it_that_are_there(tmp_path):
    index = tmp_path / "pytorch_model.bin.index.json"
    for content, message in (
        ({"weight_map": {"a": "../other/x.bin"}}, r"got \.\./other/x\.bin"),
        ({"weight_map": {"a": "x.bin"}}, r"x\.bin missing"),
        ({"weight_map": {}}, "weight_map"),
        ({}, "weight_map"),
    ):
        index.write_text(json.dumps(content))
        with pytest.raises(ReasoningError, match=message):
            read_weights(tmp_path)


def test_numbered_files_need_no_index_but_must_be_complete(tmp_path):
    for number, name in ((1, "a"), (2, "b")):
        torch.save({name: torch.ones(number)}, tmp_path / f"pytorch_model-{number:05d}-of-00002.bin")
    assert {name: len(weight) for name, weight in read_weights(tmp_path).items()} == {"a": 1, "b": 2}
    (tmp_path / "pytorch_model-00001-of-00002.bin").unlink()
    with pytest.raises(ReasoningError, match=r"pytorch_model-00001-of-00002\.bin missing"):
        read_weights(tmp_path)


def test_a_file_that_was_cut_off_is_named(tmp_path):
    from safetensors.torch import save_file

    torch.save({"a": torch.ones(1000)}, tmp_path / "pytorch_model.bin")
    save_file({"a": torch.ones(1000)}, tmp_path / "model.safetensors")
    for name in ("model.safetensors", "pytorch_model.bin"):
        whole = (tmp_path / name).read_bytes()
        for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:length])
            with pytest.raises(ReasoningError, match=name):
                read_weights(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_weights_are_mapped_and_not_read(tmp_path, form):
    """Loading a shard takes no memory of its own: the pages belong to the file."""
    from safetensors.torch import save_file

    saved = {"a": torch.ones(100_000)}
    path = tmp_path / ("pytorch_model.bin" if form == "bin" else "model.safetensors")
    torch.save(saved, path) if form == "bin" else save_file(saved, path)
    weights = read_weights(tmp_path)
    assert float(weights["a"][-1]) == 1.0
    assert mapped_file(weights["a"]) == str(path)
    assert mapped_file(weights["a"].clone()) != str(path)


def mapped_file(tensor):
    """Return the file to which the memory of a tensor belongs, "" for none."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= tensor.data_ptr() < end:
            return "".join(line.split(maxsplit=5)[5:])
    raise AssertionError("no mapping holds the tensor")
