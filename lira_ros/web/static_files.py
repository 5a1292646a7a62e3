"""The files of the page, read once: what is not in the list does not exist, so no path leads out of the folder."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}


class WebError(RuntimeError):
    """The page cannot be served; the text says why and what mends it."""


@dataclass(frozen=True)
class StaticFile:
    """One file: its media type, its bytes plain and compressed, and a tag that changes with it."""

    media_type: str
    body: bytes
    compressed: bytes
    tag: str


def read_static_files(folder: Path = FOLDER) -> dict[str, StaticFile]:
    """Return the files by the path under which they are served; raises WebError when the page was not built."""
    if not (folder / "index.html").is_file() or not (folder / "page.js").is_file():
        raise WebError(
            f"the page is not built: {folder} has no index.html and page.js; in a clone of lira_ros run "
            "`python3 -m bootstrap.page` (it needs npm and a network once), then install again if it is installed"
        )
    files = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in TYPES:
            body = path.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            files[f"/{path.name}"] = StaticFile(TYPES[path.suffix], body, gzip.compress(body, mtime=0), tag)
    files["/"] = files.pop("/index.html")
    return files
