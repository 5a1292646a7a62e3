"""The server over real connections: files, tokens, origins, what pages say, and pages that stand still."""

import asyncio
import json
import socket
import time
from concurrent.futures import Future

import aiohttp
import numpy as np
import pytest

from lira_ros.web import server as server_module
from lira_ros.web.calls import MAX_MESSAGE_BYTES, Answer
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.frames import frame, read_frame
from lira_ros.web.outbox import WINDOW_BYTES
from lira_ros.web.server import WebServer
from lira_ros.web.static_files import StaticFile, WebError, read_static_files
from lira_ros.web.store import Key, Store

TOKEN = "a-token-for-tests"
FILES = {
    "/": StaticFile("text/html; charset=utf-8", b"<p>page</p>", b"squeezed", '"1"'),
    "/page.js": StaticFile("text/javascript; charset=utf-8", b"let x", b"squeezed", '"2"'),
}


class Suite:
    """A server with a store, and a suite behind it that answers as told."""

    def __init__(self, token="", **values):
        self.store = Store()
        self.calls = []
        self.answers = {}
        configuration = WebConfiguration(port=0, **values)
        self.server = WebServer(configuration, self.store, self.answer, FILES, token)
        self.server.start()
        self.address = self.server.addresses()[0].split("#")[0]
        self.host = self.address.split("/")[2]
        self.origin = f"http://{self.host}"

    def answer(self, call):
        self.calls.append(call)
        future = Future()
        answer = self.answers.get(call.name, Answer(True, f"did {call.name}"))
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(answer)
        return future


@pytest.fixture
def suite():
    """Return a function that starts a server; all are stopped after the test."""
    running = []

    def start(*arguments, **values):
        running.append(Suite(*arguments, **values))
        return running[-1]

    yield start
    for item in running:
        assert item.server.stop()


def browse(function):
    """Run a coroutine with a client session that keeps cookies, within 10 s."""

    async def run():
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            return await asyncio.wait_for(function(session), 10)

    return asyncio.run(run())


async def get(session, suite, path="/", **headers):
    async with session.get(suite.origin + path, headers=headers, auto_decompress=False) as response:
        return response.status, response.headers, await response.read()


def connect(session, suite, **values):
    return session.ws_connect(suite.origin + "/socket", **{"origin": suite.origin, "max_msg_size": 0, **values})


async def ask(page, call, number=1, **arguments):
    """Send a call and return its answer, confirming everything on the way."""
    await page.send_str(json.dumps({"call": call, "number": number, "arguments": arguments}))
    async for message in page:
        page.count = getattr(page, "count", 0) + 1
        await page.send_str(json.dumps({"received": page.count}))
        if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["kind"] == "answer":
            return json.loads(message.data)
    raise AssertionError(f"closed: {page.close_code}")


