"""Models of the transformers library from a folder: safetensors only, nothing fetched, nothing left to chance."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

from lira_ros.reasoning.compute import ComputeConfiguration, choose_device, choose_dtype
from lira_ros.reasoning.contracts import ReasoningError

_LOGGER = logging.getLogger(__name__)
# Enough to see which part of a model is missing.
_MAX_NAMED_KEYS = 3


def load_pretrained(class_name: str, folder: Path) -> Any:
    """Load a transformers model in float32 on the processor, ready for inference.

    Raises ReasoningError that names the folder when the library or a file is missing or broken, or when weights of the
    model are not in the files (the library would go on with random numbers).
    """
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        raise ReasoningError(
            "this model needs PyTorch and the transformers library, which run from Python 3.11 on: make setup"
        )
    if not folder.is_dir():
        raise ReasoningError(f"{folder}: expected the folder of a {class_name}, there is none")
    import transformers
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    # Its table of weights that are not used is long and usual; what matters is said below.
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, report = getattr(transformers, class_name).from_pretrained(
            folder, dtype="float32", local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        AttributeError,
        ImportError,
        SafetensorError,
    ) as error:
        raise ReasoningError(f"{folder}: no {class_name} can be loaded from here: {error}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(report["missing_keys"])
    if missing:
        named = ", ".join(missing[:_MAX_NAMED_KEYS])
        raise ReasoningError(f"{folder}: {len(missing)} weights of a {class_name} are missing: {named}")
    if report["unexpected_keys"]:
        _LOGGER.info("%s: weights that are not used: %d", folder, len(report["unexpected_keys"]))
    return model.eval()


def load_part(class_name: str, folder: Path) -> Any:
    """Load a tokenizer or an image processor of transformers; raises ReasoningError that names the folder."""
    import transformers

    try:
        return getattr(transformers, class_name).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ImportError) as error:
        raise ReasoningError(f"{folder}: no {class_name} can be loaded from here: {error}") from error


def place(model: Any, compute: ComputeConfiguration, coarse: tuple[str, ...]) -> tuple[Any, Any]:
    """Move a model to the device of a configuration; returns the device and the type of its coarse parts.

    coarse: names of the parts that compute in the configured precision, "" = the whole model. All others stay in
    float32: they are small, and bfloat16 tells pixels of a picture of 1024 only four by four. What is quantized in a
    language model is bfloat16 here. Raises ReasoningError when there is no such device or its memory is not enough.
    """
    import torch

    device = choose_device(compute.device)
    dtype = choose_dtype(compute.precision, device)
    for name in coarse:
        (model.get_submodule(name) if name else model).to(dtype)
    try:
        model.to(device)
    except torch.OutOfMemoryError as error:
        raise ReasoningError(f"{type(model).__name__}: the memory of the {device} is not enough: {error}") from error
    return device, dtype
