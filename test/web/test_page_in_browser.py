"""The page in a browser with a server and no robot: tokens, lost connections, and texts that would like to be HTML."""

import importlib.util
import shutil
from concurrent.futures import Future

import pytest

from lira_ros.web.calls import Answer
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.server import WebServer
from lira_ros.web.static_files import WebError, read_static_files
from lira_ros.web.store import Key, Store

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<img src=x onerror=document.title='hacked'><script>document.title='hacked'</script>"
TOKEN = "a-token-for-tests"
WAIT_MS = 30_000


def instance(number, label):
    rows = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0.5]
    return {
        "id": number,
        "label": label,
        "existence": 0.9,
        "confirmed": True,
        "names": [[label, 1.0]],
        "colors": [[HOSTILE, 1.0]],
        "size_m": [1.0, 0.5, None],
        "bottom_height_m": None,
        "box": {"rows": rows, "size_m": [1.0, 0.5, 0.3]},
        "observations": 3,
        "merged_from": [],
        "verdicts": {"a": {"verdict": "conforms", "score": 1.0, "reason": HOSTILE}},
    }


def instruction(text):
    return {
        "text": text,
        "understood": HOSTILE,
        "order": 0,
        "state": "found",
        "reason": HOSTILE,
        "answered": 1,
        "pending": 1,
        "judged": 1,
        "found": 1,
    }


@pytest.fixture
def serve():
    """Return a function that starts a server with the real page; all are stopped after the test."""
    try:
        files = read_static_files()
    except WebError as error:
        pytest.skip(str(error))
    running = []

    def answer(call):
        future = Future()
        future.set_result(Answer(False, HOSTILE))
        return future

    def start(store, token="", port=0, **values):
        server = WebServer(WebConfiguration(port=port, **values), store, answer, files, token)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def visit():
    """Return a function that opens an address in a page of its own; skips where there is no browser."""
    if BROWSER is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs playwright and a browser (sudo apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without WebGL: the rest of the page has to work where the map cannot be drawn.
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-3d-apis"])

        def open_page(address):
            page = browser.new_context().new_page()
            page.set_default_timeout(WAIT_MS)
            page.goto(address)
            return page

        yield open_page
        browser.close()


def test_texts_stay_texts_and_a_lost_server_is_found_again(serve, visit):
    store = Store()
    store.put(Key("instruction", "a"), instruction(HOSTILE))
    store.put(Key("instance", "1"), instance(1, HOSTILE))
    store.put(Key("health", "mapping_node"), {"level": 2, "message": HOSTILE, "values": {HOSTILE: HOSTILE}})
    server = serve(store)
    address = server.addresses()[0]
    page = visit(address)
    page.wait_for_selector("body[data-connection=live]")
    card = page.locator("#things .card")
    card.wait_for()
    assert card.locator(".name").inner_text() == HOSTILE
    assert card.locator(".reason").inner_text() == HOSTILE
    assert "size unknown" in card.inner_text()
    assert page.locator("#searches .words").inner_text() == HOSTILE
    card.locator(".card-main").click()
    page.locator("#things .details").wait_for()
    page.fill("#text", "anything")
    page.keyboard.press("Enter")
    page.locator("#said.bad").filter(has_text=HOSTILE).wait_for()
    page.click("#connection")
    page.locator("#nodes summary").click()
    assert page.locator("body *:is(img[src='x'], body script)").count() == 0
    assert page.title() == "lira"
    assert "cannot show the map" in page.locator("#nothing-mapped-why").inner_text()

    server.stop()
    page.wait_for_selector("body[data-connection=offline]")
    assert page.locator("#save").is_disabled()
    other = Store()
    other.put(Key("instruction", "a"), instruction("Find the mug."))
    other.put(Key("instance", "2"), instance(2, "mug"))
    serve(other, port=int(address.rstrip("/").rsplit(":", 1)[1]))
    page.wait_for_selector("body[data-connection=live]")
    page.locator("#things .card .name").filter(has_text="mug").wait_for()
    assert page.locator("#things .card").count() == 1, "what the first server told is forgotten"


def test_the_token_is_asked_for_or_taken_from_the_address(serve, visit):
    server = serve(Store(), token=TOKEN, max_clients=1)
    address = server.addresses()[0]
    page = visit(address.split("#")[0])
    page.locator("#token-dialog[open]").wait_for()
    page.fill("#token", "not-the-right-one")
    page.click("#token-dialog [type=submit]")
    page.locator("#token-said.bad").filter(has_text="not the token").wait_for()
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-connection=live]")
    assert server.clients == 1
    second = visit(address)
    second.locator("#connection-text").filter(has_text="1 page is open already").wait_for()
    assert TOKEN not in second.url
    page.context.close()
    second.reload()  # it would come back by itself, after a while
    second.wait_for_selector("body[data-connection=live]")
