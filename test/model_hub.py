"""A small server that speaks as much of the model hub's interface as a download needs, and fails on request."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


class ModelHub:
    """Serves ``repositories`` (hub id -> path -> content) at 127.0.0.1; files of 100 bytes and more come over /cdn.

    statuses: answered in turn instead of what was asked for. break_after: how many bytes of each further answer
    are sent before the connection is closed, one entry an answer. stall_after: how many bytes of a file come before
    the hub falls silent and sets ``stalled``. lies: hub paths whose content is other than stated.
    """

    def __init__(self):
        self.repositories = {}
        self.statuses = []
        self.break_after = []
        self.lies = {}
        self.ignores_ranges = False
        self.gated = set()
        self.requests = []
        self.stall_after = None
        self.stalled = threading.Event()
        self._closing = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self._server.server_port
        self.address = f"http://127.0.0.1:{self.port}"

    def close(self):
        """Stop serving."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def downloads(self):
        """Return (path, asked range) of every request for the content of a file, redirects left out."""
        return [
            (path.rsplit("/", 1)[1], headers.get("Range", ""))
            for path, headers in self.requests
            if path.startswith("/cdn/") or ("/resolve/" in path and len(self._content(path)) < 100)
        ]

    def _content(self, path):
        parts = path.strip("/").split("/")
        return self.repositories["/".join(parts[:2])]["/".join(parts[4:])]

    def answer(self, request):
        address = urlsplit(request.path)
        path = unquote(address.path)
        self.requests.append((path, dict(request.headers)))
        if self.statuses and (status := self.statuses.pop(0)):
            return self._send(request, status, b"no", {"Retry-After": "1"})
        parts = path.strip("/").split("/")
        if parts[0] == "cdn":
            return self._send_file(request, "/".join(parts[1:3]), "/".join(parts[3:]))
        hub_id = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if hub_id in self.gated and request.headers.get("Authorization") != "Bearer hf_secret":
            return self._send(request, 401, b"gated")
        if hub_id not in self.repositories:
            return self._send(request, 404, b"unknown")
        if parts[0] == "api":
            if parts[5] not in ("main", COMMIT) or address.query != "blobs=true":
                return self._send(request, 404, b"unknown revision")
            return self._send(request, 200, json.dumps(self._listing(hub_id)).encode())
        name = "/".join(parts[4:])
        if parts[3] != COMMIT or name not in self.repositories[hub_id]:
            return self._send(request, 404, b"unknown file")
        if len(self.repositories[hub_id][name]) >= 100:
            # Another host name for the same place: a key must not go there.
            return self._send(request, 302, b"", {"Location": f"http://localhost:{self.port}/cdn/{hub_id}/{name}"})
        return self._send_file(request, hub_id, name)

    def _listing(self, hub_id):
        siblings = []
        for name, content in self.repositories[hub_id].items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"rfilename": name, "size": len(content), "blobId": blob}
            if len(content) >= 100:
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        return {"id": hub_id, "sha": COMMIT, "siblings": siblings, "cardData": {"license": "mit"}}

    def _send_file(self, request, hub_id, name):
        content = self.lies.get(name, self.repositories[hub_id][name])
        asked = request.headers.get("Range")
        if asked is None or self.ignores_ranges:
            return self._send(request, 200, content)
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        if first >= len(content):
            return self._send(request, 416, b"")
        return self._send(
            request, 206, content[first:], {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        )

    def _send(self, request, status, body, headers=None):
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.break_after and status in (200, 206) and not request.path.startswith("/api/"):
            body = body[: self.break_after.pop(0)]
            request.close_connection = True
        if self.stall_after and len(body) > self.stall_after:
            request.wfile.write(body[: self.stall_after])
            request.wfile.flush()
            self.stalled.set()
            self._closing.wait(60)
            request.close_connection = True
            return
        request.wfile.write(body)
