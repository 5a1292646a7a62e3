import hashlib
import json
import shutil
import socket

import pytest
from model_hub import COMMIT, ModelHub

from lira_ros.reasoning.models.cards import ModelCard, ModelFile, ModelRepository
from lira_ros.reasoning.models.fetching import fetch, plan_fetch
from lira_ros.reasoning.models.files import (
    MANIFEST_NAME,
    ModelMissing,
    locate,
    model_folder,
    read_manifest,
)
from lira_ros.reasoning.models.hub import Hub, HubError, HubUnreachable
from lira_ros.reasoning.models.verification import FileState, verify

WEIGHTS = bytes(range(256)) * 400  # 102 400 bytes
TOWER = WEIGHTS[::-1]
TOWER_FILE = "tower/tower.bin"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def make_card(sha=None, size=None, revision="main", pattern="model*.safetensors"):
    return ModelCard(
        "toy",
        "detector",
        "toy",
        "A toy.",
        "MIT",
        0.1,
        (
            ModelRepository(
                "someone/toy",
                revision,
                (
                    ModelFile("config.json"),
                    ModelFile("chat*", optional=True),
                    ModelFile(pattern),
                    ModelFile("weights.bin", size, sha),
                ),
            ),
            ModelRepository("someone/tower", COMMIT, (ModelFile("tower.bin"),), part="tower"),
        ),
    )


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ModelHub()
    server.repositories = {
        "someone/toy": {
            "README.md": b"read me",
            "config.json": b"{}",
            "model-1.safetensors": WEIGHTS[1:],
            "model-2.safetensors": b"short",
            "weights.bin": WEIGHTS,
        },
        "someone/tower": {"tower.bin": TOWER},
    }
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path / "models"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.close()


def bring(card=None, revision="", on_bytes=lambda _: None):
    """Fetch a model without pauses; return its folder and the pauses that there would have been."""
    pauses = []
    with Hub(pauses.append) as connection:
        folder = fetch(plan_fetch(card or make_card(), connection, revision), connection, on_bytes)
    return folder, pauses


def test_a_fetched_model_is_complete_right_and_noted(hub):
    counts = []
    folder, pauses = bring(make_card(sha256(WEIGHTS), len(WEIGHTS)), on_bytes=counts.append)
    assert pauses == []
    assert locate(make_card()) == folder
    assert (folder / "tower" / "tower.bin").read_bytes() == TOWER
    assert (folder / "model-2.safetensors").read_bytes() == b"short"
    assert sum(counts) == 2 + len(WEIGHTS) - 1 + 5 + len(WEIGHTS) + len(TOWER)
    manifest = read_manifest(folder)
    assert set(manifest) == {
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "weights.bin",
        "tower/tower.bin",
    }
    assert manifest["config.json"].sha256 == sha256(b"{}")
    assert manifest["tower/tower.bin"] == type(manifest["config.json"])(
        len(TOWER), sha256(TOWER), "someone/tower", COMMIT
    )
    assert {finding.state for finding in verify(make_card())} == {FileState.WELL}
    assert not list(folder.rglob("*.partial"))


def test_what_is_there_and_right_is_kept_and_what_is_wrong_comes_again(hub):
    folder, _ = bring()
    hub.requests.clear()
    (folder / "weights.bin").write_bytes(WEIGHTS[:-1] + b"x")
    bring()
    assert hub.downloads() == [("weights.bin", "")]
    assert (folder / "weights.bin").read_bytes() == WEIGHTS


def test_a_connection_that_breaks_is_taken_up_where_it_broke(hub):
    hub.break_after = [10**6, 10**6, 10**6, 30_000, 20_000]
    folder, pauses = bring()
    ranges = [asked for name, asked in hub.downloads() if name == "weights.bin"]
    assert ranges == ["", "bytes=30000-", "bytes=50000-"]
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert pauses == []


