"""The page in a browser, with the real suite behind it: an instruction is typed and what it asks for appears."""

import importlib.util
import re
import shutil

import pytest

from lira_ros.cli.node_run import REMAPPINGS
from lira_ros.cli.processes import NodeCommand, NodeProcesses
from lira_ros.web.static_files import WebError, read_static_files

NAMESPACE = "page_test"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# WebGL by software, as on a computer without a graphics card.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WAIT_MS = 40_000


@pytest.fixture
def needed():
    """Skip the test where there is no browser, or no page to show."""
    if BROWSER is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs playwright and a browser (sudo apt install chromium)")
    try:
        read_static_files()
    except WebError as error:
        pytest.skip(str(error))


@pytest.fixture
def processes(needed, tiny_recording, tmp_path):
    """Return running nodes: the suite with the oracle, and the web node."""
    values = {
        "reasoner.backend": "oracle",
        "recording": str(tiny_recording),
        "camera.sensor_reliable": True,
        "map_directory": str(tmp_path / "maps"),
        "mapping.voxel_size_m": 0.04,  # a browser without a graphics card draws it at once
    }
    with NodeProcesses(tmp_path / "log", {}) as processes:
        processes.start(
            [
                NodeCommand("suite", NAMESPACE, REMAPPINGS, values),
                NodeCommand("web_node", NAMESPACE, {}, {"web.port": 0}),
            ]
        )
        yield processes


@pytest.fixture
def browser(processes):
    """Return a headless browser, started while the nodes do."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """A page in the browser and everything suspicious that it did."""

    def __init__(self, browser, address, **context):
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.complaints = []
        self.requests = set()
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.add(request.url))
        self.page.on("websocket", lambda socket: self.requests.add(socket.url))
        self.page.goto(address)
        self.page.wait_for_selector("body[data-connection=live]")

    def wait_for_text(self, selector, text):
        """Wait until an element shows a text."""
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def assert_well_behaved(self, address):
        """Check that it stayed with its server and complained about nothing."""
        here = address.removeprefix("http://")
        assert {url for url in self.requests if not re.match(rf"(blob:)?(http|ws)://{re.escape(here)}", url)} == set()
        # The software renderer says that it is slow when its picture is read for a screenshot.
        assert [text for text in self.complaints if "GPU stall" not in text] == []

    def fits(self):
        """Tell whether nothing sticks out to the side."""
        return self.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_a_person_types_an_instruction_and_sees_it_found(browser, processes, tiny_recording, wait_for, tmp_path):
    log = processes.log_path("web_node")
    address = wait_for(lambda: re.search(r"http://\S+", log.read_text()), 60, "the address of the page").group()
    visitor = Visitor(browser, address, viewport={"width": 1280, "height": 800}, color_scheme="dark")
    page = visitor.page
    # The suite may still compile; meanwhile the page says what is missing, and goes on when it is there.
    visitor.page.wait_for_selector("#nodes [data-key=reasoning_node]", state="attached")
    wait_for(lambda: "is active" in processes.log_path("suite").read_text(), 60, "the suite")

    page.fill("#text", "qwertz yxcvb")
    page.keyboard.press("Enter")
    visitor.wait_for_text("#said.bad", "could not understand")
    page.fill("#text", "Find the sofa.")
    page.click("#send")
    visitor.wait_for_text("#said.good", "Understood as: sofa")
    assert page.input_value("#text") == ""
    visitor.wait_for_text("#searches .card", "Find the sofa.")

    replay = {"recording": str(tiny_recording), "rate": 2.0, "wait_for_subscribers": True}
    processes.start([NodeCommand("replay_node", NAMESPACE, {}, replay)])
    visitor.wait_for_text("#things .card[data-verdict=conforms]", "sofa")
    visitor.wait_for_text("#searches .state", "found")
    visitor.wait_for_text("#stage-info", "triangles")
    page.wait_for_selector("#picture:not([hidden])")
    visitor.wait_for_text("#picture-source", "Camera with masks")
    wait_for(lambda: processes.finished("replay_node"), 60, "the end of the walk")

    # In 3D: the label stands above the box; a click below it selects the thing, in the map and in the list.
    label = page.locator("#labels .label", has_text="sofa")
    label.wait_for()
    page.click("#fit")
    page.wait_for_timeout(300)
    place = label.bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] + 22)
    page.wait_for_selector("#things .card[data-selected=true] .pictures img")
    card = page.locator("#things .card[data-selected=true]")
    assert re.search(r"\d\.\d\d × \d\.\d\d × \d\.\d\d m", card.inner_text())
    assert label.get_attribute("data-selected") == "true"
    page.screenshot(path=tmp_path / "desktop.png")

    page.click("#all-things")
    visitor.wait_for_text("#things .card[data-verdict=rejected]", "round table")
    page.click("#pause")
    visitor.wait_for_text("#pause", "Go on")
    page.click("#pause")
    visitor.wait_for_text("#pause", "Pause")
    page.click("#save")
    page.fill("#name", "a-room")
    page.click("#save-dialog [type=submit]")
    visitor.wait_for_text(".notice", "a-room")
    assert list((tmp_path / "maps").glob("a-room*"))
    visitor.assert_well_behaved(address)

    phone = Visitor(
        browser, address, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme="light"
    )
    visitor.context.close()
    phone.page.tap(".tabs [data-tab=found]")
    phone.wait_for_text("#things .card[data-verdict=conforms]", "sofa")
    phone.page.tap("#things .card .card-main >> nth=0")
    phone.page.wait_for_selector("#things .card[data-selected=true] .pictures img")
    assert phone.fits()
    phone.page.screenshot(path=tmp_path / "phone.png")

    # Nothing is forgotten before a person has said so twice.
    phone.page.tap("#reset")
    phone.page.tap("#reset-dialog .cancel")
    assert phone.page.locator("#things .card[data-verdict=conforms]").count() == 1
    phone.page.tap("#reset")
    phone.page.tap("#reset-dialog [type=submit]")
    phone.page.locator("#nothing-mapped").wait_for()
    phone.page.locator("#things .card").first.wait_for(state="detached")
    phone.page.tap(".tabs [data-tab=search]")
    phone.page.tap("#searches .change")
    phone.wait_for_text("#replacing", "Find the sofa.")
    phone.page.fill("#text", "Find the red mug.")
    phone.page.tap("#send")
    phone.wait_for_text("#searches .card", "Find the red mug.")
    assert phone.page.locator("#searches .card").count() == 1
    phone.page.tap("#searches .cancel")
    phone.page.locator("#no-searches").wait_for()
    phone.assert_well_behaved(address)
    phone.context.close()
