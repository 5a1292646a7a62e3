"""Where the page is served, to whom, and how much it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class WebConfiguration:
    """Parameters of the page."""

    host: str = parameter(
        "127.0.0.1",
        "Address to serve the page on; 0.0.0.0 = all networks, then a token is needed (LIRA_WEB_TOKEN, or made up)",
    )
    port: int = parameter(8088, "Port of the page, 0 = any that is free", minimum=0, maximum=65535)
    allowed_hosts: tuple[str, ...] = parameter(
        (), "Further names by which browsers may call this computer, besides its addresses and its own name"
    )
    max_clients: int = parameter(8, "Most pages that are connected at once", minimum=1, maximum=100)
    picture_rate_hz: float = parameter(4.0, "Most camera pictures sent to a page per second", minimum=0.1, maximum=30.0)
    mesh_budget_mib: int = parameter(
        256,
        "Memory for the surface that pages show [MiB]; beyond it what is farthest from the camera is left out",
        minimum=1,
        maximum=65536,
    )
