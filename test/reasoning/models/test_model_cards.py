import re

import pytest
import yaml

from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.detector.configuration import DetectorConfiguration
from lira_ros.reasoning.detector.reasoner import load_detector
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.embeddings.creation import create_region_encoder
from lira_ros.reasoning.lisa.configuration import LisaConfiguration
from lira_ros.reasoning.lisa.reasoner import create_lisa_reasoner
from lira_ros.reasoning.models.cards import KINDS, ModelCardError, card_folder, find_card, load_cards, read_card
from lira_ros.reasoning.models.files import ModelMissing
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.creation import create_segmenter
from lira_ros.reasoning.vlm.configuration import VlmConfiguration
from lira_ros.reasoning.vlm.reasoner import create_vlm_reasoner

COMPUTE = ComputeConfiguration(device="cpu")

CARD = {
    "name": "toy",
    "kind": "detector",
    "family": "grounding_dino",
    "description": "A toy.",
    "license": "MIT",
    "memory_gib": 0.5,
    "repositories": [
        {
            "hub_id": "someone/toy",
            "revision": "main",
            "files": [{"path": "config.json", "bytes": 2, "sha256": "0" * 64}, {"path": "part/model*.bin"}],
        }
    ],
    "options": {"size_px": 3},
}


def write(tmp_path, card):
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(card))
    return path


def with_value(place, value):
    """Return the card with another value at a place like "repositories.files.path"."""
    card = yaml.safe_load(yaml.safe_dump(CARD))
    item = card
    *names, last = place.split(".")
    for name in names:
        item = item[name][0] if isinstance(item[name], list) else item[name]
    item[last] = value
    return card


def test_a_card_is_read_from_a_file(tmp_path):
    card = find_card(str(write(tmp_path, CARD)))
    assert (card.name, card.kind, card.family, card.memory_gib) == ("toy", "detector", "grounding_dino", 0.5)
    assert card.options == {"size_px": 3}
    files = card.repositories[0].files
    assert (files[0].path, files[0].bytes, files[0].sha256) == ("config.json", 2, "0" * 64)
    assert (files[1].path, files[1].bytes, files[1].sha256) == ("part/model*.bin", None, None)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("name", "../toy", "name: expected the form"),
        ("name", "a..b", "name: expected the form"),
        ("name", None, "name: expected the form"),
        ("kind", "robot", "kind: expected one of lisa, vision_language"),
        ("memory_gib", "much", "memory_gib: expected a number above 0"),
        ("memory_gib", -1, "memory_gib: expected a number above 0"),
        ("memory_gib", float("nan"), "memory_gib: expected a number above 0"),
        ("license", "", "license: expected a text"),
        ("license", ["MIT"], "license: expected a text"),
        ("options", [1], "options: expected names and values"),
        ("repositories", [], "repositories: expected a list"),
        ("repositories", "someone/toy", "repositories: expected a list"),
        ("repositories", ["someone/toy"], "repositories: expected entries with hub_id"),
        ("repositories.hub_id", "someone/../toy", "hub_id: expected the form"),
        ("repositories.hub_id", "https://evil.example/x", "hub_id: expected the form"),
        ("repositories.revision", "", "revision: expected the form"),
        ("repositories.part", "/etc", "part: expected a path below"),
        ("repositories.url", "x", "repositories: unknown url"),
        ("repositories.files.path", "../secret", "path: expected a path below"),
        ("repositories.files.path", "/etc/passwd", "path: expected a path below"),
        ("repositories.files.path", "a\\b", "path: expected a path below"),
        ("repositories.files.path", "C:/x", "path: expected a path below"),
        ("repositories.files.path", "a//b", "path: expected a path below"),
        ("repositories.files.path", "a\nb", "path: expected a path below"),
        ("repositories.files.path", 7, "path: expected a path below"),
        ("repositories.files.path", "*.json", "has neither bytes nor sha256"),
        ("repositories.files.path", "part/model*.bin", "has neither bytes nor sha256"),
        ("repositories.files.bytes", -1, "bytes: expected a whole number"),
        ("repositories.files.bytes", True, "bytes: expected a whole number"),
        ("repositories.files.sha256", "abc", "sha256: expected 64 digits"),
        ("repositories.files.optional", "yes", "optional: expected true or false"),
        ("repositories.files.md5", "abc", "files: unknown md5"),
        ("price", 5, "unknown price"),
    ],
)
def test_a_broken_card_is_named_with_its_field(tmp_path, place, value, said):
    path = write(tmp_path, with_value(place, value))
    with pytest.raises(ModelCardError) as caught:
        read_card(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_listed_twice_is_named(tmp_path):
    card = with_value("repositories.files", [{"path": "a.bin"}, {"path": "a.bin"}])
    with pytest.raises(ModelCardError, match=r"a\.bin is listed twice"):
        read_card(write(tmp_path, card))


@pytest.mark.parametrize("missing", ["name", "kind", "license", "repositories"])
def test_a_missing_field_is_named(tmp_path, missing):
    with pytest.raises(ModelCardError, match=f"missing {missing}"):
        read_card(write(tmp_path, {name: value for name, value in CARD.items() if name != missing}))


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "\x00"])
def test_a_file_that_is_no_card_is_named(tmp_path, text):
    path = tmp_path / "toy.yaml"
    path.write_text(text)
    with pytest.raises(ModelCardError, match=r"toy\.yaml"):
        read_card(path)


def test_an_unknown_card_is_answered_with_those_that_exist():
    with pytest.raises(ModelCardError, match=r"model 'toy' has no card; there are .*lira-7b"):
        find_card("toy")


@pytest.mark.parametrize("path", sorted(card_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_card_is_whole(path):
    card = read_card(path)
    assert card.name == path.stem
    assert card.kind in KINDS
    names = [file.path for repository in card.repositories for file in repository.files]
    assert any(name.endswith(("config.json", "*.json")) for name in names), "what architecture is it?"
    assert any(name.endswith((".safetensors", ".safetensors*", ".bin")) for name in names), "where are its weights?"
    assert all("/" in repository.hub_id for repository in card.repositories)
    assert len({repository.part for repository in card.repositories}) == len(card.repositories)
    assert find_card(card.name) == card


LOADERS = {
    "lisa": lambda name: create_lisa_reasoner(LisaConfiguration(model=name), COMPUTE, None),
    "vision_language": lambda name: create_vlm_reasoner(
        VlmConfiguration(model=name), COMPUTE, SegmentationConfiguration(), EmbeddingConfiguration(), None
    ),
    "segmenter": lambda name: create_segmenter(SegmentationConfiguration(method="model", model=name), COMPUTE),
    "detector": lambda name: load_detector(
        find_card(name), DetectorConfiguration(model=name), SegmentationConfiguration(), COMPUTE
    ),
    "image_encoder": lambda name: create_region_encoder(
        EmbeddingConfiguration(method="image", model=name), COMPUTE, None
    ),
}


@pytest.mark.parametrize("name", sorted(load_cards()))
def test_every_shipped_card_is_accepted_by_the_code_that_loads_it(name, tmp_path, monkeypatch):
    """It gets as far as missing the files: kind, family and options are those that the code knows."""
    pytest.importorskip("transformers", reason="transformers runs from Python 3.11 on")
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    with pytest.raises(ModelMissing, match=f"model {re.escape(name)}: "):
        LOADERS[find_card(name).kind](name)


def test_every_kind_of_model_has_cards():
    assert {card.kind for card in load_cards().values()} == set(KINDS)
