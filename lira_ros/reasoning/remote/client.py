"""Asks an OpenAI-compatible server (vLLM, SGLang, llama.cpp, transformers serve), and trusts it with nothing.

A request has one time limit for everything, an answer a largest size; redirects are not followed and compressed
answers are refused. All requests run in one event loop in a thread of its own: that is what makes it possible to
give up a request at any byte, on time-out and on close().
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from lira_ros.reasoning.answers.loose_json import MAX_ANSWER_CHARACTERS
from lira_ros.reasoning.contracts import ReasoningError, ServerUnavailable
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.remote.api_key import read_api_key
from lira_ros.reasoning.remote.circuit import Circuit
from lira_ros.reasoning.remote.configuration import ServerConfiguration

_LOGGER = logging.getLogger(__name__)

# An answer with boxes of a whole room has some 10 kB, one with long thoughts 100 kB.
MAX_ANSWER_BYTES = 2 << 20
# Of an error message only a sentence is shown.
MAX_ERROR_BYTES, MAX_ERROR_CHARACTERS = 16 << 10, 300
# Model names are paths or hub ids.
MAX_MODEL_NAME_CHARACTERS = 200
# The question whether a server is back is answered from memory; one that needs longer is not back.
PROBE_TIMEOUT_S = 2.0
# A connection whose other end is gone without a word (power, cable) is told within about 2 + 2 * 2 s.
KEEP_ALIVE_IDLE_S, KEEP_ALIVE_INTERVAL_S, KEEP_ALIVE_COUNT = 2, 2, 2
# An idle connection is not used again after this: servers close theirs after 5 s (uvicorn) and more, and a question
# that meets a connection about to close is lost.
KEPT_CONNECTION_S = 2.0
# How long close() waits for the thread: what runs there is cancelled and has nothing to wait for.
CLOSE_TIMEOUT_S = 2.0

# These say "not like this" of a request; some servers fail on a form of response_format they do not know.
_REFUSED = {400, 404, 415, 422, 500, 501}
# These will be the same for every question until a person does something.
_MISCONFIGURED = {401, 402, 403, 404, 405, 407}
_BUSY = {408, 425, 429, 503}
# A proxy is there and the server behind it is not. Another error of /models says nothing of chats: transformers serve
# fails there without a cache of its own.
_GATEWAY = {502, 504}
_FORMAT_WORDS = ("response_format", "json_schema", "json_object", "guided", "grammar", "structured", "schema")


class AnswerForm(Enum):
    """How a server is told that JSON is wanted, the strictest first; the value is for diagnostics."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT_WITH_SCHEMA = "json_object with schema"  # llama-cpp-python
    JSON_OBJECT = "json_object"
    PROMPT = "prompt only"


@dataclass(frozen=True)
class Question:
    """A chat, and the JSON schema to which its answer is held as far as the server can."""

    messages: Sequence[Mapping[str, Any]]
    schema: Mapping[str, Any]
    schema_name: str


@dataclass(frozen=True)
class Reply:
    """What the model wrote, cut = it reached the most tokens, and how long that took."""

    text: str
    cut: bool
    latency_s: float


