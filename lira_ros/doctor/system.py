"""Judge what surrounds the inputs: nodes and their diagnostics, clock, DDS, model files, GPU and disk."""

from __future__ import annotations

import os
import platform
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lira_ros.doctor.finding import Finding, bad, good, note
from lira_ros.doctor.installation import judge_torch_gpu
from lira_ros.doctor.observation import NodeObservation, Observation, StatusReport
from lira_ros.mapping.devices import cuda_state
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.cards import find_card
from lira_ros.reasoning.models.files import Presence, presence

# Nodes report once a second (REP-107); three missed reports are no coincidence.
SILENT_S = 3.0
REQUIRED_NODES = ("mapping_node", "reasoning_node", "fusion_node")
# The receive buffer that config/fastdds.xml asks for; the kernel silently grants net.core.rmem_max at most.
WANTED_BUFFER_BYTES = 4_194_304
# Each process takes a segment of 16 MiB; a suite, a camera and RViz take about six.
WANTED_SHARED_BYTES = 128_000_000
# Domains above this have ports among the ephemeral ones of Linux (ROS 2 documentation, "The ROS_DOMAIN_ID").
LARGEST_SAFE_DOMAIN, LARGEST_DOMAIN = 101, 232
# A saved house has 100 to 300 MB, and an atomic save needs room for the old and the new file.
WANTED_DISK_BYTES = 1_000_000_000

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
# What of the environment matters for DDS, and holds no secrets.
DDS_VARIABLES = (
    "RMW_IMPLEMENTATION",
    "ROS_DISTRO",
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_LOCALHOST_ONLY",
    "ROS_STATIC_PEERS",
    "ROS_DISCOVERY_SERVER",
    *PROFILE_VARIABLES,
    "FASTDDS_BUILTIN_TRANSPORTS",
    "CYCLONEDDS_URI",
    "ZENOH_SESSION_CONFIG_URI",
)
# Parameters of the reasoning node that name the card of each back end's model.
MODEL_PARAMETERS = {
    "lisa": ("reasoner.lisa.model",),
    "vlm": ("reasoner.vlm.model",),
    "detector": ("reasoner.detector.model",),
}
# Back ends that run no model on this machine.
MODELLESS_BACKENDS = ("compact", "oracle", "replay", "remote")
HYBRID_PARTS = ("reasoner.hybrid.fast", "reasoner.hybrid.slow")


def judge_nodes(observation: Observation) -> list[Finding]:
    """Return the findings on the nodes of lira: which run, in which state, and what their diagnostics say."""
    own = {node.name.rpartition("/")[2]: node for node in observation.own_nodes()}
    namespace = observation.setup.namespace.rstrip("/")
    reports = {report.name: report for report in observation.reports}
    findings = []
    missing = [name for name in REQUIRED_NODES if name not in own]
    if missing:
        said = f"{', '.join(missing)} of {namespace} {'is' if len(missing) == 1 else 'are'} not running"
        mend = f"ros2 launch lira_ros lira.launch.py namespace:={namespace.strip('/') or 'lira'}"
        findings.append(bad("nodes", said, mend) if own else note("nodes", said, mend))
    for node in observation.nodes:
        if node.count > 1:
            said = f"{node.count} nodes are called {node.name}: services and parameters reach one of them by chance"
            mend = "stop all but one (ps aux | grep lira_ros), or give one another namespace: namespace:=robot2"
            findings.append(bad("nodes", said, mend))
    for name, node in sorted(own.items()):
        # Helpers without diagnostics of ours (RViz, bridges) may share the namespace.
        if node.name in reports or name in REQUIRED_NODES:
            findings.append(_node(name, node, reports.get(node.name), observation))
    return findings


def _node(name: str, node: NodeObservation, report: StatusReport | None, observation: Observation) -> Finding:
    if report is None:
        said = f"no diagnostics in {observation.seconds:.0f} s: it hangs, or is just starting"
        if observation.seconds < SILENT_S:
            return good(name, "is running; too short a look for its diagnostics")
        return bad(name, said, f"look at its log (ros2 launch prints it), and restart it: {node.name}")
    state = report.values.get("state", "")
    if report.level >= 2:
        return bad(
            name, report.message, f"mend what the sentence names, then: ros2 lifecycle set {node.name} configure"
        )
    if state in ("unconfigured", "inactive"):
        step = "configure" if state == "unconfigured" else "activate"
        return bad(name, f"is {state}", f"ros2 lifecycle set {node.name} {step}, or start it with autostart: true")
    if report.level == 1:
        mend = f"see the other findings; ros2 topic echo /diagnostics has all of {node.name}"
        return note(name, _shortened(report.message), mend)
    return good(name, f"{report.message} ({report.hardware})")


