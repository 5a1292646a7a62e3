"""A task of a few numbers: what the trainer does can be seen in a second. As a script: is killed in a training."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

BATCHES = 12


class TinyTask:
    """Learn a sum of two numbers through dropout, so that every kind of chance has a part in it.

    spoil: called with the losses of each step, may change or end everything.
    """

    def __init__(self, configuration, spoil=lambda losses: None):
        self.network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.1), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(
            [{"params": self.network[0].parameters(), "lr": 0.03}, {"params": self.network[3:].parameters()}], lr=0.01
        )
        self.gradient_norm = 1.0
        self.best_figure = "accuracy"
        self.spoil = spoil
        self.factors = []

    def learning_rate_factor(self, epoch, step):
        self.factors.append((epoch, step))
        return 1.0 / (1.0 + 0.01 * step)

    def batches(self, epoch, generator):
        for _ in range(BATCHES):
            yield torch.from_numpy(generator.standard_normal((16, 2)).astype("float32"))

    def losses(self, batch):
        output = self.network(batch)[:, 0]
        losses = {"squares": ((output - batch.sum(1)) ** 2).mean(), "size": 0.01 * output.abs().mean()}
        losses["total"] = losses["squares"] + losses["size"]
        self.spoil(losses)
        return losses

    def validate(self):
        points = torch.linspace(-1.0, 1.0, 16).reshape(8, 2)
        error = float(((self.network(points)[:, 0] - points.sum(1)) ** 2).mean())
        return {"accuracy": -error, "noise": float(torch.rand(1))}

    def description(self):
        return {"inputs": 2, "hidden": 8}


def killing(after_steps):
    """Return a ``spoil`` that kills the process in a step, as kill -9 does."""
    steps = iter(range(after_steps))

    def spoil(losses):
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return spoil


if __name__ == "__main__":
    from lira_ros.training.configuration import TrainingConfiguration
    from lira_ros.training.task import seed_everything
    from lira_ros.training.trainer import Trainer

    torch.set_num_threads(1)
    configuration = TrainingConfiguration(epochs=3)
    seed_everything(configuration.seed)
    task = TinyTask(configuration, killing(int(sys.argv[2])))
    Trainer(task, configuration, Path(sys.argv[1]), state_interval_s=0.0).run()
