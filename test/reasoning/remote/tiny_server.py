"""An OpenAI-compatible server around a tiny vision-language model of random weights, which keeps to a JSON schema."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

MODEL_NAME = "tiny/qwen3-vl"


class TinyServer:
    """Listens on a free port of this machine and answers one question at a time.

    takes_json_schema: False = as llama-cpp-python, which fails on that form and wants the schema in a json_object.
    """

    def __init__(self, model, takes_json_schema=True):
        self.model = model
        self.takes_json_schema = takes_json_schema
        self.answers = []
        self._turn = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._send(200, {"object": "list", "data": [{"id": MODEL_NAME, "object": "model"}]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    text = server.answer(body)
                except (KeyError, ValueError) as error:
                    self._send(500, {"error": {"message": str(error), "type": "internal_server_error"}})
                    return
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                self._send(200, {"object": "chat.completion", "model": body["model"], "choices": [choice]})

            def _send(self, status, content):
                encoded = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *arguments):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self):
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body):
        """Return what the model says to a chat of a system prompt, a text and an image."""
        system, user = body["messages"]
        text, image = user["content"]
        content = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,"), validate=True)
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        schema = self._schema(body.get("response_format", {"type": "text"}))
        with self._turn:
            (said,) = self.model.answer([pixels], system["content"], [text["text"]], schema, body["max_tokens"])
        self.answers.append(said)
        return said

    def _schema(self, response_format):
        kind = response_format["type"]
        if kind == "json_schema":
            if not self.takes_json_schema:
                raise ValueError("Input should be 'text' or 'json_object'")
            return response_format["json_schema"]["schema"]
        return response_format.get("schema") if kind == "json_object" else None
