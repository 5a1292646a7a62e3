"""An instance that was judged, as it is shown to people."""

import numpy as np

from lira_ros.fusion.contracts import Conformity, Instance, OrientedBox, Verdict
from lira_ros.reasoning.contracts import Attributes


def thing(number, conformity=Conformity.CONFORMS, center=(0.0, 1.0, 1.0), score=0.5):
    """Return a mug of 25 cm with a verdict on the instruction find-1 or mug."""
    pose = np.eye(4)
    pose[:3, 3] = center
    voxels = np.argwhere(np.ones((5, 5, 5))) - 2 + np.rint(np.array(center) / 0.05).astype(int)
    return Instance(
        id=number,
        label="mug",
        label_confidence=0.5,
        existence=0.75,
        attributes=Attributes(),
        box=OrientedBox(pose, np.array([0.25, 0.25, 0.25])),
        voxel_size_m=0.05,
        voxels=voxels.astype(np.int32),
        voxel_colors=np.zeros((len(voxels), 3), np.uint8),
        first_seen_ns=0,
        last_seen_ns=0,
        observations=1,
        verdicts={name: Verdict(conformity, score, "It is *red*.") for name in ("find-1", "mug")},
    )
