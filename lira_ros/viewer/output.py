"""Where a recording goes: a viewer that is opened here, one that runs already, a file."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lira_ros.viewer.blueprint import blueprint
from lira_ros.viewer.configuration import ViewerConfiguration

if TYPE_CHECKING:
    from rerun import FileSink, GrpcSink, RecordingStream

APPLICATION = "lira"
INSTALL = "the Rerun viewer is not installed: pip install rerun-sdk==0.41.0"
# A viewer opens its port within a second or two; on a loaded computer later.
START_S = 20.0
# The rest of a recording is on its way to a viewer; one that hangs is not waited for.
FLUSH_S = 10.0


class ViewerError(RuntimeError):
    """Nothing can be shown; says why and what mends it."""


def is_installed() -> bool:
    """Tell whether the package rerun-sdk can be imported."""
    return importlib.util.find_spec("rerun") is not None


def has_display() -> bool:
    """Tell whether a window can be opened on this computer."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Output:
    """An open recording; close it, so that a file is complete. ``notice``: where it is to be seen, for a person."""

    def __init__(self, configuration: ViewerConfiguration) -> None:
        """Open a viewer, connect to one, open the file, as configured.

        Raises ViewerError when Rerun is missing, the file cannot be written, or nothing would show anything.
        """
        if not is_installed():
            raise ViewerError(INSTALL)
        import rerun

        where = _chosen_viewer(configuration)
        file = _checked_file(configuration.save)
        self._page: subprocess.Popen[bytes] | None = None
        self.stream: RecordingStream = rerun.RecordingStream(APPLICATION)
        sinks: list[GrpcSink | FileSink] = []
        notices: list[str] = []
        if where in ("window", "web"):
            viewer = _open_viewer(configuration, web=where == "web")
            self._page = viewer if where == "web" else None
            sinks.append(rerun.GrpcSink(f"rerun+http://127.0.0.1:{configuration.port}/proxy"))
            page = f"http://127.0.0.1:{configuration.web_port}?url=rerun%2Bhttp://127.0.0.1:{configuration.port}/proxy"
            notices.append(page if where == "web" else "a window of the Rerun viewer")
        if configuration.connect:
            try:
                sinks.append(rerun.GrpcSink(configuration.connect))
            except (ValueError, RuntimeError) as error:
                raise ViewerError(f"connect: {configuration.connect}: {error}") from error
            notices.append(configuration.connect)
        if file is not None:
            sinks.append(rerun.FileSink(str(file)))
            notices.append(str(file))
        self.notice = "showing in " + " and ".join(notices)
        self.stream.set_sinks(*sinks, default_blueprint=blueprint())

    @property
    def is_page(self) -> bool:
        """Tell whether a page is served, which ends with this recording."""
        return self._page is not None and self._page.poll() is None

    def close(self) -> None:
        """Write what is still on its way and end the page; a window stays open for people to look on."""
        try:
            self.stream.flush(timeout_sec=FLUSH_S)
        finally:
            self.stream.disconnect()
            if self._page is not None:
                self._page.terminate()
                self._page.wait()


def _chosen_viewer(configuration: ViewerConfiguration) -> str:
    where = configuration.open
    elsewhere = bool(configuration.connect or configuration.save)
    if where == "auto":
        where = "window" if has_display() and not elsewhere else "none"
    if where == "window" and not has_display():
        raise ViewerError("there is no display for a window: choose web, connect or save")
    if where == "none" and not elsewhere:
        raise ViewerError("there is no display for a window: choose web, connect or save")
    return where


def _checked_file(name: str) -> Path | None:
    if not name:
        return None
    path = Path(name).expanduser()
    if path.suffix != ".rrd":
        raise ViewerError(f"save: {name}: expected a name that ends in .rrd")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise ViewerError(f"save: {name}: {error.strerror or error}") from error
    return path


def _open_viewer(configuration: ViewerConfiguration, *, web: bool) -> subprocess.Popen[bytes]:
    """Start the viewer that comes with the package, for this computer only, and wait until it listens."""
    if _listens(configuration.port):
        raise ViewerError(
            f"port {configuration.port} is in use: if that is a viewer, connect to "
            f"rerun+http://127.0.0.1:{configuration.port}/proxy, or choose another port"
        )
    limit = f"{configuration.memory_limit_mib}MiB"
    command = [sys.executable, "-m", "rerun_cli", "--bind", "127.0.0.1", "--port", str(configuration.port)]
    command += ["--memory-limit", limit, "--server-memory-limit", limit]
    command += ["--serve-web", "--web-viewer-port", str(configuration.web_port)] if web else ["--expect-data-soon"]
    # In a session of its own: Ctrl-C ends what is shown, not the window in which it is looked at.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=not web,
    )
    deadline_s = time.monotonic() + START_S
    while not _listens(configuration.port):
        if process.poll() is not None:
            raise ViewerError(f"the viewer ended at once with code {process.returncode}: try {' '.join(command[1:])}")
        if time.monotonic() > deadline_s:
            process.terminate()
            raise ViewerError(f"the viewer does not listen on port {configuration.port} after {START_S:g} s")
        time.sleep(0.1)
    return process


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(0.5)
        return connection.connect_ex(("127.0.0.1", port)) == 0
