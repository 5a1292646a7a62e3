"""What can be set of the vlm back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class VlmConfiguration:
    """Which vision-language model answers, and how."""

    model: str = parameter("qwen3-vl-8b", "Card of the vision-language model (lira models list), or a card file")