def _shortened(message: str) -> str:
    """Return what a node waits for without types and QoS: the findings on these topics have them."""
    waiting = message.removeprefix("waiting for ")
    if waiting == message:
        return message
    return "waits for " + ", ".join(part.partition(" (")[0] for part in waiting.split("; "))


def judge_clock(observation: Observation) -> list[Finding]:
    """Return the findings on /clock and on who goes by it."""
    simulated = [node.name for node in observation.nodes if node.use_sim_time]
    real = [node.name for node in observation.nodes if node.use_sim_time is False]
    own = [node.name for node in observation.own_nodes()]
    ticking = observation.clock_ticks > 0
    if len(observation.clock_publishers) > 1:
        said = f"{len(observation.clock_publishers)} nodes publish /clock: {', '.join(observation.clock_publishers)}"
        return [bad("clock", said, "stop all but one: time jumps between them")]
    if simulated and not observation.clock_publishers:
        said = f"{_some(simulated)} take the time from /clock, and nobody publishes it"
        return [bad("clock", said, "ros2 bag play --clock, or start them with use_sim_time:=false")]
    if simulated and not ticking:
        said = f"/clock of {observation.clock_publishers[0]} stands still, and {_some(simulated)} wait for it"
        return [bad("clock", said, "resume the bag or the simulation (space bar, or its service resume)")]
    if not observation.clock_publishers:
        return [good("clock", "system time")]
    findings = []
    wrong = [name for name in own if name in real]
    if wrong:
        said = f"{observation.clock_publishers[0]} publishes /clock, but {_some(wrong)} go by system time"
        findings.append(bad("clock", said, "start lira with use_sim_time:=true"))
    others = [name for name in real if name not in own and name not in observation.clock_publishers]
    if simulated and others:
        said = f"{_some(simulated)} go by /clock, {_some(others)} by system time: their stamps do not fit together"
        mend = "give the others use_sim_time:=true as well, if they stamp or look up anything"
        findings.append(note("clock", said, mend))
    return findings or [good("clock", f"/clock of {observation.clock_publishers[0]}, used by {_some(simulated)}")]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def judge_mismatches(observation: Observation) -> list[Finding]:
    """Return the findings on publishers and subscriptions that do not match; those of the inputs are judged there."""
    inputs = {topic.name for topic in observation.topics}
    return [
        note(
            "qos",
            f"{item.subscriber} asks for {item.asked} on {item.topic}, {item.publisher} offers {item.offered}: "
            f"{item.reason}",
            f"change the reliability or durability of {item.subscriber} (in RViz: Topic, Reliability Policy)",
        )
        for item in observation.mismatches
        if item.topic not in inputs
    ]


# ---- DDS ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DdsFacts:
    """What DDS finds on this machine. Sizes in bytes, None where they cannot be read (no Linux, no /dev/shm)."""

    environment: Mapping[str, str]
    rmw: str
    receive_buffer_max: int | None
    shared_free: int | None
    loopback_up: bool | None
    profile: str

    @classmethod
    def read(cls, environment: Mapping[str, str], rmw: str, shipped_profile: str) -> DdsFacts:
        """Read the facts of this machine. shipped_profile: what lira's own processes use where nothing is set."""
        try:
            receive_max = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
        except (OSError, ValueError):
            receive_max = None
        try:
            flags = int(Path("/sys/class/net/lo/flags").read_text(encoding="ascii"), 16)
        except (OSError, ValueError):
            flags = None
        shared = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else None
        kept = {name: environment[name] for name in DDS_VARIABLES if environment.get(name)}
        given = next((kept[name] for name in PROFILE_VARIABLES if name in kept), "")
        # IFF_UP (linux/if.h)
        return cls(kept, rmw, receive_max, shared, None if flags is None else bool(flags & 1), given or shipped_profile)


def judge_dds(facts: DdsFacts) -> list[Finding]:
    """Return the findings on the middleware, its profile, its reach and its buffers."""
    return [*_transport(facts), *_reach(facts), *_buffers(facts)]


