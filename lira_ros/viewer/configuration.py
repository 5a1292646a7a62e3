"""What can be set of the viewer."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class ViewerConfiguration:
    """Where recordings for the Rerun viewer go, and how much of them is kept."""

    open: str = parameter(
        "auto",
        "Viewer to open: a window on this computer, a page in its browser, none; auto = a window if there is a display",
        choices=("auto", "window", "web", "none"),
    )
    connect: str = parameter("", "Viewer that runs already, here or on another computer: rerun+http://HOST:9876/proxy")
    save: str = parameter("", "File to write as well, ending in .rrd; its folder is made")
    port: int = parameter(9876, "Port on this computer of the viewer that is opened", minimum=1024, maximum=65535)
    web_port: int = parameter(9090, "Port on this computer of the page of the viewer", minimum=1024, maximum=65535)
    memory_limit_mib: int = parameter(
        1024,
        "Most memory of the viewer that is opened [MiB]; beyond it forgets the oldest",
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
