"""On which device and with which numbers a model runs. Imports torch only when it is asked."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lira_ros.configuration import parameter
from lira_ros.reasoning.contracts import ReasoningError

if TYPE_CHECKING:
    import torch

DEVICE_CHOICES = ("auto", "cpu", "cuda")
PRECISION_CHOICES = ("auto", "float32", "bfloat16", "float16", "int8", "int4")
# Weights of these are made by bitsandbytes; what is computed stays bfloat16.
QUANTIZED = ("int8", "int4")


@dataclass(frozen=True)
class ComputeConfiguration:
    """Where a model runs and how its weights are held."""

    device: str = parameter("auto", "Where models run; auto = the GPU where there is one", choices=DEVICE_CHOICES)
    precision: str = parameter(
        "auto",
        "Numbers of the weights; auto = bfloat16 on a GPU, float32 on a processor; int8 and int4 need bitsandbytes",
        choices=PRECISION_CHOICES,
    )


def choose_device(wanted: str) -> torch.device:
    """Return the torch device of a choice.

    Raises ReasoningError when torch is missing, or when "cuda" is asked for and torch sees no GPU.
    """
    if importlib.util.find_spec("torch") is None:
        raise ReasoningError("this back end needs PyTorch, which is not installed: make setup")
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ReasoningError(
            f"compute.device: cuda was asked for, but PyTorch {torch.__version__} sees no GPU (driver, or a CPU build)"
        )
    return torch.device("cuda")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type in which a model computes; for int8 and int4 that of what is not quantized.

    Raises ReasoningError when a quantized precision is asked for without bitsandbytes.
    """
    import torch

    if precision in QUANTIZED and importlib.util.find_spec("bitsandbytes") is None:
        raise ReasoningError(
            f"compute.precision: {precision} needs bitsandbytes, which is not installed: "
            "pip install --no-deps -r requirements/quantization.in"
        )
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision in names:
        return names[precision]
    if precision == "auto" and device.type == "cpu":
        return torch.float32
    return torch.bfloat16
