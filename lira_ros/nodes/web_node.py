"""Serve the web page: what the robot sees, maps and finds, and a place to say what to look for."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from rclpy.timer import Timer

from lira_ros.configuration import section
from lira_ros.ros.node import LiraNode, NodeConfiguration, run
from lira_ros.ros.web_calls import SuiteCalls
from lira_ros.ros.web_inputs import WebInputs
from lira_ros.web.access import TOKEN_VARIABLE, choose_token
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.server import WebServer
from lira_ros.web.static_files import read_static_files
from lira_ros.web.store import Store

# How often it is looked whether a page is connected; a person does not notice a fifth of a second.
LOOK_PERIOD_S = 0.2
# A page that is loaded anew comes back within a second or two; meanwhile nothing is forgotten.
LINGER_S = 10.0


@dataclass(frozen=True)
class WebNodeConfiguration(NodeConfiguration):
    """Parameters of the web node."""

    web: WebConfiguration = section(WebConfiguration)


class WebNode(LiraNode):
    """Connects the server of the page with topics and services; listens to topics while a page is open."""

    node_name = "web_node"
    configuration_class = WebNodeConfiguration
    _server: WebServer | None = None
    _calls: SuiteCalls | None = None
    _pages: WebInputs | None = None
    _timer: Timer | None = None

    def configure(self) -> None:
        """Serve the page; raises WebError or AccessError when that cannot be done."""
        self._store = Store()
        self._seen_s = float("-inf")
        self._calls = SuiteCalls(self)
        self._pages = WebInputs(self, self._store, self.configuration.web)
        self._server = self.create_server(self._store, self._calls)

    def create_server(self, store: Store, calls: SuiteCalls) -> WebServer:
        """Return the server of the page, which listens already; raises WebError or AccessError."""
        configuration = self.configuration.web
        token = choose_token(configuration.host, os.environ.get(TOKEN_VARIABLE, ""))
        server = WebServer(configuration, store, calls.answer, read_static_files(), token)
        server.start()
        # To the terminal and not to the log, which everybody in the same DDS domain can read: it may hold the token.
        for address in server.addresses():
            print(f"The page is at  {address}", flush=True)
        return server

    def activate(self) -> None:
        """Look after pages."""
        self._timer = self.create_timer(LOOK_PERIOD_S, self._look, clock=self._steady_clock)

    def deactivate(self) -> None:
        """Listen no more; pages stay connected and show nothing."""
        self._end_timer()
        if self._pages is not None:
            self._pages.close()

    def cleanup(self) -> None:
        """End the server."""
        self._end_timer()
        server, self._server = self._server, None
        if server is not None and not server.stop():
            self.get_logger().warning(f"{self.get_name()}: the web server is still busy, its thread is left behind")
        calls, self._calls = self._calls, None
        if calls is not None:
            calls.close()
        pages, self._pages = self._pages, None
        if pages is not None:
            pages.close()
            pages.destroy()

    def shut_down(self) -> None:
        """End the server besides everything else."""
        super().shut_down()
        self.cleanup()

    def autostart_failed(self) -> None:
        """End: a port that is taken or a page that is not built does not mend itself."""
        self.end_process(1)

    def diagnose(self) -> dict[str, object]:
        """Return how many pages there are and what they cost."""
        return {} if self._server is None else self._server.statistics()

    def watched(self) -> bool:
        """Tell whether a page is open, or was a moment ago."""
        now_s = time.monotonic()
        if self._server is not None and self._server.clients:
            self._seen_s = now_s
        return now_s - self._seen_s < LINGER_S

    def _look(self) -> None:
        pages, watched = self._pages, self.watched()
        if pages is None or pages.is_open == watched:
            return
        if watched:
            pages.open()
        else:
            pages.close()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None


def main(args: list[str] | None = None) -> int:
    """Run the web node until SIGINT or SIGTERM."""
    return run(WebNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
