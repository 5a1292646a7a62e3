"""The server of the page: an aiohttp application in a thread with an event loop of its own.

The node that owns it puts values into the Store and answers calls; neither ever waits for a page. What a page sends is
read by calls.py and nothing else, and texts are only ever shown by the page as text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from aiohttp import WSCloseCode, WSMsgType, web

from lira_ros.web.access import COOKIE, Access, is_loopback
from lira_ros.web.calls import MAX_MESSAGE_BYTES, Answer, Call, CallError, Received, read_message
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.outbox import Outbox, SlowPageError
from lira_ros.web.static_files import StaticFile, WebError
from lira_ros.web.store import Store

# A page that is alive answers a ping in milliseconds, on a phone in a bad network in seconds.
HEARTBEAT_S = 10.0
# A page that confirms nothing for so long is gone or asleep; it connects again when it wakes up.
STALL_S = 30.0
# How long the answer to a call is waited for; saving a large map takes seconds, on a slow disk more.
ANSWER_S, SAVE_ANSWER_S = 10.0, 120.0
# Calls of one page that may be under way at once; the page asks for one thing at a time.
MOST_CALLS = 8
# Requests besides the WebSocket are a few hundred kB of files: whoever takes longer than this is cut off.
LONGEST_REQUEST_S = 60.0
# After a wrong token the next answer waits, and no more than this many wait at once: guessing gets nowhere.
WRONG_TOKEN_S, MOST_GUESSES = 1.0, 4
# Why a page was not let in (private range of RFC 6455); the page shows the reason.
TOO_MANY_PAGES = 4003

START_S, STOP_S = 10.0, 5.0
# To find this computer's address on its network: nothing is sent to it (RFC 5737, documentation only).
_SOMEWHERE = ("192.0.2.1", 9)

# Everything comes from this server, and no script may turn text into HTML.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
    "Server": "lira",
}


@dataclass(eq=False)
class _Page:
    """One connected page."""

    socket: web.WebSocketResponse
    request: web.Request
    outbox: Outbox
    news: asyncio.Event = field(default_factory=asyncio.Event)
    confirmed_s: float = field(default_factory=time.monotonic)
    calls: set[asyncio.Task[None]] = field(default_factory=set)

    def drop(self) -> None:
        """Cut the connection without waiting for the other side."""
        if self.request.transport is not None:
            self.request.transport.abort()


class WebServer:
    """Serves the page; start() and stop() from any thread."""

    def __init__(
        self,
        configuration: WebConfiguration,
        store: Store,
        answer: Callable[[Call], Future[Answer]],
        files: Mapping[str, StaticFile],
        token: str,
    ) -> None:
        """answer: called in the server's thread, must not block. token: "" = none is needed."""
        self._configuration = configuration
        self._store = store
        self._answer = answer
        self._files = files
        self._token = token
        self._access = Access(token, configuration.allowed_hosts)
        self._pages: set[_Page] = set()
        self._guesses = 0
        self._sent_bytes = 0  # to pages that are gone
        self._refused = 0
        self._dropped = 0
        self._port = configuration.port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="web_server", daemon=True)

    # ---- from any thread -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; raises WebError when the address cannot be had."""
        self._thread.start()
        self._started.result(START_S)

    def stop(self) -> bool:
        """Close all connections and end the thread; returns False when it did not end in time."""
        self._store.on_change(None)
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(ending.set)
        self._thread.join(STOP_S)
        return not self._thread.is_alive()

    @property
    def _cookie_name(self) -> str:
        # Browsers tell the ports of one computer not apart, and each may serve another robot.
        return f"{COOKIE}_{self._port}"

    @property
    def clients(self) -> int:
        """Return how many pages are connected."""
        return len(self._pages)

    def statistics(self) -> dict[str, object]:
        """Return counters for diagnostics."""
        pages = list(self._pages)
        return {
            "pages": len(pages),
            "pages sent_bytes": self._sent_bytes + sum(page.outbox.sent_bytes for page in pages),
            "pages waiting": sum(len(page.outbox) for page in pages),
            "pages dropped": self._dropped,
            "requests refused": self._refused,
            "page values_bytes": self._store.size_bytes(),
        }

    def addresses(self) -> list[str]:
        """Return the addresses to type into a browser, with the token behind the # where one is needed.

        What follows the # stays in the browser: it is in no log of a proxy.
        """
        host = self._configuration.host
        secret = f"#token={self._token}" if self._token else ""
        if is_loopback(host):
            names = [host]
        elif host in ("", "0.0.0.0", "::"):  # all networks
            names = [*_own_address(), socket.gethostname()]
        else:
            names = [host]
        return [f"http://{f'[{name}]' if ':' in name else name}:{self._port}/{secret}" for name in names]

    # ---- in the thread of the server -----------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(middlewares=[self._guard], client_max_size=MAX_MESSAGE_BYTES)
        application.router.add_get("/session", self._tell_session)
        application.router.add_post("/session", self._sign_in)
        application.router.add_get("/socket", self._talk)
        for path in self._files:
            application.router.add_get(path, self._send_file)
        application.on_response_prepare.append(_add_headers)
        # No access log: addresses of pages and what they ask for are nobody's business.
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        configuration = self._configuration
        try:
            await web.TCPSite(runner, configuration.host, configuration.port, reuse_address=True).start()
        except (OSError, UnicodeError) as error:  # taken, not permitted, or no address at all
            await runner.cleanup()
            reason = getattr(error, "strerror", None) or error
            where = f"host {configuration.host!r}, port {configuration.port}"
            self._started.set_exception(WebError(f"{where}: the page cannot be served there: {reason}"))
            return
        self._port = runner.addresses[0][1]
        loop = self._loop
        self._store.on_change(lambda: _call_soon(loop, self._spread))
        self._spread()
        self._started.set_result(None)
        cutting = asyncio.create_task(self._cut_off_slow(runner))
        await self._ending.wait()
        cutting.cancel()
        for page in list(self._pages):
            with contextlib.suppress(Exception):
                await asyncio.wait_for(page.socket.close(code=WSCloseCode.GOING_AWAY, message=b"lira ends"), 0.5)
            page.drop()
        await runner.cleanup()

    def _spread(self) -> None:
        keys = self._store.take_changes()
        for page in self._pages:
            page.outbox.note(keys)
            page.news.set()

    async def _cut_off_slow(self, runner: web.AppRunner) -> None:
        """Cut connections that take for ever to send a request or to read a file."""
        since_s: dict[object, float] = {}
        while True:
            now_s = time.monotonic()
            talking = {page.request.protocol for page in self._pages}
            connections = runner.server.connections if runner.server is not None else []
            since_s = {item: since_s.get(item, now_s) for item in connections if item not in talking}
            for connection in connections:
                if now_s - since_s.get(connection, now_s) > LONGEST_REQUEST_S:
                    connection.force_close()
                    if connection.transport is not None:
                        connection.transport.abort()
            await asyncio.sleep(LONGEST_REQUEST_S / 10.0)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let nothing through that was not meant for this server."""
        host = request.headers.get("Host", "")
        if not self._access.knows_host(host):
            return self._refusal(
                421, "This name is not known to the server. Use its address, or add the name to allowed_hosts."
            )
        own = self._access.is_own_origin(request.headers.get("Origin"), host)
        if (request.path == "/socket" or request.method != "GET") and not own:
            return self._refusal(403, "Only the page of this server may ask for this.")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return self._refusal(error.status, f"{error.reason}.")

    def _refusal(self, status: int, sentence: str) -> web.Response:
        self._refused += 1
        return web.Response(status=status, text=sentence + "\n")

    def _is_signed_in(self, request: web.Request) -> bool:
        return self._access.admits(request.cookies.get(self._cookie_name))

    async def _send_file(self, request: web.Request) -> web.Response:
        file = self._files[request.path]
        headers = {"ETag": file.tag, "Content-Type": file.media_type, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.compressed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.body, headers=headers)

    async def _tell_session(self, request: web.Request) -> web.Response:
        return web.json_response({"signed_in": self._is_signed_in(request)})

    async def _sign_in(self, request: web.Request) -> web.Response:
        """Take the token and give a cookie, which scripts cannot read and other sites cannot send."""
        if request.content_type != "application/json":
            return self._refusal(415, "Expected JSON.")
        try:
            value = json.loads(await request.text())
            token = value["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return self._refusal(400, "Expected a token.")
        if self._guesses >= MOST_GUESSES:
            return self._refusal(429, "Too many attempts at once. Try again in a few seconds.")
        if not isinstance(token, str) or not self._access.accepts(token):
            self._guesses += 1
            try:
                await asyncio.sleep(WRONG_TOKEN_S)
            finally:
                self._guesses -= 1
            return self._refusal(403, "This is not the token that lira web has printed.")
        response = web.json_response({"signed_in": True})
        response.set_cookie(self._cookie_name, self._access.cookie(), httponly=True, samesite="Strict", path="/")
        return response

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        """Talk to one page until it goes."""
        if not self._is_signed_in(request):
            return self._refusal(401, "A token is needed.")
        socket_ = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
        if not socket_.can_prepare(request):
            return self._refusal(400, "Expected a WebSocket.")
        await socket_.prepare(request)
        if len(self._pages) >= self._configuration.max_clients:
            self._refused += 1
            count = len(self._pages)
            open_ = "1 page is" if count == 1 else f"{count} pages are"
            sentence = f"{open_} open already, as many as max_clients allows."
            await socket_.close(code=TOO_MANY_PAGES, message=sentence.encode())
            return socket_
        page = _Page(socket_, request, Outbox(self._store))
        self._pages.add(page)
        sending = asyncio.create_task(self._send(page))
        try:
            async for message in socket_:
                if message.type is not WSMsgType.TEXT:
                    self._refused += 1
                    await socket_.close(code=WSCloseCode.UNSUPPORTED_DATA, message=b"expected text")
                    break
                self._hear(page, message.data)
        finally:
            self._pages.discard(page)
            self._sent_bytes += page.outbox.sent_bytes
            sending.cancel()
            for task in page.calls:
                task.cancel()
        return socket_

    def _hear(self, page: _Page, text: str) -> None:
        """Take one message of a page; one that is wrong is answered and changes nothing."""
        try:
            said = read_message(text)
            if isinstance(said, Received):
                page.outbox.confirm(said.messages)
                page.confirmed_s = time.monotonic()
            elif len(page.calls) >= MOST_CALLS:
                self._reply(page, said.number, Answer(False, f"{MOST_CALLS} questions wait for an answer already."))
            else:
                task = asyncio.create_task(self._call(page, said))
                page.calls.add(task)
                task.add_done_callback(page.calls.discard)
        except (CallError, ValueError) as error:
            self._refused += 1
            self._reply(page, None, Answer(False, str(error)))
        page.news.set()

    def _reply(self, page: _Page, number: int | None, answer: Answer) -> None:
        try:
            page.outbox.reply(
                {
                    "kind": "answer",
                    "number": number,
                    "success": answer.success,
                    "message": answer.message,
                    "values": dict(answer.values),
                }
            )
        except SlowPageError:
            self._dropped += 1
            page.drop()
        page.news.set()

    async def _call(self, page: _Page, call: Call) -> None:
        limit_s = SAVE_ANSWER_S if call.name == "save" else ANSWER_S
        try:
            if call.name == "echo":
                answer = Answer(True, "")
            else:
                answer = await asyncio.wait_for(asyncio.wrap_future(self._answer(call)), limit_s)
        except asyncio.TimeoutError:
            answer = Answer(False, f"No answer within {limit_s:g} s.")
        except Exception as error:  # of whoever answers; the page is told and lives on
            answer = Answer(False, f"{call.name}: {error}")
        self._reply(page, call.number, answer)

    async def _send(self, page: _Page) -> None:
        """Send a page what its outbox holds, as fast as it takes it."""
        try:
            while True:
                page.news.clear()
                message = page.outbox.take()
                if message is None:
                    await self._wait(page)
                elif isinstance(message, str):
                    await asyncio.wait_for(page.socket.send_str(message), STALL_S)
                else:
                    await asyncio.wait_for(page.socket.send_bytes(message), STALL_S)
        except (asyncio.TimeoutError, OSError, RuntimeError):  # it stands still, or the connection is closing
            self._dropped += 1
            page.drop()

    async def _wait(self, page: _Page) -> None:
        """Wait for news; raises TimeoutError when the page has not confirmed anything for too long."""
        if not page.outbox.unconfirmed_bytes:
            page.confirmed_s = time.monotonic()
            await page.news.wait()
            # What is sent now is to be confirmed from now on.
            page.confirmed_s = time.monotonic()
            return
        left_s = page.confirmed_s + STALL_S - time.monotonic()
        await asyncio.wait_for(page.news.wait(), max(0.0, left_s))
        if time.monotonic() - page.confirmed_s > STALL_S:
            raise asyncio.TimeoutError


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers[name] = value


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(function)


def _own_address() -> list[str]:
    """Return this computer's address on the network that leads out, nothing where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_SOMEWHERE)
            return [str(probe.getsockname()[0])]
        except OSError:
            return []
