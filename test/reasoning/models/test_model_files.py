import json
import os
import socket

import pytest

from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.cards import ModelCard, ModelFile, ModelRepository
from lira_ros.reasoning.models.files import (
    MANIFEST_NAME,
    ManifestFile,
    ModelMissing,
    format_bytes,
    locate,
    model_folder,
    write_manifest,
)
from lira_ros.reasoning.models.verification import verify


def make_card(*repositories):
    return ModelCard("toy", "detector", "toy", "A toy.", "MIT", 0.1, repositories)


TOWER = ModelRepository("someone/tower", "v1", (ModelFile("config.json", 2), ModelFile("tower.bin")), part="tower")
CARD = make_card(
    ModelRepository("someone/toy", "main", (ModelFile("config.json", 2), ModelFile("model*.safetensors"))), TOWER
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return the folder of the toy model; connections fail."""
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path / "models"))

    def connect(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tmp_path / "models" / "toy"


def write(folder, **contents):
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def complete(folder):
    write(
        folder,
        config_dot_json=b"{}",
        model_dot_safetensors=b"weights",
        tower__config_dot_json=b"{}",
        tower__tower_dot_bin=b"tower",
    )


def test_complete_files_are_found(folder):
    complete(folder)
    assert locate(CARD) == folder


def test_the_default_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("LIRA_MODELS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_folder(CARD) == tmp_path / ".cache" / "lira_ros" / "models" / "toy"


def test_what_is_missing_is_listed_with_where_from_and_where_to(folder):
    with pytest.raises(ModelMissing) as caught:
        locate(CARD)
    text = str(caught.value)
    assert f"from someone/toy (revision main) into {folder}:\n  config.json (2 bytes)\n  model*.safetensors (" in text
    assert f"from someone/tower (revision v1) into {folder}/tower:\n  config.json (2 bytes)\n  tower.bin\n" in text
    assert text.endswith("lira models fetch toy")
    assert caught.value.files == ("config.json", "model*.safetensors", "tower/config.json", "tower/tower.bin")


def test_only_what_is_missing_is_listed(folder):
    complete(folder)
    (folder / "tower" / "tower.bin").unlink()
    with pytest.raises(ModelMissing) as caught:
        locate(CARD)
    assert caught.value.files == ("tower/tower.bin",)
    assert "someone/toy" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"{ }"), "here it has 3 of 2 bytes"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "a broken link"),
        (lambda path: (path.unlink(), path.mkdir()), "not a file"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_reason(folder, spoil, said):
    complete(folder)
    spoil(folder / "config.json")
    with pytest.raises(ModelMissing, match=r"config.json \(2 bytes; ") as caught:
        locate(CARD)
    assert said in str(caught.value)


def test_links_to_files_and_folders_count_as_what_they_point_to(folder, tmp_path):
    complete(tmp_path / "elsewhere")
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tower"):
        (folder / name).symlink_to(tmp_path / "elsewhere" / name)
    (folder / "round").symlink_to(folder)
    assert locate(CARD) == folder


def test_what_is_optional_may_be_missing_and_is_said_with_the_rest(folder):
    card = make_card(
        ModelRepository("someone/toy", "main", (ModelFile("config.json", 2), ModelFile("chat*", optional=True)))
    )
    with pytest.raises(
        ModelMissing, match=r"  config\.json \(2 bytes\)\n  chat\* \(.*; if the repository has it\)"
    ) as caught:
        locate(card)
    assert caught.value.files == ("config.json",)
    write(folder, config_dot_json=b"{}")
    assert locate(card) == folder
    assert [finding.path for finding in verify(card)] == ["config.json"]
    write_manifest(folder, {"chat.txt": ManifestFile(4, "0" * 64, "someone/toy", "abc")})
    with pytest.raises(ModelMissing, match=r"chat\.txt"):
        locate(card)


def test_every_file_that_an_index_names_is_needed(folder):
    complete(folder)
    card = make_card(ModelRepository("someone/toy", "main", (ModelFile("model.safetensors.index.json"),)), TOWER)
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "../../secret"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1.safetensors").write_bytes(b"1")
    with pytest.raises(ModelMissing) as caught:
        locate(card)
    assert caught.value.files == ("model-2.safetensors",)
    (folder / "model-2.safetensors").write_bytes(b"2")
    assert locate(card) == folder
    (folder / "model.safetensors.index.json").write_text("[" * 100000)
    assert locate(card) == folder  # the loader says what is wrong with it


def test_an_index_that_only_a_pattern_names_is_followed(folder):
    card = make_card(ModelRepository("someone/toy", "main", (ModelFile("model*.safetensors*"),), part="part"))
    write(folder, **{"part__model-1.safetensors": b"1"})
    (folder / "part" / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    )
    with pytest.raises(ModelMissing) as caught:
        locate(card)
    assert caught.value.files == ("part/model-2.safetensors",)


def test_the_manifest_of_a_fetch_knows_more_than_a_pattern(folder):
    complete(folder)
    known = {
        "model.safetensors": ManifestFile(7, "0" * 64, "someone/toy", "abc"),
        "model-extra.safetensors": ManifestFile(5, "0" * 64, "someone/toy", "abc"),
    }
    write_manifest(folder, known)
    with pytest.raises(ModelMissing, match=r"model-extra\.safetensors") as caught:
        locate(CARD)
    assert caught.value.files == ("model-extra.safetensors",)


@pytest.mark.parametrize("text", ["{", "[]", '{"files": {"../x": {}}}', '{"files": {"x": {"bytes": "many"}}}'])
def test_a_broken_manifest_is_named(folder, text):
    complete(folder)
    (folder / MANIFEST_NAME).write_text(text)
    with pytest.raises(ReasoningError, match=MANIFEST_NAME):
        locate(CARD)


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (1500, "1.5 kB"), (13_500_000_000, "13.5 GB")])
def test_sizes_are_shown_as_the_hub_does(count, text):
    assert format_bytes(count) == text


def test_libraries_that_load_models_are_kept_off_the_network(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed here")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    create_reasoner(ReasonerConfiguration(), None)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises((LocalEntryNotFoundError, OfflineModeIsEnabled)):
        hf_hub_download("someone/toy", "config.json")