def test_files_come_compressed_with_every_protection(suite):
    one = suite()

    async def look(session):
        status, headers, body = await get(session, one, **{"Accept-Encoding": "gzip"})
        assert (status, body, headers["Content-Encoding"]) == (200, b"squeezed", "gzip")
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy, "nothing comes from anywhere else"
        for name in ("X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "Cross-Origin-Resource-Policy"):
            assert headers[name]
        assert "aiohttp" not in headers["Server"]
        assert (await get(session, one, "/page.js", **{"Accept-Encoding": "identity"}))[2] == b"let x"
        status, headers, body = await get(session, one, "/page.js", **{"If-None-Match": '"2"'})
        assert (status, body) == (304, b"")
        for path in ("/nothing", "/page.js/x", "/..%2fsetup.py", "//etc/passwd", "/index.html"):
            status, headers, body = await get(session, one, path)
            assert status == 404
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert len(body) < 100

    browse(look)


def test_a_page_is_told_of_changes_and_its_calls_are_answered(suite):
    one = suite()
    one.store.put(Key("instance", "7"), {"label": "<script>alert(1)</script>"})
    one.store.put(Key("region", "0,0,0"), frame({"kind": "region", "name": "0,0,0"}, np.arange(3, dtype=np.uint8)))
    one.answers["submit"] = Answer(True, "a: looking for mug", {"id": "a"})
    one.answers["save"] = RuntimeError("disk full")

    async def look(session):
        async with connect(session, one) as page:
            state = json.loads((await page.receive()).data)
            assert state["changed"] == [[["instance", "7"], {"label": "<script>alert(1)</script>"}]]
            head, arrays = read_frame((await page.receive()).data)
            assert (head["name"], arrays[0].tolist()) == ("0,0,0", [0, 1, 2])
            one.store.remove(Key("instance", "7"))
            assert json.loads((await page.receive()).data)["gone"] == [["instance", "7"]]
            page.count = 3
            assert one.server.clients == 1
            answer = await ask(page, "submit", 5, text="Find the mug.", id="", replace=False)
            assert answer["number"] == 5
            assert (answer["success"], answer["values"]) == (True, {"id": "a"})
            assert one.calls[0].arguments["text"] == "Find the mug."
            assert (await ask(page, "echo"))["success"]
            answer = await ask(page, "save", name="a")
            assert not answer["success"]
            assert answer["message"] == "save: disk full"

    browse(look)
    assert one.server.statistics()["pages dropped"] == 0


def test_nothing_hostile_gets_through_and_the_page_goes_on(suite):
    one = suite()
    wrong = [
        "",
        "{",
        "[]",
        '{"received":99}',
        '{"received":-1}',
        '{"call":"rm","number":1,"arguments":{}}',
        "[" * 20_000,
    ]

    async def look(session):
        async with connect(session, one) as page:
            for text in wrong:
                await page.send_str(text)
                answer = json.loads((await page.receive()).data)
                assert answer["kind"] == "answer"
                assert not answer["success"]
                assert len(answer["message"]) < 300
            page.count = len(wrong)
            assert (await ask(page, "pause"))["message"] == "did pause"
        for data in (b"\0" * 10, "x" * (MAX_MESSAGE_BYTES + 1)):
            async with connect(session, one) as page:
                await (page.send_bytes(data) if isinstance(data, bytes) else page.send_str(data))
                closed = await page.receive()
                assert closed.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    browse(look)
    assert [call.name for call in one.calls] == ["pause"]
    assert one.server.statistics()["requests refused"] >= len(wrong) + 1


def test_other_sites_and_other_names_are_refused(suite):
    one = suite(allowed_hosts=("robot.example",))

    async def look(session):
        for host in ("evil.example", "localhost.evil.example", ""):
            status, _, body = await get(session, one, Host=host)
            assert status == 421
            assert b"name is not known" in body
        for host in (f"localhost:{one.host.split(':')[1]}", "robot.example", "10.1.2.3:80"):
            assert (await get(session, one, Host=host))[0] == 200
        for origin in ("http://evil.example", "null", f"http://localhost:{one.host.split(':')[1]}", None):
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await connect(session, one, origin=origin)
            assert error.value.status == 403
            headers = {"Origin": origin} if origin else {}
            async with session.post(one.origin + "/session", json={"token": "x"}, headers=headers) as response:
                assert response.status == 403
        async with session.delete(one.origin + "/", headers={"Origin": one.origin}) as response:
            assert response.status == 405
        assert (await get(session, one, "/socket", Origin=one.origin))[0] == 400

    browse(look)
    assert one.server.clients == 0


def test_the_token_is_asked_for_once_and_guessing_is_slow(suite, monkeypatch, caplog, capfd):
    monkeypatch.setattr(server_module, "WRONG_TOKEN_S", 0.2)
    one = suite(TOKEN)
    assert one.server.addresses()[0].endswith(f"/#token={TOKEN}")

    async def sign_in(session, token):
        body = token if isinstance(token, dict) else {"token": token}
        async with session.post(one.origin + "/session", json=body, headers={"Origin": one.origin}) as response:
            return response.status, response.cookies

    async def look(session):
        assert json.loads((await get(session, one, "/session"))[2]) == {"signed_in": False}
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await connect(session, one)
        assert error.value.status == 401
        began_s = time.monotonic()
        guesses = await asyncio.gather(*(sign_in(session, f"guess-number-{n}") for n in range(12)))
        assert {status for status, _ in guesses} == {403, 429}
        assert sum(status == 403 for status, _ in guesses) == server_module.MOST_GUESSES
        assert time.monotonic() - began_s >= 0.2
        for wrong in ({"token": 5}, {"token": None}, {}, {"token": TOKEN[:-1]}):
            assert (await sign_in(session, wrong))[0] in (400, 403)
        status, cookies = await sign_in(session, TOKEN)
        assert status == 200
        (cookie,) = cookies.values()
        assert TOKEN not in cookie.value
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert json.loads((await get(session, one, "/session"))[2]) == {"signed_in": True}
        async with connect(session, one) as page:
            assert (await ask(page, "echo"))["success"]

    browse(look)
    with_wrong_cookie = {"Cookie": f"lira_session_{one.host.split(':')[1]}=" + "0" * 64}
    assert json.loads(browse(lambda session: get(session, one, "/session", **with_wrong_cookie))[2]) == {
        "signed_in": False
    }
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(capfd.readouterr())


def test_only_so_many_pages_and_the_next_is_told_why(suite):
    one = suite(max_clients=2)

    async def look(session):
        async with connect(session, one), connect(session, one):
            async with connect(session, one) as third:
                closed = await third.receive()
                assert closed.data == server_module.TOO_MANY_PAGES
                assert closed.extra == "2 pages are open already, as many as max_clients allows."
            assert one.server.clients == 2
        async with connect(session, one) as again:
            assert (await ask(again, "echo"))["success"]

    browse(look)


def test_a_page_that_stands_still_costs_nothing_and_is_dropped(suite, wait_for, monkeypatch):
    monkeypatch.setattr(server_module, "STALL_S", 1.0)
    one = suite()
    stalled = socket.create_connection((one.host.split(":")[0], int(one.host.split(":")[1])))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = (
        f"GET /socket HTTP/1.1\r\nHost: {one.host}\r\nOrigin: {one.origin}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    stalled.sendall(request.encode())
    wait_for(lambda: one.server.clients == 1, what="the connection")

    async def look(session):
        async with connect(session, one) as page:
            sizes = []
            for turn in range(60):
                picture = frame({"kind": "picture", "name": "", "turn": turn}, np.zeros(200_000, dtype=np.uint8))
                one.store.put(Key("picture"), picture)
                message = await page.receive()
                assert read_frame(message.data)[0]["turn"] == turn, "the other page gets every picture at once"
                await page.send_str(json.dumps({"received": turn + 1}))
                sizes.append(sum(item.outbox.unconfirmed_bytes for item in one.server._pages))
                assert one.server.statistics()["pages waiting"] <= 2
            assert max(sizes) < 2 * (WINDOW_BYTES + 250_000)

    browse(look)
    wait_for(lambda: one.server.clients == 0, 5, "the end of the page that stands still")
    assert one.server.statistics()["pages dropped"] == 1
    assert one.server.statistics()["pages sent_bytes"] < 60 * 200_100 + WINDOW_BYTES + 250_000
    stalled.close()


def test_a_page_that_asks_without_reading_is_cut_off(suite, wait_for):
    one = suite()

    async def look(session):
        async with connect(session, one) as page:
            # Nothing is confirmed, so answers stop when the window is full.
            one.answers["views"] = Answer(True, "", {"jpegs": ["x" * 200_000]})
            for number in range(200):
                await page.send_str(json.dumps({"call": "views", "number": number, "arguments": {"id": 1}}))
                await asyncio.sleep(0)
                if one.server.statistics()["pages dropped"]:
                    break
                await asyncio.sleep(0.005)
            assert one.server.statistics()["pages dropped"] == 1

    browse(look)
    wait_for(lambda: one.server.clients == 0, 5, "the end of the connection")


def test_calls_that_are_not_answered_end_in_a_sentence(suite, monkeypatch):
    monkeypatch.setattr(server_module, "ANSWER_S", 0.3)
    one = suite()
    one.answers["reset"] = None

    async def look(session):
        async with connect(session, one) as page:
            assert (await ask(page, "reset"))["message"] == "No answer within 0.3 s."
            for number in range(server_module.MOST_CALLS + 1):
                await page.send_str(json.dumps({"call": "reset", "number": number, "arguments": {}}))
            answer = json.loads((await page.receive()).data)
            assert answer["message"] == "8 questions wait for an answer already."

    browse(look)


def test_slow_requests_are_cut_off(suite, wait_for, monkeypatch):
    monkeypatch.setattr(server_module, "LONGEST_REQUEST_S", 0.3)
    one = suite()
    slow = socket.create_connection((one.host.split(":")[0], int(one.host.split(":")[1])))
    slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
    slow.settimeout(5)
    assert slow.recv(100) == b"", "the server ends it"
    slow.close()


@pytest.mark.parametrize("host", ["no such host", "192.0.2.77", "x" * 70, "a..b"])
def test_a_host_that_is_none_of_ours_is_named(host):
    server = WebServer(WebConfiguration(host=host, port=0), Store(), lambda call: Future(), FILES, TOKEN)
    with pytest.raises(WebError, match="the page cannot be served there"):
        server.start()
    assert server.stop()


def test_on_all_networks_the_addresses_of_this_computer_are_told(suite):
    for host in ("0.0.0.0", ""):
        one = suite(TOKEN, host=host)
        for address in one.server.addresses():
            assert address.startswith("http://")
            assert address.endswith(f"/#token={TOKEN}")
            assert "0.0.0.0" not in address
            assert "//:" not in address


def test_a_port_that_is_taken_is_named(suite):
    one = suite()
    port = int(one.host.split(":")[1])
    other = WebServer(WebConfiguration(port=port), Store(), one.answer, FILES, "")
    with pytest.raises(WebError, match=f"host '127.0.0.1', port {port}: the page cannot be served there"):
        other.start()
    assert other.stop()


def test_pages_are_told_when_the_server_ends(suite):
    one = suite()

    async def look(session):
        async with connect(session, one) as page:
            assert await asyncio.to_thread(one.server.stop)
            closed = await page.receive()
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)

    browse(look)


def test_a_page_that_was_not_built_is_said_to_be_so(tmp_path):
    with pytest.raises(WebError, match=r"the page is not built: .*python3 -m bootstrap\.page"):
        read_static_files(tmp_path)
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / "page.js").write_text("x")
    (tmp_path / "secret.key").write_text("x")
    assert set(read_static_files(tmp_path)) == {"/", "/page.js"}
