"""Files for networks: Zenoh's JSON5 and the addresses, names and ports in them, which nothing here can run."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest


def json5(path):
    """Read the part of JSON5 that the files use: comments, names without quotes, commas at the end."""
    text = re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = re.sub(r"([{,]\s*)([A-Za-z_]\w*)\s*:", r'\1"\2":', text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))


@pytest.fixture(scope="module")
def zenoh(repository):
    return {name: json5(repository / "config" / "zenoh" / f"{name}.json5") for name in ("router", "session")}


def test_sessions_connect_to_where_the_router_listens_and_find_nothing_by_themselves(zenoh):
    router, session = zenoh["router"], zenoh["session"]
    assert (router["mode"], session["mode"]) == ("router", "peer")
    ports = {endpoint.rsplit(":", 1)[1] for endpoint in router["listen"]["endpoints"]}
    assert {endpoint.rsplit(":", 1)[1] for endpoint in session["connect"]["endpoints"]} == ports
    assert all(endpoint.startswith("tcp/localhost:") for endpoint in session["listen"]["endpoints"])
    for configuration in zenoh.values():
        assert configuration["scouting"]["multicast"] == {"enabled": False}
        assert set(configuration["timestamping"]["enabled"].values()) == {True}  # latched topics need it


def test_a_keyframe_and_an_image_fit_into_the_queues_of_zenoh(zenoh):
    for name, size_bytes in (("router", 400_000), ("session", 640 * 480 * 3)):
        queue = zenoh[name]["transport"]["link"]["tx"]["queue"]
        assert 2 <= queue["size"]["data"] <= 16  # Zenoh allows 1 to 16 batches
        assert queue["size"]["data"] * 65_535 > size_bytes
        assert queue["congestion_control"]["drop"]["max_wait_before_drop_fragments"] * 1e-6 > size_bytes * 8 / 10e6


def test_the_discovery_server_is_the_first_one_at_its_usual_port(repository):
    root = ElementTree.parse(repository / "config" / "fastdds_discovery_server.xml").getroot()
    find = {"d": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    server = root.find(".//d:RemoteServer", find)
    assert server.get("prefix") == "44.53.00.5f.45.50.52.4f.53.49.4d.41"  # of id 0, as the server prints it
    assert server.find(".//d:port", find).text == "11811"
    assert root.find(".//d:discoveryProtocol", find).text == "SUPER_CLIENT"
