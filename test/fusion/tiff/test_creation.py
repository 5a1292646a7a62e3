"""Making method tiff: the shipped network, and clear words for those whose inputs there are not."""

import hashlib
import json

import numpy as np
import pytest
import yaml
from safetensors.torch import save_file

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.configuration import FusionConfiguration, TiffConfiguration  # noqa: E402
from lira_ros.fusion.engine import create_fusion  # noqa: E402
from lira_ros.fusion.instance_fusion import InstanceFusion  # noqa: E402
from lira_ros.fusion.tiff.checkpoint import TiffCheckpointError  # noqa: E402
from lira_ros.fusion.tiff.creation import SHIPPED  # noqa: E402
from lira_ros.fusion.tiff.network import Tiff  # noqa: E402
from lira_ros.fusion.tiff.tiff_fusion import TiffFusion  # noqa: E402
from lira_ros.reasoning.models.cards import card_folder  # noqa: E402


def encode(text):
    return np.zeros(384, dtype=np.float32)


def configured(path="", **settings):
    return FusionConfiguration(method="tiff", tiff=TiffConfiguration(weights=str(path), device="cpu", **settings))


def test_the_shipped_network_is_whole_and_makes_the_engine():
    path = card_folder() / SHIPPED
    card = yaml.safe_load(path.with_suffix(".yaml").read_text(encoding="utf-8"))
    assert card["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    fusion = create_fusion(configured(), encode)
    assert isinstance(fusion, TiffFusion)
    assert fusion.instances() == ()
    assert sum(item.numel() for item in fusion._network.parameters()) == card["parameters"]


def test_other_methods_have_the_other_engine():
    assert isinstance(create_fusion(FusionConfiguration(method="votes")), InstanceFusion)


def test_a_published_checkpoint_is_refused_with_what_is_missing(tmp_path):
    path = tmp_path / "TIFF_base_new.ckpt"
    weights = {f"module.neucon_net.fusion.{name}": value for name, value in Tiff(40, 30).state_dict().items()}
    torch.save({"epoch": 4, "model": weights, "optimizer": {}}, path)
    with pytest.raises(TiffCheckpointError, match=r"TIFF_base_new\.ckpt.*text features of 40.*voxel features of 30"):
        create_fusion(configured(path), encode)


def test_a_network_for_fewer_numbers_or_without_an_encoder_is_refused(tmp_path):
    path = tmp_path / "small.safetensors"
    description = json.dumps({"text": "sentence", "features": "surface"})
    save_file(Tiff(100, 10).state_dict(), path, {"network": description})
    with pytest.raises(TiffCheckpointError, match="at least 384 numbers of text and 10 of a voxel, got 100 and 10"):
        create_fusion(configured(path), encode)
    with pytest.raises(TiffCheckpointError, match="sentence encoder"):
        create_fusion(configured(path), None)
    save_file(Tiff(100, 10).state_dict(), path, {"network": "no json"})
    with pytest.raises(TiffCheckpointError, match="description cannot be read"):
        create_fusion(configured(path), encode)


def test_the_neighbour_rule_reaches_the_network():
    assert create_fusion(configured(neighbour_rule="quirk_gpu"), encode)._network.rule.value == "quirk_gpu"