class _Failure(Exception):
    """The server did not do its part. looked_at: it took the question; at_once: waiting alone will hardly help."""

    def __init__(
        self, reason: str, *, retry_after_s: float = 0.0, looked_at: bool = False, at_once: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.looked_at = looked_at
        self.at_once = at_once


class _ConnectionLost(_Failure):
    """The connection ended, or what came was no HTTP, before an answer began."""


class ChatClient:
    """Asks one server; any number of threads may ask at once.

    prefix: of the parameters' names in messages, such as "reasoner.remote.". connections: most requests in flight.
    circuit: which may be given other waits.
    Raises ReasoningError when a parameter cannot be; the server itself need not be there yet.
    """

    def __init__(
        self, configuration: ServerConfiguration, prefix: str, connections: int = 1, circuit: Circuit | None = None
    ) -> None:
        self._configuration = configuration
        self._prefix = prefix
        self._url = _checked_url(configuration.url, f"{prefix}url")
        self._key = read_api_key(configuration.api_key_variable, configuration.api_key_file, prefix)
        self._extra = _checked_extra(configuration.extra_fields, f"{prefix}extra_fields")
        self._tls = _tls_context(self._url.scheme, configuration.ca_file, f"{prefix}ca_file")
        self._connections = connections
        host = f"[{self._url.hostname}]" if ":" in self._url.hostname else self._url.hostname
        self.address = f"{host}:{self._url.port or (443 if self._url.scheme == 'https' else 80)}"
        self._key_warnings = [self._key.warning] if self._key.warning else []
        if self._key and self._url.scheme == "http" and not _is_this_machine(self._url.hostname):
            self._key_warnings.append(f"the key goes to {self.address} unencrypted: use https")
        for warning in self._key_warnings:
            _LOGGER.warning("%s: %s", prefix.rstrip("."), warning)
        self.circuit = circuit or Circuit()
        self.model = configuration.model
        self._form = AnswerForm.JSON_SCHEMA
        self._form_is_proven = False
        self._answers_others = False
        self._requests = self._failed = 0
        self._http = self._make_http()
        self._closing = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"requests to {self.address}", daemon=True)
        self._thread.start()

    def ask(self, write: Callable[[str], Question]) -> Reply:
        """Return what the model answers to the question that ``write`` makes for a model of that name.

        The name is known once the server is there; write() is called in the thread of the requests and must be quick.
        Raises ServerUnavailable when the server is away, hangs, asks to wait or fails at whatever it is asked, and
        ReasoningError when it refuses this question, or answered the one before and fails at this one.
        """
        with self._closing:  # whatever is handed to the loop comes before its end, and is cancelled there
            if self._closed:
                raise ReasoningError(f"{self.address}: the connection was closed")
            future = asyncio.run_coroutine_threadsafe(self._ask(write), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ReasoningError(f"{self.address}: the connection was closed while a request was on its way") from None
        finally:
            future.cancel()  # the caller may have been interrupted

    def diagnose(self) -> dict[str, object]:
        """Return the state of the connection for a person; never the key."""
        status = self.circuit.status
        found: dict[str, object] = {
            "server": self.address,
            "server model": self.shown_model or "not known yet",
            "server circuit": status.state,
            "server circuit since [s]": round(time.monotonic() - status.since_s, 1),
            "server answers as": self._form.value if self._form_is_proven else f"{self._form.value}, not tried yet",
            "server requests": self._requests,
            "server failures": self._failed,
            "server outages": self.circuit.opened,
        }
        if status.reason:
            found["server circuit reason"] = status.reason
        if self._key_warnings:
            found["server key"] = "; ".join(self._key_warnings)
        return found

    @property
    def shown_model(self) -> str:
        """Return the name of the model for a person, "" while it is not known."""
        return plain_text(self._key.hide(self.model), MAX_MODEL_NAME_CHARACTERS)

    def close(self) -> None:
        """Give up what is on its way and end the thread; may be called again."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)

    # ---- in the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(_finish(tasks, self._http))
        finally:
            loop.close()

    async def _ask(self, write: Callable[[str], Question]) -> Reply:
        wait_s = self.circuit.wait_s()
        if wait_s > 0:
            status = self.circuit.status
            said = f"{self.address} is not asked for {wait_s:.1f} s"
            raise ServerUnavailable(f"{said}: {status.reason}" if status.reason else said, wait_s)
        attempt = self.circuit.begin()
        self._requests += 1
        try:
            reply = await asyncio.wait_for(self._ask_now(write, probe=attempt.trying), self._configuration.timeout_s)
        except (asyncio.TimeoutError, _Failure) as problem:
            failure = problem if isinstance(problem, _Failure) else self._timed_out()
            self._failed += 1
            reason = f"{self.address}: {failure}"
            self.circuit.failed(attempt, reason, failure.retry_after_s, at_once=failure.at_once)
            # A server that answers other questions has a problem with this one; one that answers none is away.
            answers_others, self._answers_others = self._answers_others, False
            if failure.looked_at and answers_others and not attempt.trying:
                raise ReasoningError(reason) from None
            raise ServerUnavailable(reason, self.circuit.wait_s()) from None
        except ReasoningError:
            self.circuit.succeeded()  # it is there, and this question is not for it
            self._answers_others = True
            self._failed += 1
            raise
        except BaseException:
            self.circuit.abandoned()
            raise
        self.circuit.succeeded()
        self._answers_others = True
        return reply

    async def _ask_now(self, write: Callable[[str], Question], *, probe: bool) -> Reply:
        if probe:
            await self._probe()
        if not self.model:
            self.model = await self._first_model()
        began_s = time.monotonic()
        question = write(self.model)
        body = {
            "temperature": 0.0,
            **self._extra,
            "model": self.model,
            "messages": question.messages,
            "max_tokens": self._configuration.max_answer_tokens,
            "stream": False,  # what some servers do unless they are told
        }
        status, content = await self._complete(body, question)
        text, cut = self._read_completion(status, content)
        # Twice what is read of an answer: a key at the cut is behind all that anybody sees, and the search is short.
        return Reply(self._key.hide(text[: 2 * MAX_ANSWER_CHARACTERS]), cut, time.monotonic() - began_s)

    async def _complete(self, body: dict[str, Any], question: Question) -> tuple[int, bytes]:
        """Post a chat in the strictest form that the server takes, and remember which that is."""
        forms = list(AnswerForm)
        for form in forms[forms.index(self._form) :]:
            # In ASCII: a lone half of a character, which a server may put into a name, has no other encoding.
            encoded = json.dumps({**body, **_response_format(form, question)}).encode("ascii")
            status, content = await self._request(
                "POST", "/chat/completions", content=encoded, headers={"Content-Type": "application/json"}
            )
            if status == 200:
                self._form, self._form_is_proven = form, True
                break
            said = self._message_of(content).lower()
            named = any(word in said for word in _FORMAT_WORDS)
            if status not in _REFUSED or (self._form_is_proven and not named):
                break
        return status, content

    async def _probe(self) -> None:
        """Ask the cheapest question there is; what answers at all is there, though it may be another than before."""
        try:
            status, content = await asyncio.wait_for(self._request("GET", "/models"), PROBE_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise _Failure(f"did not answer within {PROBE_TIMEOUT_S:g} s whether it is back") from None
        if status in _GATEWAY:
            raise _Failure(self._refusal(status, content))
        self.model = self._configuration.model
        self._form, self._form_is_proven = AnswerForm.JSON_SCHEMA, False

    async def _first_model(self) -> str:
        status, content = await self._request("GET", "/models")
        if status != 200:
            raise _Failure(
                f"{self._refusal(status, content)}; set {self._prefix}model where a server does not list its models",
                at_once=status in _MISCONFIGURED,
            )
        try:
            names = [item["id"] for item in self._parsed(content)["data"]]
        except (KeyError, TypeError, _Failure):
            names = [None]
        if not names:
            raise _Failure(f"lists no models: set {self._prefix}model", at_once=True)
        if not isinstance(names[0], str) or not 0 < len(names[0]) <= MAX_MODEL_NAME_CHARACTERS:
            raise _Failure(f"expected a list of models from /models, got something else: set {self._prefix}model")
        return names[0]

    async def _request(self, method: str, path: str, **arguments: Any) -> tuple[int, bytes]:
        """Return status and body of a request; raises _Failure for whatever is no plain answer."""
        try:
            return await self._request_once(method, path, **arguments)
        except _ConnectionLost:
            # The server may have closed an idle connection just when it was used again: that says nothing of it.
            return await self._request_once(method, path, **arguments)

    async def _request_once(self, method: str, path: str, **arguments: Any) -> tuple[int, bytes]:
        import httpx

        status = 0
        try:
            async with self._http.stream(method, self._url.geturl() + path, **arguments) as response:
                status = response.status_code
                if 300 <= status < 400:
                    raise _Failure(
                        f"redirects to {self._redirect_target(response)} (HTTP {status}); redirects are not followed: "
                        f"set {self._prefix}url to where the server is",
                        at_once=True,
                    )
                if status in _BUSY:
                    retry_after_s = _retry_after_s(response.headers.get("retry-after", ""))
                    content = await self._read(response, MAX_ERROR_BYTES, cut=True)
                    raise _Failure(self._refusal(status, content), retry_after_s=retry_after_s)
                if status != 200:
                    return status, await self._read(response, MAX_ERROR_BYTES, cut=True)
                return status, await self._read(response, MAX_ANSWER_BYTES)
        except httpx.TimeoutException as error:
            raise _Failure(f"no connection within {self._configuration.connect_timeout_s:g} s") from error
        except httpx.HTTPError as error:
            said = _problem_of(error)
            lost = not status and isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
            kind = _ConnectionLost if lost else _Failure
            raise kind(self._shown(f"{said}: {error}" if str(error) else said)) from error
        except (httpx.InvalidURL, ValueError) as error:
            # The next address of a redirect is read even where it is not followed.
            raise _Failure(self._shown(f"sends a head that cannot be read: {error}")) from error

    async def _read(self, response: Any, maximum: int, *, cut: bool = False) -> bytes:
        """Read a body up to a size; a longer one is cut, or an error."""
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            # A few compressed bytes become gigabytes; we did not ask for it, so nobody needs it.
            raise _Failure(f"sends its answer compressed ({self._shown(encoding)}), which was not asked for")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk[: maximum + 1 - len(content)]
            if len(content) > maximum:
                if cut:
                    break
                raise _Failure(f"answers with more than {maximum} bytes; cut off", looked_at=True)
        return bytes(content)

    # ---- what comes back ---------------------------------------------------------------------------------------

    def _read_completion(self, status: int, content: bytes) -> tuple[str, bool]:
        """Return the text of a chat completion and whether it was cut."""
        if status in _MISCONFIGURED:
            hint = {401: "the key is missing or wrong", 403: "the key may not do this"}.get(
                status, f"check {self._prefix}url and {self._prefix}model"
            )
            raise _Failure(f"{self._refusal(status, content)} ({hint})", at_once=True)
        if status >= 500:
            raise _Failure(self._refusal(status, content), looked_at=True)
        if status != 200:
            raise ReasoningError(f"{self.address}: refuses the question: {self._refusal(status, content)}")
        answer = self._parsed(content)
        try:
            choice = answer["choices"][0]
            said = _text_of(choice["message"])
            cut = choice.get("finish_reason") == "length"
        except (KeyError, IndexError, TypeError, AttributeError):
            said = None
        if said is None:
            raise _Failure(
                f"expected a chat completion with choices[0].message.content, got {self._start(content)!r}",
                looked_at=True,
            )
        return said, cut

    def _parsed(self, content: bytes) -> Any:
        """Return the JSON of a body; raises _Failure when it is none."""
        try:
            return json.loads(content)
        except (ValueError, RecursionError):  # the latter for thousands of brackets
            raise _Failure(f"expected JSON, got {self._start(content)!r}", looked_at=True) from None

    def _refusal(self, status: int, content: bytes) -> str:
        said = self._message_of(content)
        return f"HTTP {status}: {said}" if said else f"HTTP {status}"

    def _message_of(self, content: bytes) -> str:
        """Return what an error says, as one line: of the usual fields, or the text as it is."""
        try:
            found = self._parsed(content)
        except _Failure:
            return self._start(content)
        for field in ("error", "message", "detail"):
            if isinstance(found, dict) and field in found:
                found = found[field]
        return self._shown(found if isinstance(found, str) else json.dumps(found))

    def _start(self, content: bytes) -> str:
        return self._shown(content[:MAX_ERROR_BYTES].decode("utf-8", "replace"))

    def _shown(self, text: str) -> str:
        # First the key, then the cut: a part of a long key would not be found.
        return plain_text(self._key.hide(text), MAX_ERROR_CHARACTERS)

    def _redirect_target(self, response: Any) -> str:
        location = response.headers.get("location", "")
        try:
            target = urlsplit(location)
        except ValueError:
            return "nowhere"
        if not location:
            return "nowhere"
        return self._shown(f"{target.scheme}://{target.netloc.rpartition('@')[2]}") if target.netloc else "itself"

    def _timed_out(self) -> _Failure:
        limit = f"{self._configuration.timeout_s:g} s ({self._prefix}timeout_s)"
        return _Failure(f"did not answer completely within {limit}")

    def _make_http(self) -> Any:
        import httpx

        # Every request is a line at INFO, and at DEBUG headers as the server sent them, which may repeat the key.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        if hasattr(socket, "TCP_KEEPIDLE"):  # Linux
            options += [
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_IDLE_S),
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEP_ALIVE_INTERVAL_S),
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEP_ALIVE_COUNT),
            ]
        proxy = _proxy_of(self._url.scheme, self._url.hostname or "")
        try:
            httpx.URL(self._url.geturl())
        except httpx.InvalidURL as error:
            raise ReasoningError(f"{self._prefix}url: {plain_text(str(error), MAX_ERROR_CHARACTERS)}") from error
        try:
            transport = httpx.AsyncHTTPTransport(
                verify=self._tls,
                limits=httpx.Limits(max_connections=self._connections + 1, keepalive_expiry=KEPT_CONNECTION_S),
                proxy=proxy,
                socket_options=options,
            )
        except (ValueError, ImportError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise ReasoningError(f"{self._prefix}url: the proxy of the environment cannot be used: {error}") from error
        return httpx.AsyncClient(
            transport=transport,
            # The time limit of the whole request is set where it is made.
            timeout=httpx.Timeout(None, connect=self._configuration.connect_timeout_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "lira_ros", **self._key.headers()},
            # None is kept: a server could fill the memory with them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )


async def _finish(tasks: Iterable[asyncio.Task[Any]], http: Any) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await http.aclose()


def _checked_url(url: str, name: str) -> Any:
    """Return the parts of a server's address; raises ReasoningError naming the parameter."""
    example = "such as http://localhost:8000/v1"
    if not url:
        raise ReasoningError(f"{name}: expected the address of an OpenAI-compatible server, {example}; got none")
    try:
        parts = urlsplit(url.rstrip("/"))
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        shown = plain_text(str(error), MAX_ERROR_CHARACTERS)
        raise ReasoningError(f"{name}: {shown}; expected an address {example}") from None
    if "@" in parts.netloc:
        raise ReasoningError(f"{name}: an address must not hold a user or a password; use api_key_variable")
    shown = plain_text(url.partition("?")[0], MAX_ERROR_CHARACTERS)  # a key may be behind the question mark
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ReasoningError(f"{name}: expected http:// or https:// and a host, {example}; got {shown!r}")
    if parts.query or parts.fragment or not url.isascii() or any(character <= " " for character in url):
        raise ReasoningError(f"{name}: expected an address without ?, # and blanks, {example}; got {shown!r}")
    return parts


def _checked_extra(text: str, name: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        fields = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ReasoningError(f"{name}: expected a JSON object: {error}") from error
    if not isinstance(fields, dict):
        raise ReasoningError(f"{name}: expected a JSON object, got {type(fields).__name__}")
    taken = sorted({"max_tokens", "messages", "model", "response_format", "stream"} & set(fields))
    if taken:
        raise ReasoningError(f"{name}: {', '.join(taken)} cannot be set, the back end sets or needs it")
    return fields


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _tls_context(scheme: str, ca_file: str, name: str) -> ssl.SSLContext:
    """Return how an https server is checked; reading the authorities takes a while, and without https nobody asks."""
    if scheme != "https" and not ca_file:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ReasoningError(f"{name}: {ca_file}: {error}; expected certificates in PEM form") from error


def _proxy_of(scheme: str, host: str) -> str | None:
    """Return the proxy of the environment for a host, None for this machine and for hosts that need none."""
    if _is_this_machine(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(scheme) or proxies.get("all")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")


def _response_format(form: AnswerForm, question: Question) -> dict[str, Any]:
    if form is AnswerForm.JSON_SCHEMA:
        named = {"name": question.schema_name, "schema": question.schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if form is AnswerForm.JSON_OBJECT_WITH_SCHEMA:
        return {"response_format": {"type": "json_object", "schema": question.schema}}
    if form is AnswerForm.JSON_OBJECT:
        return {"response_format": {"type": "json_object"}}
    return {}


def _text_of(message: Mapping[str, Any]) -> str | None:
    """Return what a message says: its content, else why the model refused, else a thought that never ended.

    None when it is no message of a chat. One without any text, such as a call of tools, is empty: an answer, and one
    that cannot be used.
    """
    said = message.get("content")
    if isinstance(said, list):  # some servers answer in parts, as they are asked
        texts = (part.get("text") for part in said if isinstance(part, dict))
        said = "".join(text for text in texts if isinstance(text, str))
    if isinstance(said, str) and said.strip():
        return said
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        return refusal
    # Where thoughts are read up to an end that never comes, all is there, the answer too (vLLM issues 19222, 50948).
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := message.get(name), str) and thought:
            return f"<think>{thought}"
    if said is None and "content" in message:
        return ""
    return said if isinstance(said, str) else None


def _retry_after_s(text: str) -> float:
    """Return how long a server asks to wait: seconds or a date (RFC 9110, section 10.2.3); 0 for anything else."""
    try:
        return max(0.0, float(text)) if float(text) < float("inf") else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _problem_of(error: Exception) -> str:
    import httpx

    causes: list[BaseException | None] = [error]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its certificate is not trusted (ca_file names authorities of your own)"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "no https there"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.RemoteProtocolError):
        return "broke the rules of HTTP"
    if isinstance(error, httpx.NetworkError):
        return "the connection was lost"
    return type(error).__name__
