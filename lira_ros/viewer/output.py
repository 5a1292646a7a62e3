"""Where a recording goes: a server from which viewers fetch it, with a viewer opened on this computer, and a file."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lira_ros.viewer.blueprint import blueprint
from lira_ros.viewer.configuration import ViewerConfiguration

if TYPE_CHECKING:
    from rerun import FileSink, GrpcServerSink, RecordingStream

APPLICATION = "lira"
INSTALL = "the Rerun viewer is not installed: pip install rerun-sdk==0.41.0 (Python 3.11 or newer)"
NO_DISPLAY = (
    "there is no display for a window: --web (viewer.open: web) shows a page, --save (viewer.save) writes a file, "
    "--serve (viewer.open: server) lets viewers on other computers connect"
)
# The page is there within a second or two; on a loaded computer later.
START_S = 20.0
# What is on its way to a file or a viewer is written within moments; a disk that hangs is not waited for.
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
    """An open recording; close it, so that a file is complete. ``notice``: where it is to be seen, for a person.

    Viewers fetch from a server in this process, which keeps so much and no more: a viewer that is slow, closed or not
    there yet costs no further memory.
    """

    def __init__(self, configuration: ViewerConfiguration) -> None:
        """Open the server with its viewer, and the file, as configured.

        Raises ViewerError when Rerun is missing, the file cannot be written, a port is taken, or nobody would see it.
        """
        if not is_installed():
            raise ViewerError(INSTALL)
        import rerun

        where = _chosen(configuration)
        file = _checked_file(configuration.save)
        self._serves = where == "server"
        self._viewer: subprocess.Popen[bytes] | None = None
        self._page: subprocess.Popen[bytes] | None = None
        self.stream: RecordingStream = rerun.RecordingStream(APPLICATION)
        sinks: list[GrpcServerSink | FileSink] = []
        notices: list[str] = []
        if where != "none":
            for port in (configuration.port, *((configuration.web_port,) if where == "web" else ())):
                if _listens(port):
                    raise ViewerError(f"port {port} is in use, perhaps by another lira view: choose another")
            limit = f"{configuration.memory_limit_mib}MiB"
            sinks.append(rerun.GrpcServerSink(configuration.bind, configuration.port, server_memory_limit=limit))
        if file is not None:
            sinks.append(rerun.FileSink(str(file)))
            notices.append(f"writing {file}")
        self.stream.set_sinks(*sinks, default_blueprint=blueprint())
        if where == "window":
            self._viewer = _start(
                "--new", "--memory-limit", f"{configuration.memory_limit_mib}MiB", _url(configuration)
            )
            notices.append("showing in a window")
        elif where == "web":
            self._viewer = self._page = _serve_page(configuration)
            url = _url(configuration).replace("+", "%2B")
            notices.append(f"showing at http://127.0.0.1:{configuration.web_port}?url={url}")
        if where != "none":
            where_from = "on this computer" if configuration.bind == "127.0.0.1" else "anywhere in the network"
            notices.append(f"for viewers {where_from}: rerun {_url(configuration)}")
        self.notice = "; ".join(notices)

    @property
    def is_looked_at(self) -> bool:
        """Tell whether somebody may look on: until the window is closed, and for a page or a server always."""
        return self._serves or (self._viewer is not None and self._viewer.poll() is None)

    def close(self) -> None:
        """Write what is still on its way and end the page; a window stays open for people to look on."""
        with suppress(RuntimeError):  # a viewer that hangs does not get the rest
            self.stream.flush(timeout_sec=FLUSH_S)
        self.stream.disconnect()
        if self._page is not None:
            _end(self._page)


def _url(configuration: ViewerConfiguration) -> str:
    host = "127.0.0.1" if configuration.bind == "127.0.0.1" else socket.gethostname()
    return f"rerun+http://{host}:{configuration.port}/proxy"


def _chosen(configuration: ViewerConfiguration) -> str:
    where = configuration.open
    if where == "auto":
        where = "window" if has_display() and not configuration.save else "none"
    if (where == "none" and not configuration.save) or (where == "window" and not has_display()):
        raise ViewerError(NO_DISPLAY)
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


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the viewer that comes with the package, in a group of its own: Ctrl-C in the terminal does not end it."""
    return subprocess.Popen(
        [sys.executable, "-m", "rerun_cli", "--bind", "127.0.0.1", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that _start() started: the package starts the viewer as a child of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def _serve_page(configuration: ViewerConfiguration) -> subprocess.Popen[bytes]:
    """Serve the page on this computer and wait until it is there."""
    process = _start("--serve-web", "--web-viewer-port", str(configuration.web_port), _url(configuration))
    deadline_s = time.monotonic() + START_S
    while not _listens(configuration.web_port):
        if process.poll() is not None:
            raise ViewerError(f"the page of the viewer ended at once with code {process.returncode}")
        if time.monotonic() > deadline_s:
            _end(process)
            raise ViewerError(f"the page of the viewer is not there after {START_S:g} s")
        time.sleep(0.1)
    return process


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(0.5)
        return connection.connect_ex(("127.0.0.1", port)) == 0
