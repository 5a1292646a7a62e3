"""Split the suite over two machines with a bad link in between, and see whether it still finds the same.

Usage: python benchmark/bad_link.py [--delay 0.05] [--loss 0.05] [--mbps 10] [--room 7] [--walk 40]
                                    [--cases near,shipped,link] [--quality 95] [--out out/bad_link]

Needs root: the machines are namespaces of this one (their own network, /dev/shm and host name), the link between them
is a process that delays, loses and slows packets, each way, with a queue of a tenth of a second. It is measured before
it is used. On the robot run the camera (a replay), mapping and fusion, on the other computer reasoning. Cases: "near",
all on one machine, is what the others are compared with; "shipped" uses config/fastdds.xml over the link, "link"
config/fastdds_link.xml. The reasoner is the oracle, so that differences come from the link alone.

Printed for each case: what crossed the link by topic and second, how long keyframes took from the image until they were
whole on the other side, what was lost and sent again, the longest queues, the memory of each process, and whether the
same instances were found. Everything ends by itself and leaves nothing behind, also when it is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from emulated_network.link import LinkSettings
from emulated_network.machines import EmulatedLink, Machine, missing
from soak import drawn, look_at

from lira_ros.cli.node_run import NAMESPACE, REMAPPINGS, START_LIMIT_S
from lira_ros.cli.processes import NodeCommand, NodeProcesses

REPOSITORY = Path(__file__).resolve().parents[1]
SENTENCES = {
    "chairs": "Find all chairs.",
    "table": "Find the table.",
    "read": "Find something to read.",
    "bed": "Find the bed.",
    "lamp": "Find the lamp.",
}
CASES = {"near": "fastdds.xml", "shipped": "fastdds.xml", "link": "fastdds_link.xml"}
SAMPLE_PERIOD_S = 1.0
# After the walk: until everything is answered, or nothing has moved for so long.
STALLED_S = 45.0
SETTLE_S = 240.0
# Instances of two runs are the same thing when they have the same name and their centres are this near.
SAME_PLACE_M = 0.15

ECHO = """
import socket, sys
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.bind(("10.77.0.2", 5000))
print("ready", flush=True)
count, began = 0, None
import time
here.settimeout(3.0)
try:
    while True:
        data, who = here.recvfrom(2000)
        if data[:1] == b"p":
            here.sendto(data, who)
        else:
            count += len(data) + 28
            ended = time.monotonic()
            began = began or ended
except TimeoutError:
    print(count * 8e-6 / (ended - began))
"""
PROBE = """
import socket, statistics, time
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.settimeout(1.0)
trips, lost = [], 0
for number in range(100):
    began = time.monotonic()
    here.sendto(b"p%055d" % number, ("10.77.0.2", 5000))
    try:
        here.recv(100)
        trips.append((time.monotonic() - began) * 1e3)
    except TimeoutError:
        lost += 1
    if number == 40 and not trips:
        break
end = time.monotonic() + 4.0
while time.monotonic() < end:  # twice as much as the link lets through
    for _ in range(14):
        here.sendto(bytes(1372), ("10.77.0.2", 5000))
    time.sleep(14 * 1400 * 8 / {twice})
