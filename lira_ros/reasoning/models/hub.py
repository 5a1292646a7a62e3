"""A model hub over HTTP: what a repository holds, and its files, byte ranges resumed.

The interface is that of huggingface.co (https://huggingface.co/docs/hub/api). Its own client is not used because it
starts a broken download from the beginning (huggingface_hub 2.4: the name of its temporary file is new every time).
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlsplit

import httpx

from lira_ros import __version__
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.cards import checked_path
from lira_ros.reasoning.plain_text import plain_text

DEFAULT_ENDPOINT = "https://huggingface.co"
# The variables of Hugging Face's own programs.
ENDPOINT_VARIABLE = "HF_ENDPOINT"
TOKEN_VARIABLE = "HF_TOKEN"
# To be connected, and between two pieces of an answer; a hub that is silent for longer is asked again.
TIMEOUT_S = 15.0
# Attempts in a row that bring no byte; the pauses between them double from one second.
MAX_ATTEMPTS = 5
# As long as nothing at all came from the hub: whoever has no network is told so at once.
FIRST_ATTEMPTS = 2
# A listing names files with sizes and hashes; the largest repositories stay far below.
_MAX_LISTING_BYTES = 50_000_000
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_PAUSE_S = 30.0


class HubError(ReasoningError):
    """The hub did not give what was asked for; the message is a sentence for a person."""


class HubUnreachable(HubError):
    """There is no way to the hub from here."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. sha256: of files in large file storage, else None; git_sha1: Git's hash of others."""

    path: str
    bytes: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True)
class HubListing:
    """What a repository holds at a commit. license: as the hub states it, "" = it does not."""

    hub_id: str
    commit: str
    license: str
    files: tuple[HubFile, ...]


