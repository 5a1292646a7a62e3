"""Load TIFF from a published checkpoint (TIFF_base_new.ckpt, TIFF_Extansion.ckpt) or from a safetensors file.

A checkpoint is a file of PyTorch with the entries epoch, model and optimizer. The weights are under model, their names
begin with "module.neucon_net.fusion.", the first part of which is missing where no wrapper was around the network.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lira_ros.fusion.tiff.network import VOXEL_LENGTH, Tiff
from lira_ros.fusion.tiff.sparse_convolution import BackEnd, NeighbourRule, weight_of
from lira_ros.reasoning.plain_text import plain_text

# Wrapper for several devices, network, module: any of them may be missing, in this order.
_PREFIXES = ("module.", "neucon_net.", "fusion.")
_CONVOLUTION = ".sparsesubmconv3d.weight"
# As many names as still can be read in one message.
_NAMES_SHOWN = 8
_MOST_CHARACTERS = 120


class TiffCheckpointError(ValueError):
    """A file is no checkpoint of TIFF; the message names the file and what is wrong with it."""


def load_tiff(
    path: Path,
    rule: NeighbourRule = NeighbourRule.PLUS1,
    back_end: BackEnd = BackEnd.PYTORCH,
) -> Tiff:
    """Return the network with the weights of a file, in float32 on the processor and in evaluation mode.

    The lengths of the text and voxel features are those of the weights.

    Raises:
        TiffCheckpointError: if the file cannot be read, or its names, shapes or values are not those of TIFF.
    """
    stored = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        short = name
        for prefix in _PREFIXES:
            short = short.removeprefix(prefix)
        if short in weights:
            raise TiffCheckpointError(f"{path}: {_shown([short])} is there twice, with and without a prefix")
        weights[short] = tensor

    lengths = {}
    for kind, name in (("text", "text_transform.layers.0.weight"), ("feature", "contrastive_occ_pre_fc.weight")):
        if name not in weights:
            raise TiffCheckpointError(f"{path}: missing {name}, so it is no TIFF; it has {_shown(sorted(weights))}")
        if weights[name].ndim != 2 or 0 in weights[name].shape:
            raise TiffCheckpointError(f"{path}: {name}: expected two dimensions, got {tuple(weights[name].shape)}")
        lengths[kind] = weights[name].shape[1]
    with torch.device("meta"):
        network = Tiff(lengths["text"], lengths["feature"], rule, back_end)

    expected = network.state_dict()
    faults = [
        f"{kind} {_shown(names)}"
        for kind, names in (
            ("missing", sorted(expected.keys() - weights.keys())),
            ("unknown", sorted(weights.keys() - expected.keys())),
        )
        if names
    ]
    for name in expected.keys() & weights.keys():
        if name.endswith(_CONVOLUTION):
            try:
                weights[name] = weight_of(weights[name], VOXEL_LENGTH, VOXEL_LENGTH)
            except ValueError as error:
                faults.append(f"{name}: {error}")
        elif weights[name].shape != expected[name].shape:
            faults.append(f"{name}: expected {tuple(expected[name].shape)}, got {tuple(weights[name].shape)}")
    if not faults:
        faults = [
            f"{name}: expected finite floating point numbers"
            for name in sorted(expected)
            if not weights[name].is_floating_point() or not bool(torch.isfinite(weights[name]).all())
        ]
    if faults:
        shown = sorted(faults)[:_NAMES_SHOWN]
        more = f"; and {len(faults) - len(shown)} more" if len(faults) > len(shown) else ""
        raise TiffCheckpointError(f"{path}: {'; '.join(shown)}{more}")
    network.load_state_dict({name: weights[name].float() for name in expected}, assign=True)
    # Loaded by assignment, tensors of a file are plain ones; training wants their gradients.
    network.requires_grad_(True)
    return network.eval()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TiffCheckpointError(f"{path}: expected a safetensors file, which cannot be read: {error}") from error


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Bytes that are no pickle make the reader stumble in any way: IndexError, KeyError, UnpicklingError, ...
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TiffCheckpointError(
            f"{path}: expected a checkpoint of PyTorch with nothing but tensors and numbers: {first}"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        got = _shown([str(key) for key in content]) if isinstance(content, dict) else type(content).__name__
        raise TiffCheckpointError(f"{path}: expected weights under the entry model, got {got}")
    model = {str(name): item for name, item in content["model"].items()}
    others = [name for name, item in model.items() if not isinstance(item, Tensor)]
    if others:
        raise TiffCheckpointError(f"{path}: expected tensors under the entry model, {_shown(others)} is something else")
    return model


def _shown(names: list[str]) -> str:
    listed = ", ".join(plain_text(name, _MOST_CHARACTERS) for name in names[:_NAMES_SHOWN])
    return f"{listed} and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else listed
