"""What can be set of the remote back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class RemoteConfiguration:
    """Which server answers, and how."""

    url: str = parameter("", "Address of an OpenAI-compatible server, up to and with its version: http://host:8000/v1")
    model: str = parameter("", "Name of the model at the server; empty = the first that the server lists")
