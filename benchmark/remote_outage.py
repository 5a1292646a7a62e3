"""Show that mapping keeps its rate while the server of the `remote` back end fails, and how soon candidates come back.

Usage: python benchmark/remote_outage.py [--rounds 3] [--outage 10] [--width 320] [--rate 30]

A generated room is mapped at the rate of a camera, in one process with the scheduler and the back end, as the nodes do
it; the server is a process of its own on this machine. It fails in one of these ways and is well again: it takes
questions and never answers, answers with HTTP 500, cuts every connection, answers with 10 MB, answers with what is no
JSON, does not listen. Masks are made by depth, waits and limits are the default ones.

Printed for each way: how many frames were mapped while the server failed against how many came; the median time for a
frame against that of mapping alone, measured just before; and how long after it was well again the first candidates
came. Beside it the same while the server answers, when masks are made on the same processor. At the end: what the
process holds before the back end is made, after the first round, after the last, and when the back end is closed.
Times are wall times; other load on the machine is in both of a ratio.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import queue
import resource
import socket
import socketserver
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from lira_ros.configuration import build
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.reasoning.asking import Outcome, Questioner
from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration

FAILURES = ("hanging", "500", "reset", "10 MB", "no JSON", "away")
# A model of 8 billion parameters at a server with a large GPU; the sofa is somewhere in this box in most pictures.
LATENCY_S = 0.7
OBJECT = {"label": "sofa", "color": "gray", "bbox_2d": [200, 300, 800, 900], "role": "target", "confidence": 0.9}
REFERENCE_S = 4.0
LONGEST_RECOVERY_S = 30.0
KEYFRAME_STEP_NS = 40_000_000
SENTENCES = ("Find the sofa.", "Where can I take a nap?", "Find the cup on the table.")


class Handler(socketserver.BaseRequestHandler):
    """Answers, or fails in the way of the moment."""

    request: socket.socket
    server: Server

    def handle(self) -> None:
        """Talk until the other side has enough."""
        with suppress(OSError, ValueError), self.request.makefile("rb") as stream:
            while line := stream.readline():
                length = 0
                while (header := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                stream.read(length)
                self._answer(is_question=line.startswith(b"POST"))

    def _answer(self, is_question: bool) -> None:
        way = self.server.way.value.decode()
        if way == "hanging":
            self.request.recv(1)
        elif way == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionAbortedError
        elif way == "500":
            self._send(500, b'{"error": {"message": "out of memory"}}')
        elif way == "10 MB":
            self._send(200, 10_000_000 * b" ")
        elif way == "no JSON":
            self._send(200, b"<html>Log in</html>")
        elif is_question:
            time.sleep(LATENCY_S)
            said = json.dumps({"objects": [OBJECT], "reason": ""})
            message = {"role": "assistant", "content": said}
            self._send(200, json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())
        else:
            self._send(200, json.dumps({"data": [{"id": "tiny"}]}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.request.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


class Server(socketserver.ThreadingTCPServer):
    """Behaves in the way of the moment, which another process sets."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, way: Any) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.way = way


def serve(port: int, way: Any) -> None:
    """Serve until the process is ended; while it is away nothing listens."""
    while True:
        if way.value != b"away":
            with Server(port, way) as server:
                threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
                while way.value != b"away":
                    time.sleep(0.02)
                server.shutdown()
        time.sleep(0.02)


@dataclass(frozen=True)
class Run:
    """How many frames of those that came were mapped, the median time for one, and how long it took."""

    mapped: float
    frame_s: float
    took_s: float


