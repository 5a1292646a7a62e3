"""lira train: from options to a model with its card, and on after an interruption."""

import json
import sys
from types import ModuleType

import pytest
import yaml

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from lira_ros.cli.main import main  # noqa: E402
from lira_ros.training.homes import HomeStore  # noqa: E402
from lira_ros.training.model_file import load_weights  # noqa: E402


class LineTask:
    """Learn the slope of a line."""

    gradient_norm = 1.0
    best_figure = "closeness"

    def __init__(self, configuration, store, device):
        self.network = torch.nn.Linear(1, 1)
        if configuration.start_from:
            load_weights(self.network, configuration.start_from)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)

    def learning_rate_factor(self, epoch, step):
        return 1.0

    def batches(self, epoch, generator):
        for _ in range(3):
            yield torch.from_numpy(generator.random((8, 1)).astype("float32"))

    def losses(self, batch):
        return {"total": ((self.network(batch) - 2.0 * batch) ** 2).mean()}

    def validate(self):
        return {"closeness": -abs(float(self.network.weight.detach()) - 2.0)}

    def description(self):
        return {"inputs": 1}


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    """Let the model "instances" be a line, and homes need no drawing."""
    module = ModuleType("line_task")
    module.create = LineTask
    monkeypatch.setitem(sys.modules, "line_task", module)
    monkeypatch.setattr("lira_ros.training.task.TASKS", {"instances": ("line_task", "create")})
    prepared = []
    monkeypatch.setattr(HomeStore, "prepare", lambda self, seeds, jobs: prepared.append((tuple(seeds), jobs)))
    threads = torch.get_num_threads()
    yield prepared
    torch.set_num_threads(threads)


def train(folder, *arguments):
    return main(["train", "fusion", "--out", str(folder / "run"), "--data", str(folder / "homes"), *arguments])


def test_a_model_is_written_with_how_it_was_made(tmp_path, tiny_model, capsys):
    assert train(tmp_path, "--homes", "3", "--validation-homes", "1000,1002", "--epochs", "2", "--device", "cpu") == 0
    assert tiny_model == [((1, 2, 3, 1000, 1002), 1)]
    path = tmp_path / "run" / "instances.safetensors"
    assert str(path) in capsys.readouterr().out
    assert path.stat().st_mode & 0o777 == 0o644
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["network"]) == {"inputs": 1}
    training = json.loads(metadata["training"])
    card = yaml.safe_load(path.with_suffix(".yaml").read_text())
    assert card["parameters"] == 2
    assert card["file"]["bytes"] == path.stat().st_size
    assert card["configuration"] == training["configuration"]
    assert training["configuration"]["homes"] == "3"
    assert training["data"]["homes"] == 3
    assert training["result"]["steps"] == 6
    assert training["result"]["all_epochs_done"] is True
    assert training["result"]["chosen_by"] == "closeness"
    assert training["result"]["figures"]["closeness"] == pytest.approx(
        -abs(float(load_file(path)["weight"]) - 2.0), abs=1e-4
    )
    assert training["result"]["last_losses"]["total"] > 0
    assert str(tmp_path) not in json.dumps([metadata, card])


def test_a_training_goes_on_with_the_options_that_it_began_with(tmp_path, capsys):
    assert train(tmp_path, "--homes", "2", "--epochs", "1", "--seed", "7") == 0
    first = load_file(tmp_path / "run" / "instances.safetensors")
    assert train(tmp_path, "--homes", "2") == 1
    assert "there is a training already; go on with --resume" in capsys.readouterr().err
    assert train(tmp_path, "--resume", "--seed", "8") == 1
    assert "has seed 7, not 8; only epochs, max_minutes" in capsys.readouterr().err
    assert train(tmp_path, "--resume", "--epochs", "3") == 0
    card = yaml.safe_load((tmp_path / "run" / "instances.yaml").read_text())
    assert card["configuration"]["seed"] == 7
    assert card["result"]["steps"] == 9
    whole = tmp_path / "whole"
    assert train(whole, "--homes", "2", "--epochs", "3", "--seed", "7") == 0
    second = load_file(tmp_path / "run" / "instances.safetensors")
    assert torch.equal(second["weight"], load_file(whole / "run" / "instances.safetensors")["weight"])
    assert not torch.equal(first["weight"], second["weight"])


def test_weights_to_start_from_are_told_by_name_and_content(tmp_path, capsys):
    start = tmp_path / "start.safetensors"
    save_file({"weight": torch.full((1, 1), 1.999), "bias": torch.zeros(1)}, start)
    assert train(tmp_path, "--from", str(start), "--epochs", "1") == 0
    card = yaml.safe_load((tmp_path / "run" / "instances.yaml").read_text())
    assert card["configuration"]["start_from"]["name"] == "start.safetensors"
    assert len(card["configuration"]["start_from"]["sha256"]) == 64
    assert card["result"]["figures"]["closeness"] > -0.5
    save_file({"weight": torch.zeros((1, 2)), "bias": torch.zeros(1)}, start)
    assert train(tmp_path / "other", "--from", str(start)) == 1
    assert "start.safetensors: these are weights of another network" in capsys.readouterr().err
    start.write_text("no tensors")
    assert train(tmp_path / "other", "--from", str(start)) == 1
    assert "start.safetensors: expected a safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--homes", "1-70,2000"], "home 2000 belongs to the split test: expected a seed of train"),
        (["--homes", "998-1003"], "home 1003 belongs to the split validation"),
        (["--homes", "1000"], "home 1000 belongs to the split validation"),
        (["--homes", "0"], "home 0 belongs to the split showroom"),
        (["--homes", "7-3"], "homes: 7-3 ends before it begins"),
        (["--homes", "many"], "homes: expected seeds such as 1-70,81, got 'many'"),
        (["--validation-homes", "5"], "home 5 belongs to the split train: expected a seed of validation"),
        (["--epochs", "0"], "epochs: 0 is below the minimum 1"),
        (["--max-minutes", "nan"], "max_minutes: expected a finite number"),
        (["--jobs", "0"], "jobs: 0 is below the minimum 1"),
        (["--from", "/nowhere.safetensors"], "--from /nowhere.safetensors: there is no such file"),
        (["--resume"], "--resume: there is no training in"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(tmp_path, capsys, arguments, said):
    assert train(tmp_path, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("lira: ")
    assert said in error
    assert not (tmp_path / "run").exists()


def test_unknown_parts_models_and_devices_are_wrong_usage(tmp_path, capsys):
    for arguments in (["mapping"], ["fusion", "--model", "magic"], ["fusion", "--device", "tpu"]):
        with pytest.raises(SystemExit) as end:
            main(["train", *arguments])
        assert end.value.code == 2
        assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_configuration_is_named(tmp_path, capsys, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "configuration.json").write_text(text)
    assert train(tmp_path, "--resume") == 1
    assert "configuration.json" in capsys.readouterr().err