class Hub:
    """A connection to the hub of HF_ENDPOINT; proxies are those of the environment.

    The token of HF_TOKEN goes to the hub alone, never to a server to which it redirects, and is in no message.
    """

    def __init__(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Connect nothing yet. Raises HubError when HF_ENDPOINT is not the address of a server."""
        self.endpoint = (os.environ.get(ENDPOINT_VARIABLE) or DEFAULT_ENDPOINT).rstrip("/")
        address = urlsplit(self.endpoint)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise HubError(f"{ENDPOINT_VARIABLE}: expected an address like {DEFAULT_ENDPOINT}, got {self.endpoint!r}")
        headers = {"User-Agent": f"lira_ros/{__version__}", "Accept-Encoding": "identity"}
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if token:
            if not re.fullmatch(r"[!-~]+", token):
                raise HubError(f"{TOKEN_VARIABLE}: expected letters, digits and signs, got something else")
            headers["Authorization"] = f"Bearer {token}"
        self._has_token = bool(token)
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S, follow_redirects=True)
        self._pause = pause
        self._reached = False

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def list_files(self, hub_id: str, revision: str) -> HubListing:
        """Return what a repository holds at a branch, tag or commit; raises HubError, HubUnreachable."""
        subject = f"{hub_id} (revision {revision})"
        url = f"{self.endpoint}/api/models/{quote(hub_id)}/revision/{quote(revision, safe='')}?blobs=true"
        body = bytearray()

        def take(response: httpx.Response) -> None:
            body.clear()
            for chunk in response.iter_raw():
                body.extend(chunk)
                if len(body) > _MAX_LISTING_BYTES:
                    raise HubError(f"{subject}: the list of its files is too long; is {self.endpoint} a model hub?")

        self._ask(url, subject, take, lambda: 0)
        try:
            return _listing(hub_id, httpx.Response(200, content=bytes(body)).json())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise HubError(
                f"{subject}: {self.endpoint} answers with something else than a list of files "
                f"({type(error).__name__} {plain_text(str(error), 200)}); is it a model hub?"
            ) from error

    def download(
        self, listing: HubListing, file: HubFile, path: Path, on_bytes: Callable[[int], None] = lambda _: None
    ) -> None:
        """Write a file of a repository; what is there already of an earlier attempt is kept and continued.

        on_bytes: called with every count of bytes that arrived, negative when the hub makes us begin again.
        Raises HubError, HubUnreachable; the part that has arrived stays.
        """
        subject = f"{listing.hub_id}: {file.path}"
        url = f"{self.endpoint}/{quote(listing.hub_id)}/resolve/{quote(listing.commit, safe='')}/{quote(file.path)}"
        with path.open("ab") as target:
            try:
                fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HubError(f"{path}: another lira models fetch writes this file; wait for it") from None

            def held_bytes() -> int:
                return target.seek(0, os.SEEK_END)

            def begin_again() -> None:
                on_bytes(-held_bytes())
                target.truncate(0)

            def take(response: httpx.Response) -> None:
                if response.status_code == 416 or (response.status_code == 206 and _start(response) != held_bytes()):
                    begin_again()  # what the hub would add does not fit what is here
                    return
                if response.status_code != 206:
                    begin_again()  # it ignored the range and sends everything
                # In the pieces in which it comes: a piece that httpx holds back would be lost with the connection.
                for chunk in response.iter_raw():
                    if held_bytes() + len(chunk) > file.bytes:
                        begin_again()
                        raise HubError(f"{subject}: the hub sends more than the {file.bytes} bytes that it states")
                    target.write(chunk)
                    on_bytes(len(chunk))
                if held_bytes() < file.bytes:
                    raise HubError(f"{subject}: the hub sends {held_bytes()} of the {file.bytes} bytes that it states")

            if held_bytes() > file.bytes:
                begin_again()
            while (held := held_bytes()) < file.bytes:
                self._ask(url, subject, take, held_bytes)
                if held_bytes() == held:
                    raise HubError(f"{subject}: the hub sends nothing of what is missing from byte {held} on")

    def _ask(
        self, url: str, subject: str, take: Callable[[httpx.Response], None], held_bytes: Callable[[], int]
    ) -> None:
        """Ask for what is not held yet, until an answer was taken or its connection broke after some bytes."""
        failures = 0
        while True:
            held = held_bytes()
            try:
                headers = {"Range": f"bytes={held}-"} if held else {}
                with self._client.stream("GET", url, headers=headers) as response:
                    self._reached = True
                    if response.is_success or response.status_code == 416:
                        take(response)
                        return
                    problem = self._refusal(response, subject)
                    if response.status_code not in _RETRIED:
                        raise problem
                    wait_s = _asked_pause_s(response)
            except (httpx.TransportError, httpx.TooManyRedirects) as error:
                if held_bytes() > held:
                    return
                problem = HubUnreachable(
                    f"{subject}: {urlsplit(self.endpoint).netloc} cannot be reached "
                    f"({type(error).__name__}{': ' if str(error) else ''}{plain_text(str(error), 200)})"
                )
                wait_s = 0.0
            except httpx.InvalidURL as error:
                raise HubError(f"{subject}: the hub leads to an impossible address ({error})") from error
            failures += 1
            if failures >= (MAX_ATTEMPTS if self._reached else FIRST_ATTEMPTS):
                raise problem
            self._pause(min(_MAX_PAUSE_S, max(wait_s, 2.0 ** (failures - 1))))

    def _refusal(self, response: httpx.Response, subject: str) -> HubError:
        status = response.status_code
        page = f"{self.endpoint}/{subject.split(' ')[0].rstrip(':')}"
        if status in (401, 403):
            token = f"the token of {TOKEN_VARIABLE} does not open it" if self._has_token else f"set {TOKEN_VARIABLE}"
            return HubError(
                f"{subject}: the hub refuses it ({status}): it is private, does not exist, or its licence must be "
                f"accepted at {page} first; {token}"
            )
        if status == 404:
            return HubError(f"{subject}: the hub does not have it (404); look at {page}")
        return HubError(
            f"{subject}: the hub answers {status} {plain_text(response.reason_phrase, 60)}; try again later"
        )


def _listing(hub_id: str, content: dict[str, object]) -> HubListing:
    commit = content["sha"]
    siblings = content["siblings"]
    if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40,64}", commit) or not isinstance(siblings, list):
        raise ValueError("sha: no commit")
    card = content.get("cardData")
    stated = card.get("license") if isinstance(card, dict) else None
    return HubListing(
        hub_id, commit, plain_text(stated, 80) if isinstance(stated, str) else "", tuple(map(_hub_file, siblings))
    )


def _hub_file(item: dict[str, object]) -> HubFile:
    stored = item.get("lfs")
    size = item["size"] if not isinstance(stored, dict) else stored["size"]
    sha256 = str(stored["sha256"]) if isinstance(stored, dict) else None
    git_sha1 = item.get("blobId")
    if type(size) is not int or size < 0:
        raise ValueError(f"size: {size!r}")
    path = checked_path(item["rfilename"], "rfilename")
    return HubFile(path, size, sha256, git_sha1 if isinstance(git_sha1, str) and sha256 is None else None)


def _start(response: httpx.Response) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found.group(1)) if found else -1


def _asked_pause_s(response: httpx.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if re.fullmatch(r"\d{1,6}", asked) else 0.0
