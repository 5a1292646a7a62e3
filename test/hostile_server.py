"""A server that does everything wrong: it speaks raw sockets, and what it does can be changed while it runs."""

import contextlib
import json
import socket
import struct
import threading
import time


def completion(text, **fields):
    """Return the body of a chat completion that says ``text``."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **fields}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


def http(status, body=b"", *headers):
    """Return a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def reset(connection, request):
    """Answer with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError  # the connection is closed at once, and what is unsent is dropped


def hang(connection, request):
    """Answer nothing as long as the other side waits."""
    connection.recv(1)


class HostileServer:
    """Listens on a free port of this machine. ``behave(connection, request)`` answers every request.

    requests: (method, path, headers, body) of all that came. tls: an SSL context for https.
    """

    def __init__(self, behave, tls=None, port=0):
        self.behave = behave
        self.requests = []
        self.in_flight = self.most_in_flight = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._connections = set()
        self._open = 0
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Stop listening and cut all connections."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in tuple(self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def open_connections(self):
        """Return the number of connections that are being served."""
        with self._lock:
            return self._open

    def posts(self):
        """Return the bodies of the questions that came."""
        return [json.loads(body) for method, _, _, body in self.requests if method == "POST"]

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self._open += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self._talk(connection)
        finally:
            connection.close()
            with self._lock:
                self._open -= 1

    def _talk(self, connection):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._connections.add(connection)
            stack.callback(connection.close)
            stack.callback(self._connections.discard, connection)
            stream = stack.enter_context(connection.makefile("rb"))
            while line := stream.readline():
                method, path, _ = line.decode("latin-1").split(" ", 2)
                headers = {}
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode("latin-1").partition(":")
                    headers[name.strip().lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                request = (method, path, headers, body)
                with self._lock:
                    self.requests.append(request)
                    self.in_flight += method == "POST"
                    self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    self.behave(connection, request)
                finally:
                    with self._lock:
                        self.in_flight -= method == "POST"


def well(text="[]", model="tiny", delay_s=0.0):
    """Return a behaviour that is as it should be: it lists a model and answers every question with ``text``."""

    def behave(connection, request):
        if request[0] == "GET":
            connection.sendall(http(200, json.dumps({"data": [{"id": model}]}).encode()))
            return
        time.sleep(delay_s)
        connection.sendall(http(200, completion(text)))

    return behave