def _transport(facts: DdsFacts) -> list[Finding]:
    findings = [good("dds middleware", facts.rmw)]
    if "fastrtps" in facts.rmw or "fastdds" in facts.rmw:
        own = any(name in facts.environment for name in PROFILE_VARIABLES)
        try:
            ElementTree.parse(facts.profile)
        except (OSError, ElementTree.ParseError) as error:
            mend = f"unset {' '.join(PROFILE_VARIABLES)}, or name an XML file that exists"
            return [*findings, bad("dds profile", f"{facts.profile} cannot be read: {error}", mend)]
        if own:
            findings.append(good("dds profile", facts.profile))
        else:
            said = "lira uses its own profile, but a camera driver started from here uses the small default buffers"
            mend = f"export {PROFILE_VARIABLES[0]}={facts.profile} before the driver is started"
            findings.append(note("dds profile", said, mend))
    elif "cyclone" in facts.rmw and "CYCLONEDDS_URI" not in facts.environment:
        said = "Cyclone DDS with its default buffers loses images"
        mend = "point CYCLONEDDS_URI to a file with <SocketReceiveBufferSize min='4MB'/> (Cyclone DDS documentation)"
        findings.append(note("dds profile", said, mend))
    return findings


def _reach(facts: DdsFacts) -> list[Finding]:
    environment, findings = facts.environment, []
    given = environment.get("ROS_DOMAIN_ID", "0")
    domain = int(given) if given.isdecimal() else -1
    if not 0 <= domain <= LARGEST_DOMAIN:
        said = f"ROS_DOMAIN_ID is {given!r}: a number from 0 to {LARGEST_DOMAIN} is expected"
        findings.append(bad("dds domain", said, "export ROS_DOMAIN_ID=0, the same on all machines"))
    elif domain > LARGEST_SAFE_DOMAIN:
        said = f"ROS_DOMAIN_ID {domain} has ports that Linux gives to other programs"
        findings.append(note("dds domain", said, f"take one up to {LARGEST_SAFE_DOMAIN}, the same on all machines"))
    else:
        findings.append(good("dds domain", str(domain)))
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET").upper()
    if reach == "OFF":
        said = "ROS_AUTOMATIC_DISCOVERY_RANGE is OFF: not even processes of this machine find each other"
        mend = "export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST (or SUBNET for several machines)"
        findings.append(bad("dds discovery", said, mend))
    elif reach == "LOCALHOST" or environment.get("ROS_LOCALHOST_ONLY") == "1":
        findings.append(good("dds discovery", "this machine only; SUBNET reaches the others of the network"))
    else:
        server = environment.get("ROS_DISCOVERY_SERVER")
        findings.append(good("dds discovery", f"discovery server {server}" if server else f"range {reach}"))
    if facts.loopback_up is False:
        said = "the loopback interface is down: processes of this machine do not find each other"
        findings.append(bad("dds discovery", said, "sudo ip link set lo up"))
    return findings


def _buffers(facts: DdsFacts) -> list[Finding]:
    findings = []
    if facts.receive_buffer_max is not None:
        size = f"net.core.rmem_max is {facts.receive_buffer_max / 2**20:.1f} MiB"
        if facts.receive_buffer_max < WANTED_BUFFER_BYTES:
            said = f"{size}: images from other machines, and without shared memory, lose pieces"
            mend = f"sudo sysctl -w net.core.rmem_max={WANTED_BUFFER_BYTES} net.core.wmem_max={WANTED_BUFFER_BYTES}"
            findings.append(note("dds buffers", said, mend))
        else:
            findings.append(good("dds buffers", size))
    if facts.shared_free is None:
        said = "/dev/shm is missing: images go over the network stack"
        findings.append(note("shared memory", said, "mount a tmpfs at /dev/shm (docker: --shm-size=256m)"))
    elif facts.shared_free < WANTED_SHARED_BYTES:
        said = f"{facts.shared_free / 1e6:.0f} MB free in /dev/shm, each process takes 16 MB"
        mend = "fastdds shm clean (removes what killed processes left), or docker: --shm-size=256m"
        findings.append(note("shared memory", said, mend))
    else:
        findings.append(good("shared memory", f"{facts.shared_free / 1e6:.0f} MB free in /dev/shm (16 MB a process)"))
    return findings


