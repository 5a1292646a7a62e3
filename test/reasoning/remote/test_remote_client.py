"""The client against a server that does everything wrong: a clear error in time, and nothing left behind."""

import gc
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest
from hostile_server import HostileServer, completion, hang, http, reset, well

from lira_ros.reasoning.contracts import ReasoningError, ServerUnavailable
from lira_ros.reasoning.remote.circuit import Circuit
from lira_ros.reasoning.remote.client import AnswerForm, ChatClient, Question
from lira_ros.reasoning.remote.configuration import ServerConfiguration

MESSAGES = [{"role": "user", "content": "What is there?"}]
SCHEMA = {"type": "array"}
QUESTION = Question(MESSAGES, SCHEMA, "answer")
KEY = "sk-4f1b9e77d0c24b53"


@pytest.fixture
def serve():
    """Return a function that starts a server with a behaviour."""
    servers = []

    def start(behave, **arguments):
        servers.append(HostileServer(behave, **arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect():
    """Return a function that makes a client; one second for a request unless told otherwise."""
    clients = []

    def make(server=None, circuit=None, **values):
        values = {"model": "tiny", "timeout_s": 1.0, **({"url": server.url} if server else {}), **values}
        clients.append(ChatClient(ServerConfiguration(**values), "reasoner.remote.", circuit=circuit))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def ask(client):
    return client.ask(lambda model: QUESTION).text


def refusal(client):
    with pytest.raises(ReasoningError) as caught:
        ask(client)
    return caught.value


def test_a_question_and_its_answer(serve, connect):
    server = serve(well("[1, 2]"))
    client = connect(server, model="", extra_fields='{"top_k": 5}', max_answer_tokens=77)
    reply = client.ask(lambda model: QUESTION)
    assert (reply.text, reply.cut) == ("[1, 2]", False)
    assert reply.latency_s > 0
    (body,) = server.posts()
    assert body == {
        "top_k": 5,
        "model": "tiny",  # the first that the server lists
        "messages": MESSAGES,
        "temperature": 0.0,
        "max_tokens": 77,
        "stream": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }
    assert ask(client) == "[1, 2]"
    assert [path for method, path, _, _ in server.requests if method == "GET"] == ["/v1/models"]  # asked once
    told = client.diagnose()
    assert told["server circuit"] == "closed"
    assert told["server answers as"] == "json_schema"
    assert told["server model"] == "tiny"
    assert told["server requests"] == 2


def drip_body(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    drip(connection)


def drip_head(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    drip(connection)


def drip(connection):
    for _ in range(400):
        connection.sendall(b" ")
        time.sleep(0.02)


def ten_megabytes(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(160):
        connection.sendall(b"10000\r\n" + 65536 * b"a" + b"\r\n")


def hints(connection, request):
    while True:
        connection.sendall(500 * b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")


def answers(content):
    """Return a behaviour that sends this and waits for the next question."""
    return lambda connection, request: connection.sendall(content)


def says(*content):
    """Return a behaviour that sends this and closes the connection."""

    def behave(connection, request):
        connection.sendall(b"".join(content))
        raise ConnectionAbortedError

    return behave


HOSTILE = {
    "hangs": (hang, "did not answer completely within 0.4 s"),
    "drips its body": (drip_body, "did not answer completely within 0.4 s"),
    "drips its head": (drip_head, "did not answer completely within 0.4 s"),
    "resets": (reset, "the connection was lost"),
    "closes": (says(), "broke the rules of HTTP"),
    "is no HTTP server": (says(b"\0\1SSH-2.0 \x1b[31m\r\n\r\n"), "broke the rules of HTTP"),
    "breaks its chunks": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
        "broke the rules of HTTP",
    ),
    "promises more than it sends": (
        says(http(200, b"{}").replace(b"Length: 2", b"Length: 9")),
        "broke the rules of HTTP",
    ),
    "sends more than it promises": (says(http(200, b"{}") + b'{"choices": []}'), "expected a chat completion"),
    "has an endless head": (says(b"HTTP/1.1 200 OK\r\nX: " + 300_000 * b"a"), "broke the rules of HTTP"),
    "answers with 10 MB": (ten_megabytes, "answers with more than 2097152 bytes; cut off"),
    "promises 10 MB": (says(http(200, 10_000_000 * b" ")), "answers with more than 2097152 bytes; cut off"),
    "sends a gzip bomb": (says(http(200, 5000 * b"\0", "Content-Encoding: gzip")), "compressed (gzip)"),
    "has an error of 10 MB": (says(http(500, 10_000_000 * b"x")), "HTTP 500: xxx"),
    "fails": (says(http(500, b'{"error": {"message": "out of memory"}}')), "HTTP 500: out of memory"),
    "is busy": (says(http(503, b'{"detail": "loading"}')), "HTTP 503: loading"),
    "is a portal": (says(http(200, b"<html><body>Log in")), "expected JSON, got '<html><body>Log in'"),
    "answers with brackets": (says(http(200, 1_000_000 * b"[")), "expected JSON"),
    "answers with one number": (says(http(200, 100_000 * b"9")), "expected JSON"),
    "answers with null": (says(http(200, b"null")), "expected a chat completion"),
    "makes no choice": (says(http(200, b'{"choices": []}')), "expected a chat completion"),
    "has no message": (says(http(200, b'{"choices": [{"message": {"text": "[]"}}]}')), "expected a chat completion"),
    "streams": (says(http(200, b'data: {"choices": []}\n\ndata: [DONE]\n\n')), "expected JSON, got 'data: {"),
    "has hints without end": (hints, "did not answer completely within 0.4 s"),
    "has a number for content": (says(http(200, completion(7))), "expected a chat completion"),
    "refuses the question": (says(http(413, b'{"message": "image too large"}')), "HTTP 413: image too large"),
    "wants another key": (says(http(401, b"")), "HTTP 401 (the key is missing or wrong)"),
    "does not know the model": (answers(http(404, b'{"error": {"message": "no such model"}}')), "remote.model"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_case_ends_in_a_clear_error_in_time(name, serve, connect):
    behave, words = HOSTILE[name]
    client = connect(serve(behave), timeout_s=0.4)
    error = refusal(client)
    assert words in str(error)
    assert str(error).startswith("127.0.0.1:")
    assert len(str(error)) < 500
    assert str(error).isprintable()
    assert client.diagnose()["server failures"] == 1


def test_nothing_listens(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = connect(url=f"http://127.0.0.1:{port}/v1")
    error = refusal(client)
    assert isinstance(error, ServerUnavailable)
    assert "no connection" in str(error)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("http://elsewhere.example:81/v1?key=5", "redirects to http://elsewhere.example:81 (HTTP 307)"),
        ("https://somebody:secret@elsewhere.example/", "redirects to https://elsewhere.example (HTTP 307)"),
        ("/v2/chat/completions", "redirects to itself (HTTP 307)"),
        ("http://[::1", "Invalid URL in location header"),
        ("x:/", "redirects to"),
        ("http:x", "sends a head that cannot be read"),
    ],
)
def test_redirects_are_named_and_not_followed(location, target, serve, connect):
    server = serve(says(http(307, b"", f"Location: {location}")))
    error = refusal(connect(server))
    assert target in str(error)
    assert "secret" not in str(error)
    assert {path for _, path, _, _ in server.requests} == {"/v1/chat/completions"}


def test_a_redirect_to_another_server_takes_no_key_there(serve, connect, monkeypatch):
    monkeypatch.setenv("LIRA_TEST_KEY", KEY)
    other = serve(well())
    server = serve(says(http(308, b"", f"Location: {other.url}/chat/completions")))
    error = refusal(connect(server, api_key_variable="LIRA_TEST_KEY"))
    assert f"redirects to http://127.0.0.1:{other.port}" in str(error)
    assert server.requests[0][2]["authorization"] == f"Bearer {KEY}"
    assert other.requests == []


# ---- the key ------------------------------------------------------------------------------------------------------


def test_the_key_is_nowhere_to_be_seen(serve, connect, monkeypatch, caplog, tmp_path):
    """Not in errors, answers, diagnostics or logs, though the server sends it back wherever it can."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o640)
    answers = [http(400, KEY.encode()), http(200, completion(f"[{KEY}]")), http(307, b"", f"Location: http://{KEY}/")]
    answers += [f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode(), http(200, KEY.encode())]
    escaped = "".join(f"\\u{ord(character):04x}" for character in KEY)
    for form in (KEY.replace("-", "\\-"), "\0".join(KEY), escaped, KEY.replace("-", "%2D"), f"\\{escaped}"):
        answers.append(http(400, f"no {form} here".encode()))

    def echo(connection, request):
        assert request[2]["authorization"] == f"Bearer {KEY}"
        connection.sendall(answers[0])
        raise ConnectionAbortedError

    server = serve(echo)
    client = connect(server, api_key_file=str(file))
    seen = [repr(client._key), repr(client._configuration)]
    while answers:
        try:
            seen.append(ask(client))
        except ReasoningError as error:
            seen.append(str(error))
        seen.append(str(client.diagnose()))
        answers.pop(0)
        client.circuit.succeeded()
    assert "[[key]]" in seen  # the answer of the model
    assert seen.count(f"127.0.0.1:{server.port}: refuses the question: HTTP 400: no [key] here") == 5
    assert KEY not in "".join(seen)
    assert KEY not in caplog.text
    assert f"{file} with the key can be used by others (mode 0640): chmod 600" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{KEY}\nX-Evil: 1", "does not hold a key"),
        (f"{KEY}\x1b[31m", "does not hold a key"),
        (f"{KEY} two", "does not hold a key"),
        ("EMPTY", "at least 8 characters, the .* has 5"),
        (f"ключ-{KEY}", "does not hold a key"),
        ("", "is empty"),
        ("\n", "is empty"),
        (20_000 * "k", "at most 16384 bytes, got 20000"),
    ],
)
def test_what_cannot_be_a_key_is_refused_and_not_told(content, words, connect, tmp_path):
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(ReasoningError, match=words) as caught:
        connect(url="http://localhost:1/v1", api_key_file=str(file))
    assert "reasoner.remote.api_key_file" in str(caught.value)
    assert KEY not in str(caught.value)


def test_where_a_key_may_come_from(connect, monkeypatch, tmp_path):
    monkeypatch.delenv("LIRA_TEST_KEY", raising=False)
    for values, words in (
        ({"api_key_variable": "LIRA_TEST_KEY"}, "environment variable LIRA_TEST_KEY is not set"),
        ({"api_key_variable": KEY}, "expected the name of an environment variable"),
        ({"api_key_file": str(tmp_path / "none")}, "No such file"),
        ({"api_key_file": str(tmp_path)}, "expected a regular file"),
        ({"api_key_file": "a", "api_key_variable": "A"}, "expected one of them, got both"),
    ):
        with pytest.raises(ReasoningError, match=words) as caught:
            connect(url="http://localhost:1/v1", **values)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": ""}, "reasoner.remote.url: expected the address"),
        ({"url": "localhost:8000"}, "expected http:// or https://"),
        ({"url": "ftp://host/v1"}, "expected http:// or https://"),
        ({"url": "http://"}, "and a host"),
        ({"url": "http://host:99999/v1"}, "expected an address such as"),
        ({"url": "http://host/v1?api_key=secret"}, "without \\?, # and blanks"),
        ({"url": "http://user:secret@host/v1"}, "must not hold a user or a password"),
        ({"url": "http://ho st/v1"}, "without \\?, # and blanks"),
        ({"extra_fields": "[1]"}, "expected a JSON object, got list"),
        ({"extra_fields": "{"}, "expected a JSON object"),
        ({"extra_fields": '{"stream": true}'}, "stream cannot be set"),
        ({"extra_fields": '{"model": "big", "max_tokens": 9}'}, "max_tokens, model cannot be set"),
        ({"extra_fields": '{"top_p": NaN}'}, "NaN is no number in JSON"),
        ({"ca_file": "/nowhere.pem"}, "reasoner.remote.ca_file: /nowhere.pem"),
    ],
)
def test_what_cannot_be_configured(values, words, connect):
    with pytest.raises(ReasoningError, match=words) as caught:
        connect(**{"url": "http://localhost:1/v1", **values})
    assert "secret" not in str(caught.value)


# ---- TLS and proxies ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return a self-signed certificate with its key in one file; skipped where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=elsewhere"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {file}.key -out {file}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, f"{file}.key")
    return file, context


def test_a_certificate_that_nobody_vouches_for_is_refused(serve, connect, certificate, monkeypatch):
    monkeypatch.setenv("LIRA_TEST_KEY", KEY)
    file, context = certificate
    server = serve(well("[]"), tls=context)
    error = refusal(connect(server, api_key_variable="LIRA_TEST_KEY"))
    assert "its certificate is not trusted" in str(error)
    assert server.requests == []
    assert ask(connect(server, ca_file=str(file))) == "[]"
    other_name = connect(url=server.url.replace("127.0.0.1", "localhost"), ca_file=str(file))
    assert "its certificate is not trusted" in str(refusal(other_name))


def test_https_where_there_is_none(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=lambda: listener.accept()[0].sendall(http(400, b"no HTTP")), daemon=True)
        answering.start()
        error = refusal(connect(url=f"https://127.0.0.1:{listener.getsockname()[1]}/v1"))
        answering.join(5)
    assert "no https there" in str(error)


def test_a_key_on_its_way_unencrypted_is_told(connect, monkeypatch, caplog):
    monkeypatch.setenv("LIRA_TEST_KEY", KEY)
    words = "the key goes to gpu.example:8000 unencrypted: use https"
    client = connect(url="http://gpu.example:8000/v1", api_key_variable="LIRA_TEST_KEY")
    assert client.diagnose()["server key"] == words
    assert f"reasoner.remote: {words}" in caplog.text
    for url in ("http://localhost:8000/v1", "http://[::1]:8000/v1", "https://gpu.example/v1"):
        assert "server key" not in connect(url=url, api_key_variable="LIRA_TEST_KEY").diagnose()
    assert connect(url="http://[::1]:8000/v1").address == "[::1]:8000"


def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(serve, connect, monkeypatch):
    proxy = serve(says(http(418, b"I am the proxy")))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", "robot.example")
    server = serve(well("[]"))
    assert ask(connect(server)) == "[]"
    assert ask(connect(url=server.url.replace("127.0.0.1", "localhost"))) == "[]"
    assert "HTTP 418: I am the proxy" in str(refusal(connect(url="http://far.example:8000/v1")))
    assert len(proxy.requests) == 1
    assert "robot.example" in str(refusal(connect(url="http://robot.example:1/v1")))
    assert len(proxy.requests) == 1
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:bad")
    with pytest.raises(ReasoningError, match="the proxy of the environment cannot be used") as caught:
        connect(url="http://far.example:8000/v1")
    assert "secret" not in str(caught.value)


# ---- the form of the answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "[1"}, {"type": "text", "text": None}, 7, {"text": "]"}]}, "[1]"),
        ({"content": None, "reasoning_content": "Hm. [1]"}, "<think>Hm. [1]"),
        ({"content": " ", "reasoning": "Hm. [1]"}, "<think>Hm. [1]"),
        ({"content": "[1]", "reasoning_content": "Hm. [2]"}, "[1]"),
        ({"content": None, "refusal": "I cannot look at that."}, "I cannot look at that."),
        ({"content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}, ""),
        ({"content": ""}, ""),
    ],
)
def test_where_the_text_of_an_answer_may_stand(message, text, serve, connect):
    content = json.dumps({"choices": [{"message": message, "finish_reason": "length"}]}).encode()
    reply = connect(serve(says(http(200, content)))).ask(lambda model: QUESTION)
    assert (reply.text, reply.cut) == (text, True)


def test_nothing_that_a_server_says_makes_a_question_that_cannot_be_sent(serve, connect):
    """Half a character in the name of a model, and cookies that are never given back."""
    server = serve(well("[]", model="half\ud800"))
    client = connect(server, model="", extra_fields='{"user": "\\ud800", "temperature": 0.6}')
    assert ask(client) == "[]"
    assert [(body["model"], body["temperature"]) for body in server.posts()] == [("half\ud800", 0.6)]
    assert client.diagnose()["server model"] == "half"
    server.behave = answers(http(200, completion("[1]"), "Set-Cookie: a=" + 4000 * "b"))
    ask(client)
    ask(client)
    assert not any("cookie" in headers for _, _, headers, _ in server.requests)


def picky(accepts, status=400, message="response_format is not supported"):
    """Return a behaviour that answers only questions whose response_format it accepts."""

    def behave(connection, request):
        wanted = json.loads(request[3]).get("response_format", {}) if request[0] == "POST" else {}
        content = http(200, completion("[]")) if accepts(wanted) else http(status, json.dumps(message).encode())
        connection.sendall(content)

    return behave


@pytest.mark.parametrize(
    ("accepts", "form"),
    [
        (lambda wanted: wanted.get("type") == "json_schema", AnswerForm.JSON_SCHEMA),
        (lambda wanted: wanted.get("schema") == SCHEMA, AnswerForm.JSON_OBJECT_WITH_SCHEMA),
        (lambda wanted: wanted == {"type": "json_object"}, AnswerForm.JSON_OBJECT),
        (lambda wanted: not wanted, AnswerForm.PROMPT),
    ],
    ids=[form.name for form in AnswerForm],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_the_strictest_form_is_found_once_and_remembered(accepts, form, status, serve, connect):
    server = serve(picky(accepts, status, "no"))
    client = connect(server)
    assert ask(client) == "[]"
    assert len(server.requests) == 1 + list(AnswerForm).index(form)
    assert ask(client) == "[]"
    assert len(server.requests) == 2 + list(AnswerForm).index(form)
    assert client.diagnose()["server answers as"] == form.value


def test_a_form_that_worked_is_kept_when_a_question_fails(serve, connect):
    server = serve(well("[]"))
    client = connect(server)
    ask(client)
    server.behave = says(http(400, b'{"message": "image too large"}'))
    assert "image too large" in str(refusal(client))
    assert len(server.requests) == 2
    server.behave = picky(lambda wanted: not wanted)  # another server in its place, which says what it does not take
    assert ask(client) == "[]"
    assert client.diagnose()["server answers as"] == "prompt only"


# ---- away and back ------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_left_alone_and_found_again(serve, connect):
    server = serve(well("[]"))
    clock = [100.0]
    client = connect(server, Circuit(lambda: clock[0]))
    assert ask(client) == "[]"
    server.behave = says(http(503, b""))
    for number in range(3):
        assert isinstance(refusal(client), ServerUnavailable)
        assert client.diagnose()["server circuit"] == ("closed" if number < 2 else "open")
        clock[0] += 10.0
    server.requests.clear()
    clock[0] -= 10.0
    error = refusal(client)  # at once, without a request
    assert isinstance(error, ServerUnavailable)
    assert 0 < error.retry_after_s <= 4.0
    assert "HTTP 503" in str(error)
    assert server.requests == []
    told = client.diagnose()
    assert (told["server circuit"], told["server outages"]) == ("open", 1)
    assert "HTTP 503" in told["server circuit reason"]

    clock[0] += error.retry_after_s
    assert isinstance(refusal(client), ServerUnavailable)
    assert [request[:2] for request in server.requests] == [("GET", "/v1/models")]  # a cheap question first
    server.behave = well("[]")
    clock[0] += 4.0
    assert ask(client) == "[]"
    told = client.diagnose()
    assert (told["server circuit"], told["server outages"]) == ("closed", 1)
    assert "server circuit reason" not in told


def test_only_one_question_tries_whether_the_server_is_back(serve, connect):
    server = serve(says(http(401, b"")))
    clock = [100.0]
    client = connect(server, Circuit(lambda: clock[0]), timeout_s=5.0)
    assert isinstance(refusal(client), ServerUnavailable)  # nobody will change the key within a second: open at once
    assert client.diagnose()["server circuit"] == "open"
    clock[0] += 4.0
    server.behave = well("[]", delay_s=0.3)
    trying = threading.Thread(target=ask, args=(client,))
    trying.start()
    while client.circuit.status.state != "half-open":
        time.sleep(0.005)
    assert isinstance(refusal(client), ServerUnavailable)
    trying.join()
    assert len(server.posts()) == 2
    assert client.diagnose()["server circuit"] == "closed"


def test_a_server_that_fails_at_everything_is_away_and_one_that_answers_others_fails_at_a_question(serve, connect):
    """So no question is given up for an outage, and none is asked for ever."""
    server = serve(well("[]"))
    client = connect(server)
    for failure in (says(http(500, b"broken")), says(http(200, b"<html>"))):
        server.behave = well("[]")
        client.circuit.succeeded()
        ask(client)
        server.behave = failure
        assert not isinstance(refusal(client), ServerUnavailable)
        client.circuit.succeeded()
        assert isinstance(refusal(client), ServerUnavailable)


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ("Retry-After: 2", 2.0),
        ("Retry-After: 86400", 8.0),
        ("Retry-After: -5", 0.25),
        ("Retry-After: soon", 0.25),
        ("Retry-After: nan", 0.25),
        ("Retry-After: inf", 0.25),
        ("Retry-After: Wed, 21 Oct 2099 07:28:00 GMT", 8.0),
        ("Retry-After: Wed, 99 Foo", 0.25),
    ],
)
def test_retry_after_is_kept_within_bounds(header, expected_s, serve, connect):
    client = connect(serve(says(http(429, b"", header))), Circuit(lambda: 100.0, jitter=lambda: 1.0))
    error = refusal(client)
    assert isinstance(error, ServerUnavailable)
    assert error.retry_after_s == pytest.approx(expected_s)


def test_close_gives_up_what_is_on_its_way(serve, connect):
    client = connect(serve(hang), timeout_s=60.0)
    errors = []
    asking = [threading.Thread(target=lambda: errors.append(refusal(client))) for _ in range(3)]
    for thread in asking:
        thread.start()
    while client.diagnose()["server requests"] < 3:
        time.sleep(0.005)
    client.close()
    for thread in asking:
        thread.join(3)
    assert len(errors) == 3
    assert all("the connection was closed" in str(error) for error in errors)
    assert not client._thread.is_alive()
    assert "was closed" in str(refusal(client))


def test_nothing_is_left_behind_by_failures(serve, wait_for):
    """Threads and open files stay as many as they were, whatever the server does."""
    servers = [serve(behave) for name, (behave, _) in HOSTILE.items() if "10 MB" not in name]

    def everything():
        for server in servers:
            values = ServerConfiguration(url=server.url, model="tiny", timeout_s=0.1)
            client = ChatClient(values, "reasoner.remote.")
            for _ in range(2):
                refusal(client)
                client.circuit.succeeded()
            client.close()

    def held():
        gc.collect()
        # The ends of the connections that are the servers' close when they see that ours did.
        wait_for(lambda: not any(server.open_connections for server in servers), 10, "the end of all connections")
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    everything()
    before = held()
    everything()
    # Not "equal": threads of the servers that were ending before may have been counted.
    wait_for(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), 10, "as few as before")