def test_an_interrupted_fetch_is_incomplete_and_goes_on_later(hub):
    def interrupt(count):
        if count > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(on_bytes=interrupt)
    with pytest.raises(ModelMissing) as caught:
        locate(make_card())
    assert set(caught.value.files) == {"model-1.safetensors", "model-2.safetensors", "weights.bin", "tower/tower.bin"}
    folder = hub_folder()
    partial = next(folder.glob(".*.partial"))
    held = partial.stat().st_size
    assert 0 < held < len(WEIGHTS)
    hub.requests.clear()
    bring()
    assert ("model-1.safetensors", f"bytes={held}-") in hub.downloads()
    assert locate(make_card()) == folder
    assert not list(folder.rglob("*.partial"))


def hub_folder():
    return model_folder(make_card())


def test_a_damaged_part_costs_one_more_download(hub):
    folder = hub_folder()
    folder.mkdir(parents=True)
    partial = folder / f".weights.bin.{sha256(WEIGHTS)[:16]}.partial"
    partial.write_bytes(b"x" * 1000)
    bring()
    assert [asked for name, asked in hub.downloads() if name == "weights.bin"] == ["bytes=1000-", ""]
    assert (folder / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("held", [1000, len(WEIGHTS) + 5])
def test_a_hub_that_ignores_ranges_sends_everything_again(hub, held):
    hub.ignores_ranges = True
    folder = hub_folder()
    folder.mkdir(parents=True)
    (folder / f".weights.bin.{sha256(WEIGHTS)[:16]}.partial").write_bytes((WEIGHTS + b"12345")[:held])
    counts = []
    bring(on_bytes=counts.append)
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert sum(counts) == 2 + len(WEIGHTS) - 1 + 5 + len(WEIGHTS) + len(TOWER)


def test_content_with_another_hash_never_gets_its_name(hub):
    hub.lies["weights.bin"] = WEIGHTS[:-1] + b"x"
    with pytest.raises(HubError, match=r"weights\.bin arrived with another hash"):
        bring()
    assert not (hub_folder() / "weights.bin").exists()
    assert not list(hub_folder().glob(".weights*"))
    hub.lies["config.json"] = b"[]"  # small files are proven by Git's hash
    (hub_folder() / "config.json").unlink()
    with pytest.raises(HubError, match=r"config\.json arrived with another hash"):
        bring()


@pytest.mark.parametrize("content", [WEIGHTS + b"more", WEIGHTS[:-1000]])
def test_content_of_another_size_is_refused(hub, content):
    hub.lies["weights.bin"] = content
    with pytest.raises(HubError, match=rf"the hub sends .* {len(WEIGHTS)} bytes that it states"):
        bring()
    assert not (hub_folder() / "weights.bin").exists()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (make_card(sha="0" * 64), "the card says 0000"),
        (make_card(size=5), "has 102400 bytes, the card says 5"),
        (make_card(pattern="other*.bin"), r"someone/toy \(revision main\) has no file of the form other\*\.bin"),
        (make_card(pattern="config2.json"), "has no file config2.json"),
        (make_card(revision="v9"), r"someone/toy \(revision v9\): the hub does not have it"),
    ],
)
def test_a_hub_that_has_something_else_than_the_card_says_is_named(hub, card, said):
    with pytest.raises(HubError, match=said):
        bring(card)
    assert hub.downloads() == []


def test_a_revision_can_be_chosen(hub):
    folder, _ = bring(make_card(revision="v9"), revision=COMMIT)
    assert locate(make_card()) == folder


def test_a_busy_hub_is_asked_again(hub):
    hub.statuses = [503, 429, None, 500]
    folder, pauses = bring()
    assert pauses == [1.0, 2.0, 1.0]
    assert locate(make_card()) == folder


def test_a_hub_that_stays_busy_is_given_up(hub):
    hub.statuses = [503] * 10
    with pytest.raises(HubError, match="the hub answers 503"):
        bring()
    assert len(hub.requests) == 5