# ---- what the configured nodes need of this machine ---------------------------------------------------------------


def judge_machine(observation: Observation) -> list[Finding]:
    """Return the findings on model files, GPU and disk for the nodes that run on this machine."""
    findings = []
    reports = {report.name: report for report in observation.reports}
    for node in observation.own_nodes():
        host = reports[node.name].hardware.partition(" on ")[2] if node.name in reports else ""
        name = node.name.rpartition("/")[2]
        if host and host != platform.node():
            findings.append(good(f"{name} machine", f"runs on {host}: lira doctor there looks at its GPU and files"))
            continue
        findings += _models(name, node.parameters) + _gpu(name, node.parameters)
        findings += _model_gpu(name, node.parameters) + _disk(name, node.parameters)
    return findings


def needed_cards(parameters: Mapping[str, Any]) -> list[str]:
    """Return the model cards that the configured back end of a reasoning node cannot do without."""
    backend = str(parameters.get("reasoner.backend", ""))
    parts = [str(parameters.get(name, "")) for name in HYBRID_PARTS] if backend == "hybrid" else [backend]
    names = [name for part in parts for name in MODEL_PARAMETERS.get(part, ())]
    cards = [str(parameters[name]) for name in names if parameters.get(name)]
    if parameters.get("reasoner.masks.method") == "model" and set(parts) - {"compact", "oracle", "replay", "lisa"}:
        cards.append(str(parameters.get("reasoner.masks.model", "")))
    return [card for card in dict.fromkeys(cards) if card]


def _models(name: str, parameters: Mapping[str, Any]) -> list[Finding]:
    cards = needed_cards(parameters) if name == "reasoning_node" else []
    if name == "tracking_node" and parameters.get("model"):
        cards = [str(parameters["model"])]
    findings = []
    for card in cards:
        try:
            state = presence(find_card(card))
        except ReasoningError as error:
            findings.append(bad(f"{name} model", str(error), "lira models list names those that there are"))
            continue
        if state == Presence.HERE:
            findings.append(good(f"{name} model", f"{card} is here"))
        else:
            what = "are not here" if state == Presence.MISSING else "are incomplete"
            findings.append(bad(f"{name} model", f"the files of {card} {what}", f"lira models fetch {card}"))
    return findings


def _gpu(name: str, parameters: Mapping[str, Any]) -> list[Finding]:
    device = parameters.get("mapping.device")
    if device in (None, "cpu"):
        return []
    state = cuda_state()
    if state.problem is None:
        return [good(f"{name} gpu", f"{state.name}, mapping.device {device}")]
    said = f"mapping.device {device}: {state.problem}"
    mend = "set mapping.device: cpu, or install what is missing (nvidia-smi shows whether the driver runs)"
    return [bad(f"{name} gpu", said, mend) if device == "cuda" else note(f"{name} gpu", said, mend)]


def _model_gpu(name: str, parameters: Mapping[str, Any]) -> list[Finding]:
    # The tracking node has the section itself, the reasoning node within that of the reasoner.
    device = parameters.get("reasoner.compute.device", parameters.get("compute.device"))
    models = parameters.get("reasoner.backend", "tracking") not in MODELLESS_BACKENDS
    if device != "cuda" or not models:
        return []
    finding = judge_torch_gpu()
    if finding.well:
        return [good(f"{name} model gpu", finding.message)]
    mend = f"set the parameter compute.device of {name} to auto, or: {finding.mend}"
    return [bad(f"{name} model gpu", f"compute.device cuda: {finding.message}", mend)]


def _disk(name: str, parameters: Mapping[str, Any]) -> list[Finding]:
    given = parameters.get("map_directory")
    if not given:
        return []
    folder = Path(str(given)).expanduser()
    there = next(item for item in (folder, *folder.parents) if item.exists())
    if not os.access(there, os.W_OK):
        mend = f"sudo chown $USER {there}, or set map_directory to a folder that can be written"
        return [bad(f"{name} disk", f"map_directory {folder} cannot be written", mend)]
    free = shutil.disk_usage(there).free
    said = f"{free / 1e9:.1f} GB free in {folder}"
    if free < WANTED_DISK_BYTES:
        return [note(f"{name} disk", said, f"make at least 1 GB free, or set map_directory elsewhere: du -sh {folder}")]
    return [good(f"{name} disk", said)]
