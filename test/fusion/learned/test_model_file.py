"""Files of the learned fusion say what is wrong with them."""

import hashlib

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from lira_ros.fusion.configuration import LearnedConfiguration  # noqa: E402
from lira_ros.fusion.learned.model_file import SHIPPED, FusionModelError, load_network, load_network_file  # noqa: E402
from lira_ros.fusion.learned.network import InstanceNetwork, NetworkShape  # noqa: E402
from lira_ros.reasoning.models.cards import card_folder  # noqa: E402


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return {name: tensor.contiguous() for name, tensor in InstanceNetwork(NetworkShape()).state_dict().items()}


def written(path, weights):
    save_file(weights, path)
    return path


def test_the_shipped_network_loads_and_has_a_card_with_its_hash():
    network = load_network(LearnedConfiguration(device="cpu"))
    assert not network.training
    card = (card_folder() / SHIPPED).with_suffix(".yaml").read_text(encoding="utf-8")
    assert hashlib.sha256((card_folder() / SHIPPED).read_bytes()).hexdigest() in card


def test_half_precision_is_read_as_single(weights, tmp_path):
    path = written(tmp_path / "half.safetensors", {name: tensor.half() for name, tensor in weights.items()})
    network = load_network_file(path)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


def test_adapters_have_the_lengths_of_their_weights(weights, tmp_path):
    other = dict(weights)
    other["text_adapter.weight"] = torch.zeros(128, 4096)
    del other["look_adapter.weight"]
    network = load_network_file(written(tmp_path / "lisa.safetensors", other))
    assert (network.shape.text_length, network.shape.look_length) == (4096, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("same.0.weight"), "1 weights are missing (same.0.weight)"),
        (lambda w: w.update(more=torch.zeros(1)), "1 are unknown (more)"),
        (lambda w: w.update({"same.0.bias": torch.zeros(3)}), "same.0.bias expected shape (64,), got (3,)"),
        (lambda w: w.update({"same.0.bias": torch.full((64,), float("nan"))}), "expected finite numbers"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(weights, tmp_path, change, said):
    broken = dict(weights)
    change(broken)
    path = written(tmp_path / "broken.safetensors", broken)
    with pytest.raises(FusionModelError) as caught:
        load_network_file(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("no weights")
    for path in (tmp_path / "text.safetensors", tmp_path / "missing.safetensors"):
        with pytest.raises(FusionModelError, match=path.name):
            load_network_file(path)


def test_the_shipped_weights_are_small():
    assert (card_folder() / SHIPPED).stat().st_size < 5_000_000
    assert load_file(card_folder() / SHIPPED)