print(statistics.median(trips), lost)
"""


def measure_link(robot: Machine, desk: Machine, rate_bps: float) -> str:
    """Return in words what pings and a flood say about the link; run before it is trusted."""
    echo = subprocess.Popen([*desk.prefix, sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
    assert echo.stdout is not None
    echo.stdout.readline()
    probe = PROBE.replace("{twice}", str(2 * rate_bps))
    trip_ms, lost = robot.run(sys.executable, "-c", probe).split()
    mbps = float(echo.communicate(timeout=30)[0])
    return (
        f"round trip {float(trip_ms):.1f} ms, {lost} of 100 pings lost, {mbps:.2f} Mbit/s get through a flood of twice"
    )


# ---- on the robot: a process of its own in the namespaces of the first machine ------------------------------------


def drive(options: dict[str, Any]) -> dict[str, Any]:
    """Start the nodes of both machines, replay the walk, wait until all is answered, and return what was found."""
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import CameraInfo

    from lira_msgs.msg import InstructionStatusArray
    from lira_msgs.msg import Keyframe as KeyframeMessage
    from lira_ros.ros import qos
    from lira_ros.ros.client import InstructionClient
    from lira_ros.ros.diagnostics import read_queues

    came_s: dict[int, float] = {}
    keyframes: dict[int, int] = {}
    statuses: dict[str, tuple[int, int]] = {}
    memory: dict[str, list[float]] = {}
    queues: dict[str, int] = {}
    dropped: dict[str, int] = {}

    def stamp_ns(message: Any) -> int:
        return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)

    def sensed(message: Any) -> None:
        came_s[stamp_ns(message)] = time.monotonic()

    def keyframe(message: Any) -> None:
        keyframes[message.id] = stamp_ns(message)

    def status(message: Any) -> None:
        for item in message.statuses:
            statuses[item.instruction_id] = (item.keyframes_answered, item.keyframes_pending)

    def diagnosed(message: Any) -> None:
        for item in message.status:
            node = item.name.rsplit("/", 1)[-1]
            for name, queue in read_queues({pair.key: pair.value for pair in item.values}).items():
                key = f"{node} {name}"
                queues[key] = max(queue["waiting"], queues.get(key, 0))
                if queue["dropped"]:
                    dropped[key] = queue["dropped"]

    alone = ("setpriv", "--pdeathsig", "KILL")  # no node outlives this process, however that ends
    here = (*alone, *options["environment"])
    values = {"camera.sensor_reliable": True, "jpeg_quality": options["quality"]}
    nodes = [
        NodeCommand("mapping_node", NAMESPACE, REMAPPINGS, values, prefix=here),
        NodeCommand("fusion_node", NAMESPACE, {}, {}, prefix=here),
        NodeCommand(
            "reasoning_node",
            NAMESPACE,
            {},
            {"reasoner.backend": "oracle", "recording": options["recording"]},
            prefix=(*options["desk"], *here),
        ),
    ]
    replay = {"recording": options["recording"], "wait_for_subscribers": True}
    with NodeProcesses(Path(options["log"]), {}) as processes, InstructionClient(NAMESPACE, START_LIMIT_S) as client:
        processes.start(nodes)
        for kind, topic, callback, profile in (
            (CameraInfo, REMAPPINGS["color/camera_info"], sensed, qos.stream(100)),
            (KeyframeMessage, "keyframes", keyframe, qos.keyframes()),
            (InstructionStatusArray, "instruction_status", status, qos.latched()),
            (DiagnosticArray, "/diagnostics", diagnosed, qos.stream(50)),
        ):
            client.node.create_subscription(kind, topic, callback, profile)
        until_s = time.monotonic() + 2 * START_LIMIT_S
        while (reason := client.not_ready()) is not None:
            processes.check()
            if time.monotonic() > until_s:
                raise RuntimeError(f"the nodes are not ready: {reason}")

        def spin(seconds: float) -> None:
            end_s = time.monotonic() + seconds
            while (left_s := end_s - time.monotonic()) > 0:
                client.executor.spin_once(timeout_sec=left_s)
            processes.check(but=("replay_node",))
            for name, process_id in processes.ids.items():
                sample = look_at(process_id, 0.0)
                if sample is not None:
                    memory.setdefault(name, []).append(sample.memory_mib)

        for name, text in SENTENCES.items():
            reply = client.submit(text, name)
            if not reply.success:
                raise RuntimeError(f"{text}: {reply.message}")
        processes.start([NodeCommand("replay_node", NAMESPACE, {}, replay, prefix=alone)])
        began_s = time.monotonic()
        while not processes.finished("replay_node"):
            spin(SAMPLE_PERIOD_S)
        walked_s = time.monotonic()
        moved_s, before, finished = walked_s, dict(statuses), False
        while time.monotonic() - walked_s < SETTLE_S and time.monotonic() - moved_s < STALLED_S:
            spin(SAMPLE_PERIOD_S)
            if statuses != before:
                moved_s, before = time.monotonic(), dict(statuses)
            settled = [pending == 0 and answered >= len(keyframes) for answered, pending in statuses.values()]
            finished = len(settled) == len(SENTENCES) and all(settled)
            if finished and time.monotonic() - moved_s > 2.0:
                break
        found = {
            name: [
                (item.label, [item.centroid.x, item.centroid.y, item.centroid.z], len(item.voxels) // 3)
                for item in client.fetch_map(name).instances
            ]
            for name in SENTENCES
        }
        writers = {
            bytes(info.endpoint_gid[:16]).hex(): topic
            for topic, _ in client.node.get_topic_names_and_types(no_demangle=True)
            for info in client.node.get_publishers_info_by_topic(topic, no_mangle=True)
        }
        result = {
            "walk_s": walked_s - began_s,
            "settled_s": moved_s - walked_s,
            "finished": finished,
            "began_s": began_s,
            "came_s": {str(key): value for key, value in came_s.items()},
            "keyframes": {str(key): value for key, value in keyframes.items()},
            "statuses": statuses,
            "found": found,
            "memory": memory,
            "queues": queues,
            "dropped": dropped,
            "writers": writers,
        }
        codes = processes.stop()
    return {**result, "exit_codes": codes}


# ---- outside --------------------------------------------------------------------------------------------------------


def run_case(case: str, options: argparse.Namespace, recording: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the drive says and what the link has seen, nothing of a link for "near"."""
    folder = options.out / case
    folder.mkdir(parents=True, exist_ok=True)
    profile = options.profile if case == "link" and options.profile else REPOSITORY / "config" / CASES[case]
    settings = {"delay_s": options.delay, "loss": options.loss, "rate_bps": options.mbps * 1e6}
    with ExitStack() as stack:
        robot = stack.enter_context(Machine("robot"))
        link, desk = None, robot
        if case != "near":
            desk = stack.enter_context(Machine("desk"))
            there, back = LinkSettings(seed=1, **settings), LinkSettings(seed=2, **settings)
            with EmulatedLink(robot, desk, there, back):
                print(f"{case}: {measure_link(robot, desk, settings['rate_bps'])}", flush=True)
        if case != "near":
            link = stack.enter_context(EmulatedLink(robot, desk, there, back))
        variables = [f"FASTRTPS_DEFAULT_PROFILES_FILE={profile}", *(options.variable if case == "link" else [])]
        given = {
            "recording": str(recording.resolve()),
            "quality": options.quality,
            "log": str((folder / "log").resolve()),
            "environment": ["env", *variables],
            "desk": list(desk.prefix) if desk is not robot else [],
        }
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": "0",
            "ROS_LOG_DIR": str(folder / "log"),
            "FASTRTPS_DEFAULT_PROFILES_FILE": str(REPOSITORY / "config" / "fastdds.xml"),
        }
        environment.pop("ROS_AUTOMATIC_DISCOVERY_RANGE", None)
        done = subprocess.run(
            [*robot.prefix, sys.executable, __file__, "--drive", json.dumps(given)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=900,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{case}: the run failed with code {done.returncode}; logs are in {folder / 'log'}")
    return json.loads(done.stdout.splitlines()[-1]), link.report if link is not None else []


def same_things(found: dict[str, Any], peer: dict[str, Any]) -> tuple[int, int, int]:
    """Return how many instances of the peer were found too, how many there were, and how many are only found here."""
    common = total = extra = 0
    for name, expected in peer.items():
        left = list(found[name])
        total += len(expected)
        for label, centre, _ in expected:
            near = [
                item
                for item in left
                if item[0] == label and np.linalg.norm(np.subtract(item[1], centre)) <= SAME_PLACE_M
            ]
            if near:
                common += 1
                left.remove(near[0])
        extra += len(left)
    return common, total, extra


def keyframe_latencies(result: dict[str, Any], samples: dict[str, Any]) -> tuple[list[float], int]:
    """Return the seconds from an image to its whole keyframe on the other side, and how many never came whole."""
    delays, missing_count = [], 0
    for keyframe_id, stamp_ns in result["keyframes"].items():
        sample = samples.get(keyframe_id)
        came_s = result["came_s"].get(str(stamp_ns))
        if sample is None or sample["arrived_s"] is None:
            missing_count += 1
        elif came_s is not None:
            delays.append(sample["arrived_s"] - came_s)
    return delays, missing_count


def under_way(samples: dict[str, Any]) -> str:
    """Return in words how many keyframes were on their way at once, in each quarter of the run: what waits in DDS."""
    began_s = min(item["sent_s"] for item in samples.values())
    ended_s = max(item["arrived_s"] or item["sent_s"] for item in samples.values())
    times = np.linspace(began_s, ended_s, 400)
    spans = [(item["sent_s"], item["arrived_s"] or float("inf")) for item in samples.values()]
    counts = [sum(sent_s <= now_s < arrived_s for sent_s, arrived_s in spans) for now_s in times]
    most = ", ".join(str(max(part)) for part in np.array_split(counts, 4))
    return f"keyframes under way at once, at most in each quarter: {most}; at the end {counts[-1]}"


def tell(case: str, result: dict[str, Any], report: list[dict[str, Any]], peer: dict[str, Any]) -> None:
    """Print the figures of a case."""
    seconds = result["walk_s"] + result["settled_s"]
    count = len(result["keyframes"])
    end = "all answered" if result["finished"] else "NOT all answered, the last answer"
    print(f"\n== {case}: {count} keyframes in {result['walk_s']:.0f} s; {end} {result['settled_s']:.1f} s later")
    common, total, extra = same_things(result["found"], peer["found"])
    answered = {name: status[0] for name, status in result["statuses"].items()}
    print(f"instances: {common} of the {total} of the peer, {extra} others; keyframes answered: {answered}")
    names = {True: "robot -> desk", False: "desk -> robot"}
    for number, direction in enumerate(report):
        counters = direction["counters"]
        first = int(result["began_s"])
        sums: dict[str, int] = {}
        busiest = 0
        for second, counts in direction["bytes"].items():
            if int(second) < first:
                continue
            busiest = max(busiest, sum(counts.values()))
            for writer, size in counts.items():
                topic = result["writers"].get(writer, writer if len(writer) < 32 else "ended writers")
                sums[topic] = sums.get(topic, 0) + size
        resent = sum(s["resent"] for samples in direction["samples"].values() for s in samples.values())
        parts = sum(s["fragments"] for samples in direction["samples"].values() for s in samples.values())
        print(
            f"{names[number == 0]}: {sum(sums.values()) / seconds / 1e3:.1f} kB/s, busiest second "
            f"{busiest * 8e-6:.1f} Mbit/s; {counters['lost']} of {counters['offered']} packets lost, "
            f"{counters['overflowed']} dropped by the full queue (longest {counters['longest_queue_bytes'] / 1e3:.0f} "
            f"kB); {resent} of {parts} parts sent again"
        )
        for topic, size in sorted(sums.items(), key=lambda item: -item[1])[:8]:
            print(f"    {size / seconds / 1e3:8.2f} kB/s  {topic}")
        if number == 0:
            samples = next(
                (
                    direction["samples"][writer]
                    for writer, topic in result["writers"].items()
                    if topic.endswith("/keyframes") and writer in direction["samples"]
                ),
                {},
            )
            delays, lost = keyframe_latencies(result, samples)
            if delays:
                median, high = np.percentile(delays, (50, 95))
                size = np.mean([item["size_bytes"] for item in samples.values()]) / 1e3
                print(f"    {under_way(samples)}")
                print(
                    f"    image to whole keyframe: p50 {median:.2f} s, p95 {high:.2f} s; {lost} of {count} never came "
                    f"whole; {size:.0f} kB on the link for each"
                )
    middle = {name: (values[len(values) // 2], values[-1]) for name, values in result["memory"].items()}
    print("memory [MiB], halfway and at the end: " + ", ".join(f"{k} {a:.0f} {b:.0f}" for k, (a, b) in middle.items()))
    longest = ", ".join(f"{key} {value}" for key, value in result["queues"].items() if value > 1)
    print(f"longest queues: {longest or 'none'}; dropped: {result['dropped'] or 'nothing'}", flush=True)


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.05, help="[s] each way")
    parser.add_argument("--loss", type=float, default=0.05, help="probability that a packet is lost")
    parser.add_argument("--mbps", type=float, default=10.0, help="[Mbit/s] each way")
    parser.add_argument("--room", type=int, default=7, help="which generated home")
    parser.add_argument("--walk", type=float, default=40.0, help="seconds of the walk")
    parser.add_argument("--cases", default=",".join(CASES), help="which of the cases, near first")
    parser.add_argument("--quality", type=int, default=95, help="jpeg_quality of the keyframes")
    parser.add_argument("--profile", type=Path, default=None, help="another profile for the case link")
    parser.add_argument("--variable", action="append", default=[], help="NAME=VALUE for the nodes of the case link")
    parser.add_argument("--out", type=Path, default=Path("out/bad_link"), help="folder of the walk, logs and figures")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run the cases one after another and print what they differ in."""
    options = arguments()
    if options.drive:
        print(json.dumps(drive(json.loads(options.drive))))
        return 0
    reason = missing()
    if reason is not None:
        print(f"not run: {reason}")
        return 0
    recording = drawn(options.room, 640, options.walk, options.out)
    peer = None
    for case in options.cases.split(","):
        result, report = run_case(case, options, recording)
        (options.out / f"{case}.json").write_text(json.dumps([result, report]), encoding="utf-8")
        peer = peer or result
        tell(case, result, report, peer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
