"""Fragment: a submap of the sparse TSDF, the unit in which the map is exchanged and moved."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BLOCK_SIZE = 8  # voxels along the edge of a block (nvblox, Open3D: blocks of 8^3)
VOXELS_PER_BLOCK = BLOCK_SIZE**3


@dataclass(frozen=True)
class Fragment:
    """Blocks of 8x8x8 voxels in the fragment's own frame.

    The first voxel of block b is voxel 8*b; voxel v is centred at v * voxel_size_m in the fragment frame.
    Voxels of a block run x fastest, then y, then z (index = x + 8*y + 64*z).

    T_map_fragment: (4, 4), maps fragment points into the map. block_coordinates: (B, 3) int32.
    tsdf: (B, 512) float32 in [-1, 1], in units of truncation_m, positive in front of the surface.
    weight: (B, 512) float32, 0 = never observed. color: (B, 512, 3) uint8 RGB.
    keyframe_ids: ids of its keyframes, ascending. revision: +1 with each change of voxels or pose.
    stamp_ns: stamp of the newest integrated frame.
    label: (B, 512) uint16, 0 = none, and label_confidence: (B, 512) float32, its lead in the vote; both or neither.
    """

    id: int
    revision: int
    stamp_ns: int
    T_map_fragment: NDArray[np.float64]
    voxel_size_m: float
    truncation_m: float
    keyframe_ids: tuple[int, ...]
    block_coordinates: NDArray[np.int32]
    tsdf: NDArray[np.float32]
    weight: NDArray[np.float32]
    color: NDArray[np.uint8]
    label: NDArray[np.uint16] | None = None
    label_confidence: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check that all arrays describe the same number of blocks."""
        count = len(self.block_coordinates)
        expected = {
            "block_coordinates": (count, 3),
            "tsdf": (count, VOXELS_PER_BLOCK),
            "weight": (count, VOXELS_PER_BLOCK),
            "color": (count, VOXELS_PER_BLOCK, 3),
        }
        if (self.label is None) != (self.label_confidence is None):
            raise ValueError(f"fragment {self.id}: label and label_confidence belong together, one is missing")
        if self.label is not None:
            expected |= dict.fromkeys(("label", "label_confidence"), (count, VOXELS_PER_BLOCK))
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"fragment {self.id}: {name} expected {shape}, got {getattr(self, name).shape}")
        if self.voxel_size_m <= 0 or self.truncation_m <= 0:
            raise ValueError(
                f"fragment {self.id}: voxel_size_m and truncation_m must be positive, "
                f"got {self.voxel_size_m} and {self.truncation_m}"
            )

    @property
    def nbytes(self) -> int:
        """Return the memory of its voxels [bytes]."""
        arrays = (self.tsdf, self.weight, self.color, self.label, self.label_confidence)
        return sum(array.nbytes for array in arrays if array is not None)

    def taken(self, rows: NDArray[np.int64]) -> Fragment:
        """Return the fragment with the blocks of (R,) ``rows`` only, copied into memory."""
        return replace(
            self,
            block_coordinates=self.block_coordinates[rows],
            tsdf=np.array(self.tsdf[rows]),
            weight=np.array(self.weight[rows]),
            color=np.array(self.color[rows]),
            label=None if self.label is None else np.array(self.label[rows]),
            label_confidence=None if self.label_confidence is None else np.array(self.label_confidence[rows]),
        )
