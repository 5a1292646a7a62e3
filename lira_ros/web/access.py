"""Who may look: the token, and the addresses under which a browser may speak to the server.

On the loopback interface everybody on this computer may look, as with the topics of ROS itself. Elsewhere a token is
needed. A page of another site must never get through: browsers send along where a request comes from (``Origin``) and
whom it was meant for (``Host``), and both must name this server. A name that somebody else's DNS server points at us
(DNS rebinding) is none that we know.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

# RFC 6750 asks for bearer tokens that cannot be guessed; 128 bits cannot.
TOKEN_BYTES = 16
# A token that a person chose: shorter ones fall to guessing over a network within days.
SHORTEST_TOKEN = 12
COOKIE = "lira_session"
# Where the token is given: in the environment, which neither other users nor other nodes read. It is no ROS parameter,
# for whoever is in the same DDS domain can read those.
TOKEN_VARIABLE = "LIRA_WEB_TOKEN"


class AccessError(ValueError):
    """Something about who may look is wrong; the text says what was expected."""


def is_loopback(host: str) -> bool:
    """Tell whether an address to serve on is reached from this computer only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def choose_token(host: str, given: str) -> str:
    """Return the token that is needed, "" = none: the given one, or a new one when not only this computer is served.

    Raises AccessError for one that is too short or cannot be typed.
    """
    if given:
        if len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
            raise AccessError(
                f"token: expected at least {SHORTEST_TOKEN} letters, digits and signs without spaces, got {len(given)}"
            )
        return given
    return "" if is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES)


class Access:
    """The rules for one server."""

    def __init__(self, token: str, allowed_hosts: Iterable[str] = ()) -> None:
        """token: "" = none is needed. allowed_hosts: names besides addresses, localhost and this computer's name."""
        self._token = token
        name = socket.gethostname().lower()
        self._names = {"localhost", name, f"{name}.local", *(item.lower().rstrip(".") for item in allowed_hosts)}

    @property
    def needs_token(self) -> bool:
        """Tell whether a token is needed."""
        return bool(self._token)

    def knows_host(self, host: str) -> bool:
        """Tell whether a Host header names this server: by an address, or by a name that it is known to have."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True  # an address cannot be pointed at somebody else

    def is_own_origin(self, origin: str | None, host: str) -> bool:
        """Tell whether an Origin header is that of a page which this server has served under ``host``."""
        if origin is None:
            return False
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def accepts(self, token: str) -> bool:
        """Compare a token in constant time."""
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())

    def cookie(self) -> str:
        """Return what a browser shows from then on; it outlives a restart with the same token, and tells nothing."""
        return hmac.new(self._token.encode(), b"session of the lira web page", hashlib.sha256).hexdigest()

    def admits(self, cookie: str | None) -> bool:
        """Tell whether a browser has shown the token before, in constant time; everybody where none is needed."""
        if not self._token:
            return True
        return cookie is not None and hmac.compare_digest(cookie.encode(), self.cookie().encode())
