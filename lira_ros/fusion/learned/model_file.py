"""Files of the learned fusion: safetensors with the sizes of the network in their metadata."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lira_ros.fusion.configuration import LearnedConfiguration
from lira_ros.fusion.learned.network import InstanceNetwork, NetworkShape
from lira_ros.reasoning.compute import choose_device
from lira_ros.reasoning.models.cards import card_folder

# The network that is shipped, beside the model cards.
SHIPPED = Path("fusion") / "instances-homes.safetensors"


class FusionModelError(ValueError):
    """A file holds no network of the learned fusion; names the file, what was expected and what came."""


def load_network(configuration: LearnedConfiguration) -> InstanceNetwork:
    """Return the network that is configured, on its device.

    Raises FusionModelError for a file that holds none, ReasoningError for a device that there is not.
    """
    path = Path(configuration.weights) if configuration.weights else card_folder() / SHIPPED
    return load_network_file(path).to(choose_device(configuration.device))


def load_network_file(path: Path) -> InstanceNetwork:
    """Return the network of a file that `lira train fusion` wrote, on the processor and in single precision.

    The adapters' lengths come from their weights; everything else must have the sizes of NetworkShape. Raises
    FusionModelError that names the file, and weights that are missing, unknown or of another shape.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FusionModelError(f"{path}: expected a .safetensors file of the learned fusion: {error}") from error
    lengths = {
        f"{name}_length": weights[f"{name}_adapter.weight"].shape[1] if f"{name}_adapter.weight" in weights else 0
        for name in ("text", "look")
    }
    network = InstanceNetwork(NetworkShape(**lengths))
    wanted = network.state_dict()
    missing = sorted(set(wanted) - set(weights))
    unknown = sorted(set(weights) - set(wanted))
    if missing or unknown:
        raise FusionModelError(
            f"{path}: no network of the learned fusion: {len(missing)} weights are missing ({_some(missing)}), "
            f"{len(unknown)} are unknown ({_some(unknown)})"
        )
    for name, tensor in weights.items():
        if tensor.shape != wanted[name].shape:
            raise FusionModelError(
                f"{path}: {name} expected shape {tuple(wanted[name].shape)}, got {tuple(tensor.shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise FusionModelError(f"{path}: {name} expected finite numbers, got NaN or infinity")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return network.eval()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
