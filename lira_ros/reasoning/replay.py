"""What can be set of the replay back end, which answers from a record of exchanges."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class ReplayConfiguration:
    """Which record answers."""

    exchanges: str = parameter("", "File of recorded exchanges (reasoner.record_exchanges) that replay answers from")
