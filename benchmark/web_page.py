"""What the web page costs: processor time of its node and bytes for each page, with no, one and five pages open.

The suite maps a generated room at the speed of a walk meanwhile, with the oracle reasoner. A page is a WebSocket that
confirms what it gets, as a browser does.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
import time
from pathlib import Path

import aiohttp

from lira_ros.cli.node_run import NAMESPACE, REMAPPINGS, isolated_environment
from lira_ros.cli.processes import NodeCommand, NodeProcesses
from lira_ros.web.frames import read_frame
from lira_ros.web.static_files import read_static_files

RECORDING = "room:0"
STAGES = (0, 1, 5)  # pages
STAGE_S, SETTLE_S = 15.0, 2.0
START_LIMIT_S = 90.0


class Page:
    """One page that is open."""

    def __init__(self) -> None:
        self.bytes = 0
        self.first_s: dict[str, float] = {}  # when the first of each kind came
        self.triangles: dict[str, int] = {}

    async def look(self, origin: str) -> None:
        """Take everything until cancelled."""
        began_s, count = time.monotonic(), 0
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{origin}/socket", origin=origin, max_msg_size=0) as socket,
        ):
            async for message in socket:
                count += 1
                self.bytes += len(message.data)
                await socket.send_str(json.dumps({"received": count}))
                self._note(message.data, time.monotonic() - began_s)

    def _note(self, data: str | bytes, now_s: float) -> None:
        if isinstance(data, bytes):
            head, arrays = read_frame(data)
            self.first_s.setdefault(head["kind"], now_s)
            if head["kind"] == "region":
                self.triangles[head["name"]] = arrays[2].size // 3
            return
        told = [value for key, value in json.loads(data).get("changed", ()) if key[0] == "surface"]
        if told and told[-1]["waiting"] == 0:
            self.first_s.setdefault("whole map", now_s)


async def ask(origin: str, text: str) -> None:
    """Give an instruction, as a person would."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{origin}/socket", origin=origin, max_msg_size=0) as socket,
    ):
        arguments = {"text": text, "id": "", "replace": False}
        await socket.send_str(json.dumps({"call": "submit", "number": 1, "arguments": arguments}))
        async for message in socket:
            if isinstance(message.data, str) and (answer := json.loads(message.data))["kind"] == "answer":
                if not answer["success"]:
                    raise RuntimeError(answer["message"])
                return


def process_s(pid: int) -> float:
    """Return the processor time that a process has taken [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the memory of a process [MiB]."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(origin: str, pid: int) -> None:
    """Open more and more pages and print what they cost."""
    pages: list[tuple[Page, asyncio.Task[None]]] = []
    for wanted in STAGES:
        while len(pages) < wanted:
            page = Page()
            pages.append((page, asyncio.create_task(page.look(origin))))
        await asyncio.sleep(SETTLE_S)
        before = process_s(pid), sum(page.bytes for page, _ in pages), time.monotonic()
        await asyncio.sleep(STAGE_S)
        took_s = time.monotonic() - before[2]
        share = 100.0 * (process_s(pid) - before[0]) / took_s
        rate = (sum(page.bytes for page, _ in pages) - before[1]) / took_s / max(1, wanted)
        print(f"{wanted} pages: {share:5.1f} % of a core, {rate / 1e3:7.1f} kB/s a page, {resident_mib(pid):.0f} MiB")
    for name, (page, _) in (("first", pages[0]), ("last", pages[-1])):
        firsts = ", ".join(f"{kind} after {seconds:.2f} s" for kind, seconds in page.first_s.items())
        size = f"{sum(page.triangles.values()) / 1e3:.0f} k triangles, {page.bytes / 1e6:.1f} MB in all"
        print(f"{name} page: {firsts}; {size}")
    for _, task in pages:
        task.cancel()
    await asyncio.gather(*(task for _, task in pages), return_exceptions=True)


def process_of(module: str) -> int:
    """Return the id of the process of ours that runs a module."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == os.getpid() and module in (entry / "cmdline").read_text():
                return int(entry.name)
        except (OSError, ValueError):
            continue
    raise RuntimeError(f"{module} does not run")


def main() -> None:
    """Start the nodes, walk, and measure."""
    for path, file in read_static_files().items():
        print(f"{path}: {len(file.body) / 1e3:.0f} kB, {len(file.compressed) / 1e3:.0f} kB compressed")
    os.environ.update(isolated_environment())
    with tempfile.TemporaryDirectory() as folder, NodeProcesses(Path(folder), {}) as processes:
        common = {"camera.sensor_reliable": True, "map_directory": folder}
        oracle = {"reasoner.backend": "oracle", "recording": RECORDING}
        processes.start(
            [
                NodeCommand("suite", NAMESPACE, REMAPPINGS, {**common, **oracle}),
                NodeCommand("web_node", NAMESPACE, {}, {"web.port": 0}),
            ]
        )
        deadline_s = time.monotonic() + START_LIMIT_S
        address = None
        while address is None or processes.log_path("suite").read_text().count("is active") < 3:
            processes.check()
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the nodes are not ready after {START_LIMIT_S:g} s")
            time.sleep(0.2)
            address = re.search(r"http://[^/\s]+", processes.log_path("web_node").read_text())
        asyncio.run(ask(address.group(), "Find the sofa."))
        walk = {"recording": RECORDING, "wait_for_subscribers": True}
        processes.start([NodeCommand("replay_node", NAMESPACE, {}, walk)])
        # A page that was open a moment ago still counts.
        time.sleep(12.0)
        asyncio.run(measure(address.group(), process_of("lira_ros.nodes.web_node")))


if __name__ == "__main__":
    main()
