"""What the network is told of a candidate besides its voxels."""

from __future__ import annotations

from lira_ros.reasoning.contracts import Candidate

# LIRA, section 1.2: the keyframes of a fragment.
FRAGMENT_KEYFRAMES = 9


def text_of(candidate: Candidate) -> str:
    """Return colour and class, as LIRA's model names what it marks; either may be missing."""
    return f"{candidate.attributes.color} {candidate.label}".strip()
