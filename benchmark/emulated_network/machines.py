"""Machines made of namespaces: a network, a /dev/shm and a host name of their own, on the processor of this machine.

The namespaces have no names. They live as long as a process does that holds them, and that ends when its standard
input is closed, which the kernel does for whoever is killed. So nothing is left behind in any case.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from emulated_network.link import LinkSettings
from emulated_network.relay import INTERFACE

NEEDED = ("unshare", "nsenter", "setpriv", "mount", "ip", "hostname")
# Its own /dev/shm and host name: who shares them shares memory instead of a link.
HOLD = (
    "mount -t tmpfs -o size=1g tmpfs /dev/shm && hostname {name} && ip link set lo up"
    " && head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' > /dev/shm/id && mount --bind /dev/shm/id /etc/machine-id"
    " && echo ready && exec cat > /dev/null"
)


def missing() -> str | None:
    """Return in words why machines cannot be made here, None when they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    return f"needs {', '.join(absent)}" if absent else None


class Machine:
    """A context manager: namespaces in which processes can be started with ``prefix`` before their command."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Machine:
        """Make the namespaces."""
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "sh", "-c", HOLD.format(name=self.name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline().strip() != "ready":
            raise OSError(f"{self.name}: the namespaces could not be made")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the namespaces."""
        self._holder.stdin.close()
        self._holder.wait(10)

    @property
    def network(self) -> str:
        """Return the path of the network namespace."""
        return f"/proc/{self._holder.pid}/ns/net"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return what to write before a command that is to run here; it has the same process id and dies with us."""
        folder = Path(self.network).parent
        enter = ("nsenter", f"--net={folder}/net", f"--mount={folder}/mnt", f"--uts={folder}/uts", "--")
        return ("setpriv", "--pdeathsig", "KILL", *enter)

    def run(self, *command: str) -> str:
        """Run a command here and return what it printed; raises CalledProcessError."""
        done = subprocess.run([*self.prefix, *command], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout


class EmulatedLink:
    """A context manager: connects two machines, 10.77.0.1 and 10.77.0.2, by a link with these settings each way."""

    ADDRESSES = ("10.77.0.1", "10.77.0.2")

    def __init__(self, first: Machine, second: Machine, there: LinkSettings, back: LinkSettings) -> None:
        self._machines = (first, second)
        self._directions = (there, back)
        self.report: list[dict[str, Any]] = []

    def __enter__(self) -> EmulatedLink:
        """Start the relay and bring the interfaces up."""
        given = {
            "networks": [machine.network for machine in self._machines],
            "directions": [asdict(direction) for direction in self._directions],
        }
        self._relay = subprocess.Popen(
            [sys.executable, "-m", "emulated_network.relay", json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )
        if self._relay.stdout.readline().strip() != "ready":
            raise OSError("the relay of the emulated link did not start")
        for machine, own in zip(self._machines, self.ADDRESSES, strict=True):
            machine.run("ip", "address", "add", f"{own}/24", "dev", INTERFACE)
            machine.run("ip", "link", "set", INTERFACE, "up", "multicast", "on")
            machine.run("ip", "route", "add", "224.0.0.0/4", "dev", INTERFACE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the relay and keep what it saw in ``report``, one entry for each direction."""
        output, _ = self._relay.communicate(timeout=60)
        self.report = json.loads(output) if output.strip() else []
