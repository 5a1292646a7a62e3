"""What can be set of the detector back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class DetectorConfiguration:
    """Which open-vocabulary detector answers, and how."""

    model: str = parameter("grounding-dino-tiny", "Card of the detector (lira models list), or a card file")
