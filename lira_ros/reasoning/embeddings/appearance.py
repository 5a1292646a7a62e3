"""Embeddings from colours: measured with the candidate itself, so none are made here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.embeddings.contracts import RegionEncoder


class AppearanceRegionEncoder(RegionEncoder):
    """Leaves the embedding to ``candidates_from_sightings``, which takes the colours inside the mask."""

    name = "appearance"

    def encode(
        self,
        keyframe: Keyframe,
        masks: Sequence[NDArray[np.bool_]],
        labels: Sequence[str],
        colors: Sequence[str],
    ) -> NDArray[np.float32]:
        """Return (N, 0): the appearance is taken."""
        return np.zeros((len(masks), 0), dtype=np.float32)
