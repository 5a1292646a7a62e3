"""What can be set of the hybrid back end, which asks a fast one for plain names and another for everything else."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class HybridConfiguration:
    """Which back end answers what."""

    fast: str = parameter("detector", "Back end for instructions that are a plain name, like 'red chair'")
    slow: str = parameter("vlm", "Back end for everything else")
