import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import yaml
from model_hub import COMMIT, ModelHub

from lira_ros.cli.main import main
from lira_ros.reasoning.models.cards import load_cards

WEIGHTS = bytes(range(256)) * 4


@pytest.fixture
def card(tmp_path, monkeypatch):
    """Return the file of a card; the folder of models is empty and every connection fails."""
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path / "models"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*_):
        raise AssertionError("the network was touched")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    path = tmp_path / "toy.yaml"
    content = {
        "name": "toy",
        "kind": "detector",
        "family": "grounding_dino",
        "description": "A toy to try things with.",
        "license": "Toy-1.0",
        "memory_gib": 0.5,
        "repositories": [
            {
                "hub_id": "someone/toy",
                "revision": "main",
                "files": [{"path": "config.json", "bytes": 2}, {"path": "weights.bin"}],
            }
        ],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def hub(card, monkeypatch):
    """Return a hub that has the model of the card; connections work again."""
    monkeypatch.undo()
    monkeypatch.setenv("LIRA_MODELS", str(card.parent / "models"))
    server = ModelHub()
    server.repositories = {"someone/toy": {"config.json": b"{}", "weights.bin": WEIGHTS}}
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.close()


def test_every_card_is_listed_without_any_network(card, capsys):
    assert main(["models", "list"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "FAMILY", "MEMORY", "FILES", "SIZE", "LICENCE"]
    assert [line.split()[0] for line in lines[1:-2]] == sorted(load_cards())
    assert all("missing" in line for line in lines[1:-2])
    assert str(card.parent / "models") in lines[-1]


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ({}, "missing ?"),
        ({"config.json": "{}", "weights.bin": "w" * 1998}, "here 2 kB"),
        ({"config.json": "{}"}, "broken 2 bytes"),
        ({"config.json": "{ }", "weights.bin": "w"}, "broken 4 bytes"),
        ({"config.json": "{}", "weights.bin": "w", "lira_manifest.json": "{"}, "broken"),
    ],
)
def test_the_list_tells_what_is_here(card, files, shown, capsys):
    for name, content in files.items():
        (card.parent / "models" / "toy").mkdir(parents=True, exist_ok=True)
        (card.parent / "models" / "toy" / name).write_text(content)
    assert main(["models", "list", str(card)]) == 0
    line = " ".join(capsys.readouterr().out.splitlines()[1].split())
    assert line.startswith(f"toy detector grounding_dino 0.5 GiB {shown}")
    assert line.endswith("Toy-1.0")


def test_fetched_then_verified(hub, card, capsys):
    assert main(["models", "fetch", str(card)]) == 0
    printed = capsys.readouterr().out
    assert "Licence: Toy-1.0" in printed
    assert f"From someone/toy at commit {COMMIT}, licence there: mit" in printed
    assert "2 files, 1.03 kB" in printed
    folder = card.parent / "models" / "toy"
    assert (folder / "weights.bin").read_bytes() == WEIGHTS
    assert main(["models", "verify", str(card)]) == 0
    assert "toy: 2 files are right, 0 are not" in capsys.readouterr().out
    (folder / "weights.bin").write_bytes(WEIGHTS[::-1])
    (folder / "more.txt").write_text("")
    assert main(["models", "verify", str(card)]) == 1
    printed = capsys.readouterr().out
    assert "toy: 1 files are right, 1 are not" in printed
    assert re.search(r"  weights\.bin: wrong hash \(expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}\)\n", printed)
    assert "  more.txt: not of this model\n" in printed
    assert "To be mended: toy." in printed


@pytest.mark.parametrize("way", ["--offline", "HF_HUB_OFFLINE"])
def test_offline_nothing_is_asked_and_what_to_copy_is_said(card, way, monkeypatch, capsys):
    if way == "HF_HUB_OFFLINE":
        monkeypatch.setenv(way, "1")
    assert main(["models", "fetch", str(card), *(["--offline"] if way == "--offline" else [])]) == 1
    error = capsys.readouterr().err
    assert f"The network is not touched ({way}" in error
    assert (
        f"from someone/toy (revision main) into {card.parent}/models/toy:\n  config.json (2 bytes)\n  weights.bin"
        in error
    )
    folder = card.parent / "models" / "toy"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "weights.bin").write_text("weights")
    assert main(["models", "fetch", str(card), "--offline"]) == 0
    assert f"all files are in {folder}" in capsys.readouterr().out
    assert main(["models", "verify", str(card)]) == 0
    assert "0 files are right, 0 are not, of 2 no hash is known" in capsys.readouterr().out


