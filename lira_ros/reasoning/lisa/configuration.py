"""What can be set of the lisa back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class LisaConfiguration:
    """Which checkpoint answers, and how."""

    model: str = parameter("lira-7b", "Card of the checkpoint (lira models list), or a card file")