def test_a_gated_model_says_what_to_do_and_opens_with_the_key(hub, monkeypatch):
    hub.gated = {"someone/toy"}
    with pytest.raises(HubError, match=rf"must be accepted at {hub.address}/someone/toy first; set HF_TOKEN"):
        bring()
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="the token of HF_TOKEN does not open it") as caught:
        bring()
    assert "hf_wrong" not in str(caught.value)
    hub.requests.clear()
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    bring()
    assert hub.downloads()
    for path, headers in hub.requests:
        assert ("Authorization" in headers) == (not path.startswith("/cdn/"))


def test_a_key_that_is_none_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "two words")
    with pytest.raises(HubError, match="HF_TOKEN: expected") as caught:
        Hub()
    assert "words" not in str(caught.value)


@pytest.mark.parametrize("address", ["ftp://hub", "nonsense", "http://"])
def test_an_address_that_is_none_is_named(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(HubError, match="HF_ENDPOINT"):
        Hub()


def test_without_a_way_to_the_hub_that_is_said(hub, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(HubUnreachable, match="cannot be reached"):
            bring()


def test_the_proxy_of_the_environment_is_used(hub, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", hub.address)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    card = ModelCard(
        "toy", "detector", "toy", "", "", 1.0, (ModelRepository("someone/toy", "main", (ModelFile("config.json"),)),)
    )
    folder, _ = bring(card)
    assert (folder / "config.json").read_bytes() == b"{}"
    assert hub.requests[0][1]["Host"] == "hub.example"


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b'{"sha": "main", "siblings": []}', b'{"sha": 1}', b"[" * 100_000],
)
def test_a_server_that_is_no_hub_is_named(hub, monkeypatch, answer):
    monkeypatch.setattr(hub, "answer", lambda request: hub._send(request, 200, answer))
    with pytest.raises(HubError, match="answers with something else than a list of files"):
        bring()


def test_a_hub_cannot_write_outside_the_folder(hub, monkeypatch):
    listing = {"sha": COMMIT, "siblings": [{"rfilename": "../../evil.bin", "size": 3, "blobId": "0" * 40}]}
    monkeypatch.setattr(hub, "answer", lambda request: hub._send(request, 200, json.dumps(listing).encode()))
    with pytest.raises(HubError, match="expected a path below the model's folder"):
        bring()


def test_a_disk_that_is_too_small_is_said_beforehand(hub, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=500_000_100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(HubError, match=r"307 kB are still to come .* has 500 MB"):
        bring()
    assert hub.downloads() == []


def test_verification_names_everything_that_is_not_as_it_should_be(hub):
    folder, _ = bring()
    shutil.copy(folder / "model-1.safetensors", folder.parent / "elsewhere")
    (folder / "model-1.safetensors").unlink()
    (folder / "model-1.safetensors").symlink_to("../elsewhere")
    (folder / "model-2.safetensors").write_bytes(b"shore")
    (folder / "weights.bin").write_bytes(WEIGHTS[:-1])
    (folder / "tower" / "tower.bin").unlink()
    (folder / "notes.txt").write_text("mine")
    (folder / ".x.partial").write_text("")
    found = {finding.path: finding for finding in verify(make_card())}
    assert {name: finding.state.name for name, finding in found.items()} == {
        "config.json": "WELL",
        "model-1.safetensors": "WELL",
        "model-2.safetensors": "WRONG_HASH",
        "weights.bin": "WRONG_SIZE",
        "tower/tower.bin": "MISSING",
        "notes.txt": "EXTRA",
        ".x.partial": "UNFINISHED",
    }
    assert found["model-1.safetensors"].detail == "through the link ../elsewhere"
    assert found["weights.bin"].detail == "here it has 102399 of 102400 bytes"


def test_files_without_any_known_hash_are_told_apart_from_right_ones(hub):
    folder, _ = bring()
    (folder / MANIFEST_NAME).unlink()
    states = {finding.path: finding.state for finding in verify(make_card(sha=sha256(WEIGHTS)))}
    assert states.pop("weights.bin") == FileState.WELL
    assert set(states) == {"config.json", "model-1.safetensors", "model-2.safetensors", "tower/tower.bin"}
    assert set(states.values()) == {FileState.UNPROVEN}