def test_without_a_way_to_the_hub_what_to_copy_is_said(hub, card, monkeypatch, capsys):
    hub.close()
    monkeypatch.setattr("lira_ros.reasoning.models.hub.FIRST_ATTEMPTS", 1)
    assert main(["models", "fetch", str(card)]) == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{hub.port} cannot be reached" in error
    assert "fetch on a computer that has one and copy the folders" in error
    assert "  config.json (2 bytes)\n  weights.bin\n" in error


def test_an_interrupted_fetch_goes_on(hub, card):
    """Ctrl-C in the middle of a file, as a person gives it; then the same command again."""
    hub.repositories["someone/toy"]["weights.bin"] = WEIGHTS * 1000
    hub.stall_after = 300_000
    command = [sys.executable, "-m", "lira_ros.cli.main", "models", "fetch", str(card)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background lets all that it starts ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert hub.stalled.wait(60)
    folder = card.parent / "models" / "toy"
    while not any(path.stat().st_size == 300_000 for path in folder.glob(".weights.bin.*.partial")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from here" in error
    assert "Traceback" not in error
    assert not (folder / "weights.bin").exists()
    hub.stall_after = None
    assert main(["models", "fetch", str(card)]) == 0
    assert ("weights.bin", "bytes=300000-") in hub.downloads()
    assert (folder / "weights.bin").read_bytes() == WEIGHTS * 1000


def test_verify_without_names_looks_at_what_is_here(card, capsys):
    assert main(["models", "verify"]) == 0
    assert "No model is in" in capsys.readouterr().out
    name = next(iter(load_cards()))
    folder = card.parent / "models" / name
    folder.mkdir(parents=True)
    (folder / "lira_manifest.json").write_text(json.dumps({"files": {"x.bin": {}}}))
    assert main(["models", "verify"]) == 1
    printed = capsys.readouterr().out
    assert "the manifest of a fetched model cannot be read" in printed
    assert f"To be mended: {name}." in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "gpt-9"], "model 'gpt-9' has no card; there are "),
        (["list", "qwen3-vl"], "did you mean qwen3-vl-2b or qwen3-vl-4b or qwen3-vl-8b?"),
        (["list", "Qwen/Qwen2.5-VL-7B-Instruct"], "did you mean qwen2.5-vl-7b?"),
        (["fetch", "lirra-7b"], "did you mean lira-7b or "),
        (["fetch", "lira-7b", "lisa-7b-v1", "--revision", "main"], "--revision: is that of one model"),
        (["verify", "/no/card.yaml"], "/no/card.yaml"),
        (["fetch", "../../etc"], "has no card"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(card, arguments, said, capsys):
    assert main(["models", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("lira: ")
    assert said in error
    assert "Traceback" not in error


def test_several_are_fetched_and_one_that_fails_leaves_the_others(hub, card, monkeypatch, capsys):
    content = yaml.safe_load(card.read_text())
    content["name"] = "other"
    content["repositories"][0]["hub_id"] = "someone/gated"
    other = card.with_name("other.yaml")
    other.write_text(yaml.safe_dump(content))
    hub.repositories["someone/gated"] = hub.repositories["someone/toy"]
    hub.gated = {"someone/gated"}
    assert main(["models", "fetch", str(other), str(card)]) == 1
    printed = capsys.readouterr()
    assert f"toy: all files are in {card.parent}/models/toy" in printed.out
    assert "the hub refuses it (401)" in printed.err
    assert "not fetched: other" in printed.err
    # Without a hub what is here is enough, and what is not here is said.
    hub.close()
    assert main(["models", "fetch", str(card)]) == 0
    assert main(["models", "fetch", str(other), str(card)]) == 1
    printed = capsys.readouterr()
    assert "from someone/gated (revision main)" in printed.err
    assert printed.out.count("toy: all files are in") == 2


def test_a_folder_that_cannot_be_written_is_named(hub, card, monkeypatch, capsys):
    (card.parent / "file").write_text("")
    monkeypatch.setenv("LIRA_MODELS", str(card.parent / "file"))
    assert main(["models", "fetch", str(card)]) == 1
    assert f"cannot write into {card.parent}/file/toy (LIRA_MODELS): Not a directory" in capsys.readouterr().err
