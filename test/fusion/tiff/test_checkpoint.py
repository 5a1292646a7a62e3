"""Checkpoints of TIFF: the names that are published, and what is said of files that are none."""

import pickle
import re

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from safetensors.torch import load_file, save_file  # noqa: E402

from lira_ros.fusion.tiff.checkpoint import TiffCheckpointError, load_tiff  # noqa: E402
from lira_ros.fusion.tiff.network import Tiff  # noqa: E402

PREFIX = "module.neucon_net.fusion."
SPARSE = "contrastive_occ_pre.layers.3.SConv3d.sparsesubmconv3d.weight"


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return Tiff(text_length=12, feature_length=7).state_dict()


def saved(path, weights, prefix=PREFIX):
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]}
    model = {prefix + name: tensor for name, tensor in weights.items()}
    torch.save({"epoch": 4, "model": model, "optimizer": optimizer}, path)
    return path


def assert_same(network, weights):
    loaded = network.state_dict()
    assert loaded.keys() == weights.keys()
    for name, tensor in weights.items():
        assert torch.equal(loaded[name], tensor.float()), name


@pytest.mark.parametrize("prefix", [PREFIX, "neucon_net.fusion.", "module.fusion.", ""])
def test_a_checkpoint_loads_with_and_without_its_prefixes(tmp_path, weights, prefix):
    network = load_tiff(saved(tmp_path / "TIFF_base_new.ckpt", weights, prefix))
    assert_same(network, weights)
    assert (network.text_length, network.feature_length) == (12, 7)
    assert not network.training
    assert all(item.requires_grad for item in network.parameters())


def test_the_published_names_load_from_both_kinds_of_file(tmp_path, golden):
    published = load_file(golden("weights_f16.safetensors"))
    expected = {name.removeprefix(PREFIX): tensor for name, tensor in published.items()}
    assert_same(load_tiff(golden("weights_f16.safetensors")), expected)
    assert_same(load_tiff(saved(tmp_path / "TIFF_Extansion.ckpt", published, "")), expected)


def test_sparse_weights_load_from_older_spconv_and_from_torchsparse(tmp_path, weights):
    kernel = weights[SPARSE].permute(1, 2, 3, 4, 0)
    for stored in (kernel, kernel.permute(2, 1, 0, 3, 4).reshape(27, 64, 64)):
        assert_same(load_tiff(saved(tmp_path / "tiff.ckpt", {**weights, SPARSE: stored})), weights)


def without(weights, *names):
    return {name: tensor for name, tensor in weights.items() if name not in names}


NORM = "contrastive_ffn_layers.0.norm.bias"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, NORM), f"missing {NORM}"),
        (lambda w: {**w, "decoder.weight": w[NORM]}, "unknown decoder.weight"),
        (lambda w: {**w, "\x1b[2Jx": w[NORM]}, "unknown [2Jx"),
        (lambda w: {**w, NORM: torch.zeros(64)}, f"{NORM}: expected (128,), got (64,)"),
        (lambda w: {**w, SPARSE: torch.zeros(64, 27, 64)}, f"{SPARSE}: expected (64, 3, 3, 3, 64), "),
        (lambda w: {**w, NORM: torch.full((128,), torch.nan)}, f"{NORM}: expected finite floating point numbers"),
        (lambda w: {**w, NORM: torch.zeros(128, dtype=torch.int64)}, f"{NORM}: expected finite floating point numbers"),
        (lambda w: {**w, "text_transform.layers.0.weight": torch.zeros(256)}, "expected two dimensions, got (256,)"),
        (lambda w: {NORM: w[NORM]}, "missing text_transform.layers.0.weight, so it is no TIFF"),
        (lambda w: {**w, "fusion." + NORM: w[NORM]}, f"{NORM} is there twice"),
        (lambda w: {**w, NORM: 4}, f"{NORM} is something else"),
    ],
)
def test_what_is_wrong_with_weights_is_named(tmp_path, weights, change, message):
    path = saved(tmp_path / "tiff.ckpt", change(weights), "")
    with pytest.raises(TiffCheckpointError, match=re.escape(message)) as caught:
        load_tiff(path)
    assert str(path) in str(caught.value)


def test_many_faults_are_counted(tmp_path, weights):
    path = saved(tmp_path / "tiff.ckpt", without(weights, *(name for name in weights if "attn" in name)))
    with pytest.raises(TiffCheckpointError, match=r"missing contrastive_cross_attn_to_occ_feats.* and 28 more"):
        load_tiff(path)


class Harmful:
    def __reduce__(self):
        return print, ("executed",)


def test_files_of_other_kinds_are_refused_and_nothing_in_them_is_executed(tmp_path, weights, capsys):
    path = tmp_path / "tiff.ckpt"
    for content in (b"", b"no checkpoint", pickle.dumps(Harmful(), protocol=2)):
        path.write_bytes(content)
        with pytest.raises(TiffCheckpointError, match="nothing but tensors and numbers"):
            load_tiff(path)
    assert capsys.readouterr().out == ""
    torch.save({"epoch": 1, "state_dict": weights}, path)
    with pytest.raises(TiffCheckpointError, match="under the entry model, got epoch, state_dict"):
        load_tiff(path)
    torch.save([1, 2], path)
    with pytest.raises(TiffCheckpointError, match="under the entry model, got list"):
        load_tiff(path)
    with pytest.raises(TiffCheckpointError, match="No such file"):
        load_tiff(tmp_path / "absent.ckpt")
    (tmp_path / "tiff.safetensors").write_bytes(b"no safetensors")
    with pytest.raises(TiffCheckpointError, match="cannot be read"):
        load_tiff(tmp_path / "tiff.safetensors")
    with pytest.raises(TiffCheckpointError, match="cannot be read"):
        load_tiff(tmp_path / "absent.safetensors")


def test_a_safetensors_file_with_shorter_texts_loads(tmp_path, weights):
    save_file({name: tensor.half() for name, tensor in weights.items()}, tmp_path / "tiff.safetensors")
    assert_same(load_tiff(tmp_path / "tiff.safetensors"), {name: item.half() for name, item in weights.items()})
