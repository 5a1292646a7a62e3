"""The trainer: the same seed gives the same bits, also through kill -9, and what goes wrong is named."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from safetensors.torch import load_file  # noqa: E402
from tiny_task import BATCHES, TinyTask  # noqa: E402

from lira_ros.training.configuration import TrainingConfiguration, TrainingError  # noqa: E402
from lira_ros.training.curves import CURVES_FILE, Curves, read_curves  # noqa: E402
from lira_ros.training.task import seed_everything  # noqa: E402
from lira_ros.training.trainer import BEST_FILE, STATE_FILE, Trainer  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(folder, resume=False, spoil=lambda losses: None, **values):
    configuration = TrainingConfiguration(**{"epochs": 3, **values})
    seed_everything(configuration.seed)
    task = TinyTask(configuration, spoil)
    return task, Trainer(task, configuration, folder, resume, state_interval_s=0.0)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder, task and result of a training that was not interrupted."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    task, trainer = made(folder)
    return folder, task, trainer.run()


def points_of(folder):
    return read_curves(folder / CURVES_FILE)


def test_a_training_learns_and_keeps_the_best_epoch(whole):
    folder, task, result = whole
    validation = [point for point in points_of(folder) if point["kind"] == "validation"]
    assert [point["epoch"] for point in validation] == [1, 2, 3]
    assert [point["step"] for point in validation] == [BATCHES, 2 * BATCHES, 3 * BATCHES]
    best = max(validation, key=lambda point: point["accuracy"])
    assert (result.epoch, result.figures["accuracy"]) == (best["epoch"], best["accuracy"])
    assert result.finished
    assert (result.epochs, result.steps) == (3, 3 * BATCHES)
    assert_equal(dict(result.weights), load_file(folder / BEST_FILE))
    train = [point for point in points_of(folder) if point["kind"] == "train"]
    assert [point["step"] for point in train] == [10, 12, 22, 24, 34, 36]  # every ten, and the rest of an epoch
    assert train[-1]["total"] < train[0]["total"]
    assert train[0]["total"] == pytest.approx(train[0]["squares"] + train[0]["size"])
    assert task.factors[BATCHES - 1 : BATCHES + 1] == [(0, BATCHES - 1), (1, BATCHES)]


def test_tensorboard_has_the_same_curves(whole):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, _, _ = whole
    board = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    drawn = [(event.step, event.value) for event in board.Scalars("validation/accuracy")]
    points = [point for point in points_of(folder) if point["kind"] == "validation"]
    assert drawn == [(point["step"], pytest.approx(point["accuracy"], rel=1e-6)) for point in points]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(whole, tmp_path):
    _, task, _ = whole
    again, trainer = made(tmp_path / "again")
    torch.rand(7)  # what was drawn before does not matter
    trainer.run()
    assert_equal(again.network.state_dict(), task.network.state_dict())
    other, trainer = made(tmp_path / "other", seed=2)
    trainer.run()
    assert not torch.equal(other.network[0].weight, task.network[0].weight)


def test_a_killed_training_goes_on_to_the_same_bits(whole, tmp_path):
    folder, task, result = whole
    # In the third step of the second epoch.
    command = [sys.executable, str(Path(__file__).with_name("tiny_task.py")), str(tmp_path / "run"), str(BATCHES + 2)]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(points_of(tmp_path / "run")) == 3
    # A killed process may also have been in the middle of a line.
    with (tmp_path / "run" / CURVES_FILE).open("a") as file:
        file.write('{"kind": "tr')

    resumed, trainer = made(tmp_path / "run", resume=True)
    end = trainer.run()
    assert_equal(resumed.network.state_dict(), task.network.state_dict())
    assert_equal(dict(end.weights), dict(result.weights))
    assert (end.epoch, end.steps, end.figures) == (result.epoch, result.steps, result.figures)
    assert points_of(tmp_path / "run") == points_of(folder)
    assert json.dumps(resumed.optimizer.state_dict()["param_groups"]) == json.dumps(
        task.optimizer.state_dict()["param_groups"]
    )


def test_curves_beyond_the_state_are_dropped(tmp_path):
    for written in (4, 8, 12):
        curves = Curves(tmp_path, written - 4, written // 4 - 1)
        curves.add("train", written, written // 4 - 1, {"total": 1.0})
        curves.add("validation", written, written // 4, {"accuracy": 0.5})
        curves.close()
    Curves(tmp_path, 8, 1).close()  # killed while the second epoch was validated
    assert [(point["kind"], point["step"]) for point in points_of(tmp_path)] == [
        ("train", 4),
        ("validation", 4),
        ("train", 8),
    ]
    (tmp_path / CURVES_FILE).write_text("no json\n{}\n")
    with pytest.raises(TrainingError, match=f"{CURVES_FILE}, line 1"):
        read_curves(tmp_path / CURVES_FILE)


def test_without_tensorboard_there_are_curves_and_a_word_about_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    curves = Curves(tmp_path, 0, 0)
    curves.add("train", 1, 0, {"total": 1.0})
    curves.close()
    assert len(points_of(tmp_path)) == 1
    assert "tensorboard is not installed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [CURVES_FILE]


def test_time_that_is_over_ends_a_training_and_more_time_goes_on(whole, tmp_path, monkeypatch):
    _, task, result = whole
    now = [0.0]
    monkeypatch.setattr("lira_ros.training.trainer.time.monotonic", lambda: now[0])

    def pass_10_s(losses):
        now[0] += 10.0

    stopped, trainer = made(tmp_path, spoil=pass_10_s, max_minutes=2.5)  # 15 steps
    early = trainer.run()
    assert (early.finished, early.steps, early.epochs) == (False, 15, 1)
    assert early.seconds == pytest.approx(150.0)
    # The better one of the finished epoch and of what there is now; both are there to be compared.
    first = points_of(tmp_path)[2]["accuracy"]
    unfinished = early.figures["accuracy"] != first
    assert early.figures["accuracy"] >= first
    assert_equal(dict(early.weights), stopped.network.state_dict() if unfinished else load_file(tmp_path / BEST_FILE))
    resumed, trainer = made(tmp_path, resume=True, spoil=pass_10_s)
    late = trainer.run()
    assert late.seconds == pytest.approx(360.0)
    assert_equal(resumed.network.state_dict(), task.network.state_dict())
    assert late.figures == result.figures


@pytest.mark.parametrize("part", ["size", "total"])
def test_a_loss_that_is_no_number_is_named_and_nothing_is_spoiled(tmp_path, part):
    calls = []

    def spoil(losses):
        calls.append(1)
        if len(calls) == BATCHES + 2:
            losses[part] = losses[part] * math.nan
            losses["total"] = losses["squares"] + losses["size"] if part == "size" else losses["total"]

    _, trainer = made(tmp_path, spoil=spoil)
    with pytest.raises(TrainingError, match=rf"epoch 2, step 2: the loss {part} is nan"):
        trainer.run()
    assert all(bool(torch.isfinite(value).all()) for value in load_file(tmp_path / STATE_FILE).values())


def test_a_gradient_that_is_no_number_is_named(tmp_path):
    def spoil(losses):
        # The root of zero is zero, its slope is not.
        losses["total"] = losses["total"] + torch.sqrt(losses["size"] * 0.0)

    _, trainer = made(tmp_path, spoil=spoil)
    with pytest.raises(TrainingError, match="epoch 1, step 1: the norm of the gradient is"):
        trainer.run()


def test_gradients_are_cut_to_the_norm_of_the_task(tmp_path):
    task, trainer = made(tmp_path, epochs=1, spoil=lambda losses: losses.update(total=1000.0 * losses["total"]))
    trainer.run()
    norm = torch.linalg.vector_norm(
        torch.stack([p.grad.norm() for p in task.network.parameters() if p.grad is not None])
    )
    assert float(norm) == pytest.approx(1.0, rel=1e-3)
    assert points_of(tmp_path)[0]["gradient_norm"] > 10.0


def test_a_folder_is_not_written_over_and_nothing_is_not_gone_on_with(whole, tmp_path):
    folder, _, _ = whole
    with pytest.raises(TrainingError, match="there is a training already; go on with --resume"):
        made(folder)
    with pytest.raises(TrainingError, match="no training to go on with"):
        made(tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["text", "format", "network"])
def test_a_state_that_does_not_fit_is_named(whole, tmp_path, damage):
    from safetensors.torch import save_file

    path = tmp_path / STATE_FILE
    if damage == "text":
        path.write_bytes(b"no tensors")
    elif damage == "format":
        save_file({"a": torch.zeros(1)}, path)
    else:
        _, trainer = made(tmp_path, epochs=1)
        trainer.run()
        configuration = TrainingConfiguration()
        task = TinyTask(configuration)
        task.network = torch.nn.Linear(3, 1)
        with pytest.raises(TrainingError, match=f"{STATE_FILE}: a training cannot go on from it"):
            Trainer(task, configuration, tmp_path, resume=True)
        return
    with pytest.raises(TrainingError, match=f"{STATE_FILE}: a training cannot go on from it"):
        made(tmp_path, resume=True)


def test_a_task_without_data_or_figure_is_named(tmp_path):
    task, trainer = made(tmp_path / "data")
    task.batches = lambda epoch, generator: iter(())
    with pytest.raises(TrainingError, match="nothing to learn from"):
        trainer.run()
    task, trainer = made(tmp_path / "figure", epochs=1)
    task.best_figure = "recall"
    with pytest.raises(TrainingError, match="validation gave no finite recall"):
        trainer.run()
    task, trainer = made(tmp_path / "total", spoil=lambda losses: losses.pop("total"))
    with pytest.raises(TrainingError, match="no loss named total, only squares, size"):
        trainer.run()
