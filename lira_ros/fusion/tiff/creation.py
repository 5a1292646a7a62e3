"""Make method tiff from its configuration: the network, and whether what it was trained with can be had here."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.method import Encode
from lira_ros.fusion.tiff.checkpoint import TiffCheckpointError, load_tiff
from lira_ros.fusion.tiff.lifted_fragment import SURFACE_FEATURES
from lira_ros.fusion.tiff.sparse_convolution import BackEnd, NeighbourRule
from lira_ros.fusion.tiff.tiff_fusion import TiffFusion
from lira_ros.reasoning.compute import choose_device
from lira_ros.reasoning.models.cards import card_folder

# The network that is shipped; its card lies beside it.
SHIPPED = Path("fusion") / "tiff-homes.safetensors"
# What a training notes in the metadata of its file.
TEXT, FEATURES = "sentence", "surface"


def create_tiff_fusion(configuration: FusionConfiguration, encode: Encode | None) -> TiffFusion:
    """Return the engine with the network that is configured.

    encode: returns the sentence vector of a text. Raises TiffCheckpointError that names the file when it holds no TIFF
    or one that was trained with features that candidates do not have, ReasoningError for a device that there is not.
    """
    settings = configuration.tiff
    path = Path(settings.weights) if settings.weights else card_folder() / SHIPPED
    network = load_tiff(path, NeighbourRule(settings.neighbour_rule), BackEnd(settings.back_end))
    known = _description(path)
    if known.get("features") != FEATURES or known.get("text") != TEXT:
        raise TiffCheckpointError(
            f"{path}: this network was trained with text features of {network.text_length} numbers (LISA: 4096, its "
            f"hidden states before [SEG]) and voxel features of {network.feature_length} (SAM: 256, its image "
            "embedding). Candidates have neither: their embeddings are of unit length, and no back end sends image "
            "embeddings along. Use a network of lira train fusion --model tiff, trained with the names of candidates "
            f"and with colour and shape, or give fragments to lira_ros.fusion.tiff.network.Tiff directly"
        )
    if encode is None:
        raise TiffCheckpointError(
            f"{path}: the names of candidates have to be encoded, and there is no sentence encoder"
        )
    if network.feature_length < SURFACE_FEATURES or network.text_length < len(encode("")):
        raise TiffCheckpointError(
            f"{path}: expected a network for at least {len(encode(''))} numbers of text and {SURFACE_FEATURES} of a "
            f"voxel, got {network.text_length} and {network.feature_length}"
        )
    return TiffFusion(configuration, network.to(choose_device(settings.device)), encode)


def _description(path: Path) -> dict[str, object]:
    """Return what a training noted of its network; nothing where the file is none of a training."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            known = json.loads((file.metadata() or {}).get("network", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise TiffCheckpointError(f"{path}: its description cannot be read: {error}") from error
    return known if isinstance(known, dict) else {}