@dataclass
class Robot:
    """Maps frames, in circles through the same room, and asks about its keyframes."""

    questioner: Questioner
    outcomes: queue.SimpleQueue[Outcome]
    frames: Iterator[Frame]
    configuration: MappingConfiguration
    circle: int
    rate_hz: float
    mapper: Mapper = field(init=False)
    scheduler: ReasoningScheduler = field(init=False)
    stamp_ns: int = 0

    def begin_map(self) -> None:
        """Begin a map and go around the room once, so that all that is compared adds to a map that is there."""
        self.mapper = Mapper(self.configuration)
        self.begin(asking=False)
        for _ in range(self.circle):
            self.step()

    def begin(self, *, asking: bool) -> None:
        """Forget the keyframes, and ask about those to come or not."""
        self.scheduler = ReasoningScheduler(SchedulerConfiguration(max_keyframes=100))
        for number, text in enumerate(SENTENCES if asking else ()):
            self.scheduler.add_instruction(Instruction(str(number), text, parse(text)))

    def step(self) -> int:
        """Map a frame and ask as the reasoning node does; return how many candidates came."""
        self.stamp_ns += KEYFRAME_STEP_NS
        update = self.mapper.add_frame(replace(next(self.frames), stamp_ns=self.stamp_ns))
        if update.keyframe is not None:
            self.scheduler.add_keyframe(update.keyframe)
        candidates = 0
        with suppress(queue.Empty):
            while True:
                outcome = self.outcomes.get_nowait()
                for task, answer in zip(outcome.tasks, outcome.answers, strict=True):
                    if isinstance(answer, Exception):
                        self.scheduler.report_failed(task, answer)
                    elif self.scheduler.report_answered(task):
                        candidates += len(answer.candidates)
        while self.questioner.free and (tasks := self.scheduler.next_tasks(1, self.questioner.lane)):
            self.questioner.ask(tasks)
        return candidates

    def run(self, seconds: float, *, until_candidates: bool = False) -> Run:
        """Go on for a time, or until candidates come; a frame that comes while another is mapped waits."""
        began_s = time.monotonic()
        times_s: list[float] = []
        while (now_s := time.monotonic()) - began_s < seconds:
            due_s = began_s + len(times_s) / self.rate_hz
            if now_s < due_s:
                time.sleep(due_s - now_s)
            frame_s = time.monotonic()
            candidates = self.step()
            times_s.append(time.monotonic() - frame_s)
            if until_candidates and candidates:
                break
        took_s = time.monotonic() - began_s
        came = math.floor(took_s * self.rate_hz) + 1  # the first one at once
        return Run(min(1.0, len(times_s) / came), statistics.median(times_s), took_s)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often the server fails in each way")
    parser.add_argument("--outage", type=float, default=10.0, help="for how long [s]")
    parser.add_argument("--width", type=int, default=320, help="width of the pictures [px]")
    parser.add_argument("--rate", type=float, default=30.0, help="pictures per second")
    return parser.parse_args()


def held() -> dict[str, float]:
    """Return what the process holds."""
    links = [os.readlink(item) for item in Path("/proc/self/fd").iterdir() if item.is_symlink()]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "threads": threading.active_count(),
        "sockets": sum(link.startswith("socket:") for link in links),
        "files": len(links),
        "memory [MiB]": pages * resource.getpagesize() / 2**20,
    }


@contextmanager
def running_server() -> Iterator[tuple[Any, str]]:
    """Run the server; yields what sets its way of behaving, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    way: Any = context.Array("c", 16)
    way.value = b"well"
    process = context.Process(target=serve, args=(port, way), daemon=True)
    process.start()
    try:
        yield way, f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Measure and print."""
    settings = arguments()
    room = RoomSequence(seed=0, rate_hz=5.0, width_px=settings.width, duration_s=12.0)
    frames = list(room)
    print(
        f"{len(frames)} frames of {settings.width} px, {settings.rounds} outages of {settings.outage:g} s in each way"
    )
    with running_server() as (way, url):
        values = {"backend": "remote", "remote.url": url, "masks.method": "depth", "embedding.method": "appearance"}
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        without = held()
        reasoner = create_reasoner(build(ReasonerConfiguration, values), Relevance(None), None)
        questioner = Questioner(reasoner, outcomes.put)
        mapping = build(MappingConfiguration, {"voxel_size_m": 0.04, "up": "+z"})
        there_and_back = frames + frames[::-1]
        robot = Robot(questioner, outcomes, cycle(there_and_back), mapping, len(there_and_back), settings.rate)
        robot.begin_map()
        robot.begin(asking=True)
        robot.run(LONGEST_RECOVERY_S, until_candidates=True)  # compiles, and waits for the server
        during: dict[str, list[tuple[Run, Run]]] = {name: [] for name in (*FAILURES, "well")}
        recoveries: dict[str, list[float]] = {name: [] for name in FAILURES}
        first = held()
        for number in range(settings.rounds):
            for name in FAILURES:
                robot.begin_map()
                alone = robot.run(REFERENCE_S)
                way.value = name.encode()
                robot.begin(asking=True)
                during[name].append((robot.run(settings.outage), alone))
                way.value = b"well"
                recoveries[name].append(robot.run(LONGEST_RECOVERY_S, until_candidates=True).took_s)
                during["well"].append((robot.run(REFERENCE_S), alone))
            if number == 0:
                first = held()
        last = held()
        for key, value in reasoner.diagnose().items():
            print(f"  {key}: {value}")
        questioner.close()
        closed = held()
    print("server    frames mapped of those that came   time for a frame / alone   candidates after [s]: median, most")
    for name, runs in during.items():
        mapped = min(failing.mapped for failing, _ in runs)
        ratio = statistics.median(failing.frame_s / alone.frame_s for failing, alone in runs)
        times = recoveries.get(name, [])
        after_s = f"{statistics.median(times):23.1f} {max(times):6.1f}" if times else ""
        print(f"{name:9} {100 * mapped:27.1f} % or more {ratio:20.2f} {after_s}")
    print("held           without the back end   first round   last round   closed")
    for what in without:
        print(f"{what:14} {without[what]:20.0f} {first[what]:13.0f} {last[what]:12.0f} {closed[what]:8.0f}")


if __name__ == "__main__":
    main()
