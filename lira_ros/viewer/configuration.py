"""What can be set of the viewer."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class ViewerConfiguration:
    """Where recordings for the Rerun viewer go, and how much of them is kept."""

    open: str = parameter(
        "auto",
        "Viewer to open: a window on this computer, a page in its browser, server for viewers that connect, or none; "
        "auto = a window if there is a display and no file is written",
        choices=("auto", "window", "web", "server", "none"),
    )
    save: str = parameter("", "File to write as well, ending in .rrd; its folder is made")
    bind: str = parameter(
        "127.0.0.1", "Address at which viewers connect; 0.0.0.0 lets everybody in the network look, without a password"
    )
    port: int = parameter(9876, "Port at which viewers connect", minimum=1024, maximum=65535)
    web_port: int = parameter(9090, "Port of the page", minimum=1024, maximum=65535)
    memory_limit_mib: int = parameter(
        1024,
        "Most that is kept for viewers, and most memory of a window [MiB]; the oldest is forgotten",
        minimum=64,
        maximum=1_000_000,
    )
    image_width_px: int = parameter(480, "Largest width of the images [px]", minimum=32, maximum=4096)
    jpeg_quality: int = parameter(75, "Quality of the images", minimum=1, maximum=100)
    mesh_cell_m: float = parameter(
        0.04, "Vertices of the mesh within such a cell become one [m], 0 = all are shown", minimum=0.0, maximum=1.0
    )
    mesh_period_s: float = parameter(
        6.0, "Least time between two versions of one part of the mesh [s of sensor time]", minimum=0.0, maximum=3600.0
    )
