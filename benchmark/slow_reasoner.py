"""Show that a camera at 30 Hz is mapped at its rate while a model needs seconds for each keyframe, and what is dropped.

Usage: python benchmark/slow_reasoner.py [--think 5] [--rate 30] [--width 320] [--seconds 20] [--out out/slow_reasoner]

The nodes run as processes over a walk through a generated home, twice: without an instruction, which is what the other
run is compared with, and with three instructions that a server answers after ``--think`` seconds each (the remote back
end, one question at a time). Printed for both: images that came, were mapped and were dropped, the time from an image
to the mapped frame, and how many keyframes were published, answered, and wait.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from soak import Figures, Watch, drawn

from lira_ros.cli.node_run import NAMESPACE, REMAPPINGS, START_LIMIT_S, isolated_environment
from lira_ros.cli.processes import NodeCommand, NodeProcesses

SENTENCES = ("Find the sofa.", "Where can I take a nap?", "Find all chairs.")
VOXEL_M = 0.04  # a camera at 30 Hz on two cores; the default of 0.02 is for 15 Hz there


def serve(think_s: float) -> ThreadingHTTPServer:
    """Start a server that sees nothing, after having thought about it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": "slow"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(think_s)
            said = {"content": json.dumps({"objects": [], "reason": ""})}
            self._send({"choices": [{"message": said, "finish_reason": "stop"}]})

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

        def _send(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run(options: argparse.Namespace, recording: Path, url: str, sentences: tuple[str, ...]) -> None:
    """Play the walk once and print what became of it."""
    from lira_msgs.msg import InstructionStatusArray
    from lira_msgs.msg import Keyframe as KeyframeMessage
    from lira_ros.ros import qos
    from lira_ros.ros.client import InstructionClient

    figures, keyframes, answered = Figures(), set(), {}
    remote = {"reasoner.backend": "remote", "reasoner.remote.url": url, "reasoner.remote.parallel_calls": 1}
    nodes = [
        NodeCommand("mapping_node", NAMESPACE, REMAPPINGS, {"mapping.voxel_size_m": VOXEL_M}),
        NodeCommand("reasoning_node", NAMESPACE, {}, {**remote, "reasoner.masks.method": "depth"}),
        NodeCommand("fusion_node", NAMESPACE, {}, {"fusion.voxel_size_m": VOXEL_M}),
    ]
    replay = {"recording": str(recording), "wait_for_subscribers": True}
    with NodeProcesses(options.out / "log", {}) as processes, InstructionClient(NAMESPACE, START_LIMIT_S) as client:
        processes.start(nodes)
        watch = Watch(client, figures)
        client.node.create_subscription(
            KeyframeMessage, "keyframes", lambda message: keyframes.add(message.id), qos.keyframes()
        )
        client.node.create_subscription(
            InstructionStatusArray,
            "reasoning_status",
            lambda message: answered.update({item.instruction_id: item for item in message.statuses}),
            qos.latched(),
        )
        until_s = time.monotonic() + 2 * START_LIMIT_S
        while (reason := client.not_ready()) is not None:
            processes.check()
            if time.monotonic() > until_s:
                raise RuntimeError(f"the nodes are not ready: {reason}")
        for text in sentences:
            client.submit(text)
        processes.start([NodeCommand("replay_node", NAMESPACE, {}, replay)])
        while not processes.finished("replay_node"):
            processes.check(but=("replay_node",))
            watch.spin(0.2)
        watch.spin(2.0)
    ended_s = max((at_s for at_s, _ in figures.latencies.get("image to mapped frame", [])), default=float("nan"))
    delays = [value for _, value in figures.latencies.get("image to mapped frame", [(0.0, float("nan"))])]
    median, high = np.percentile(delays, (50, 95)) * 1e3
    dropped = figures.dropped.get("mapping_node frames", 0)
    print(
        f"{len(sentences)} instructions: {figures.frames} images at {figures.frames / ended_s:.1f} Hz, {len(delays)} "
        f"mapped ({len(delays) / ended_s:.1f} Hz), {dropped} dropped by the queue; image to mapped frame "
        f"p50 {median:.0f} ms, p95 {high:.0f} ms"
    )
    done, waiting = (
        sum(getattr(item, name) for item in answered.values()) for name in ("keyframes_answered", "keyframes_pending")
    )
    print(f"    {len(keyframes)} keyframes; {done} questions answered, {waiting} wait", flush=True)


def main() -> int:
    """Run without and with instructions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--think", type=float, default=5.0, help="[s] that the model needs for a keyframe")
    parser.add_argument("--rate", type=float, default=30.0, help="[Hz] of the camera")
    parser.add_argument("--width", type=int, default=320, help="width of the pictures")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a run")
    parser.add_argument("--out", type=Path, default=Path("out/slow_reasoner"), help="folder of the walk and the logs")
    options = parser.parse_args()
    os.environ.update(isolated_environment())
    os.environ.setdefault("ROS_LOG_DIR", str(options.out / "log"))
    recording = drawn(5, options.width, options.seconds, options.out, options.rate)
    server = serve(options.think)
    for sentences in ((), SENTENCES):
        run(options, recording, f"http://127.0.0.1:{server.server_address[1]}/v1", sentences)
    server.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
