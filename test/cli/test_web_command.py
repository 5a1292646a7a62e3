"""lira web: becomes the web node, and says what is wrong before it does."""

import pytest

from lira_ros.cli import web
from lira_ros.cli.main import main
from lira_ros.web.static_files import WebError


@pytest.fixture
def started(monkeypatch):
    """Return what the process became: command line and environment."""
    started = []

    def become(path, command, environment):
        started.append((command, environment))
        raise SystemExit(0)

    monkeypatch.setattr(web.os, "execve", become)
    monkeypatch.setattr(web, "read_static_files", dict)
    monkeypatch.delenv("LIRA_WEB_TOKEN", raising=False)
    return started


def test_it_becomes_the_node_and_hides_the_token(started):
    with pytest.raises(SystemExit):
        main(["web", "--host", "0.0.0.0", "--port", "9000", "--namespace", "/robot1/", "--token", "my-secret-token"])
    ((command, environment),) = started
    assert command[1:3] == ["-m", "lira_ros.nodes.web_node"]
    assert "__ns:=/robot1" in command
    assert "web.host:='0.0.0.0'" in command
    assert "web.port:=9000" in command
    assert environment["LIRA_WEB_TOKEN"] == "my-secret-token"
    assert "my-secret-token" not in " ".join(command), "everybody on this computer can read command lines"


def test_the_token_may_come_from_the_environment(started, monkeypatch):
    monkeypatch.setenv("LIRA_WEB_TOKEN", "from-the-environment")
    with pytest.raises(SystemExit):
        main(["web"])
    assert started[0][1]["LIRA_WEB_TOKEN"] == "from-the-environment"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--token", "short"], "token: expected at least 12"),
        (["--port", "70000"], "port: 70000 is above the maximum 65535"),
        (["--host", "x' -p a:=b", "--token", "short"], "token: expected"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(started, capsys, arguments, said):
    assert main(["web", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert started == []


def test_a_page_that_is_not_built_is_said(started, capsys, monkeypatch):
    def not_built():
        raise WebError("the page is not built: run python3 -m bootstrap.page")

    monkeypatch.setattr(web, "read_static_files", not_built)
    assert main(["web"]) == 1
    assert capsys.readouterr().err == "lira: the page is not built: run python3 -m bootstrap.page\n"
