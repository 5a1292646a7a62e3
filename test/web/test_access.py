"""Who may look at the page: tokens, names and origins."""

import pytest

from lira_ros.web.access import Access, AccessError, choose_token, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_nobody_on_this_computer_needs_a_token(host):
    assert is_loopback(host)
    assert choose_token(host, "") == ""
    assert choose_token(host, "correct horse".replace(" ", "-")) == "correct-horse"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.local", ""])
def test_everywhere_else_a_token_is_made_up_that_cannot_be_guessed(host):
    assert not is_loopback(host)
    tokens = {choose_token(host, "") for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 22  # 128 bits, six a character


@pytest.mark.parametrize("token", ["short", "x" * 11, "with a space in it", "größer-als-zwölf", "tab\tin-the-middle"])
def test_weak_tokens_are_refused(token):
    with pytest.raises(AccessError, match="token: expected at least 12 letters"):
        choose_token("0.0.0.0", token)


def test_only_the_token_opens_the_page():
    access = Access("the-right-token")
    assert access.accepts("the-right-token")
    for wrong in ("", "the-right-toke", "the-right-token ", "The-right-token", "\ud800", "the-right-tokeñ"):
        assert not access.accepts(wrong.encode(errors="replace").decode())
    assert access.admits(access.cookie())
    assert not access.admits(None)
    assert not access.admits("")
    assert not access.admits("the-right-token"), "the cookie is not the token"
    assert not Access("another-token!").admits(access.cookie())
    assert Access("the-right-token").admits(access.cookie()), "a restart with the same token logs nobody out"


def test_without_a_token_everybody_is_admitted_and_no_token_is_accepted():
    access = Access("")
    assert access.admits(None)
    assert not access.accepts("")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8765", True),
        ("localhost:8765", True),
        ("LOCALHOST", True),
        ("[::1]:8765", True),
        ("192.168.1.5:8765", True),
        ("robot.example:80", True),
        ("robot.example.", True),
        ("evil.example:8765", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8765", False),
        ("", False),
        (":8765", False),
        ("[::1", False),
        ("user@evil.example", False),
    ],
)
def test_names_that_others_point_at_us_are_not_known(host, known):
    assert Access("", ["Robot.example"]).knows_host(host) is known


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://127.0.0.1:8765", True),
        ("https://127.0.0.1:8765", True),
        ("http://127.0.0.1:9999", False),
        ("http://127.0.0.1", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:8765.evil.example", False),
        ("file://127.0.0.1:8765", False),
        ("null", False),
        ("http://[", False),
        (None, False),
    ],
)
def test_pages_of_other_sites_are_not_ours(origin, own):
    assert Access("").is_own_origin(origin, "127.0.0.1:8765") is own
