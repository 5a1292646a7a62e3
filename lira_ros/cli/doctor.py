"""lira doctor: say in plain words what is installed, which back ends can run and whether DDS delivers."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import NoReturn

from lira_ros.mapping.devices import cuda_state
from lira_ros.reasoning.backends import BACKENDS
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.language.encoder import EncoderError, find_encoder
from lira_ros.reasoning.models.cards import load_cards
from lira_ros.reasoning.models.files import FOLDER_VARIABLE, Presence, models_folder, presence
from lira_ros.reasoning.plain_text import plain_text

# What each capability needs; the names are those of the package index.
REQUIRED = (
    "numpy",
    "scipy",
    "numba",
    "opencv-python-headless",
    "matplotlib",
    "PyYAML",
    "rosbags",
    "safetensors",
    "trimesh",
)
OPTIONAL = {
    "torch": "needed by the learned back ends only",
    "transformers": "needed by lisa, vlm, detector and by SAM only; it runs from Python 3.11 on",
    "sentencepiece": "needed by lisa only",
    "llguidance": "needed by vlm only",
    "httpx": "needed by remote and by lira models fetch only",
    "bitsandbytes": "needed for weights of 4 and 8 bits only: pip install --no-deps -r requirements/quantization.in",
    "open3d-cpu": "needed by lira export to .npz, by tests and benchmarks only",
    "numba-cuda": "needed to map on an NVIDIA GPU only",
}

# What a back end needs to run: packages, and models of these kinds of cards; hybrid as it is made by default.
NEEDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lisa": (("torch", "transformers", "sentencepiece"), ("lisa",)),
    "vlm": (("torch", "transformers", "llguidance"), ("vision_language",)),
    "detector": (("torch", "transformers"), ("detector",)),
    "hybrid": (("torch", "transformers", "llguidance"), ("detector", "vision_language")),
    "remote": (("httpx",), ()),
}
# Long enough for a server at the other end of the world, short enough to wait for.
SERVER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, whether it is well, and what mends it."""

    subject: str
    well: bool
    message: str
    required: bool = True


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser("doctor", help=summary)
    parser.add_argument("--skip-dds", action="store_true", help="do not send test messages between two processes")
    parser.add_argument("--server", default="", metavar="URL", help="see whether this server answers (remote.url)")
    parser.add_argument(
        "--key-variable", default="", metavar="NAME", help="environment variable with the key of the server"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print all findings; return 0 when everything required is well, 1 otherwise."""
    findings = [*_platform(), *_packages(), *_ros(), _torch_gpu(), *_models(), *_backends()]
    if options.server:
        findings.append(_server(options.server, options.key_variable))
    if not options.skip_dds:
        findings.append(_delivery())
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        sign = "ok  " if finding.well else ("FAIL" if finding.required else "note")
        print(f"{sign}  {finding.subject:<{width}}  {finding.message}")
    failed = [finding for finding in findings if finding.required and not finding.well]
    names = ", ".join(finding.subject for finding in failed)
    print(f"\nTo be mended: {names}." if failed else "\nEverything that is needed is here.")
    return 1 if failed else 0


def _platform() -> list[Finding]:
    cores = len(os.sched_getaffinity(0))
    disk_gb = shutil.disk_usage(".").free / 1e9
    shm = shutil.disk_usage("/dev/shm") if os.path.isdir("/dev/shm") else None
    version_fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    return [
        Finding("python", version_fits, f"{platform.python_version()} (3.10 to 3.12 are tested)", required=False),
        Finding("processor", True, f"{cores} cores, {platform.machine()}"),
        Finding(
            "disk", disk_gb > 1, f"{disk_gb:.3g} GB free here" + ("" if disk_gb > 1 else ": make at least 1 GB free")
        ),
        Finding(
            "shared memory",
            shm is not None and shm.free > 128e6,
            "/dev/shm is missing: images go over the network stack"
            if shm is None
            else f"{shm.free / 1e6:.0f} MB free in /dev/shm (16 MB a process are used)",
            required=False,
        ),
        _gpu(),
    ]


def _gpu() -> Finding:
    state = cuda_state()
    if state.problem is None:
        return Finding("gpu", True, f"{state.name}: mapping.device cuda and auto use it", required=False)
    return Finding("gpu", False, f"not needed, and none to map on: {state.problem}", required=False)


def _installed_version(package: str) -> str | None:
    # On an installed ROS 2 the same modules come from the system under other package names.
    modules = {"opencv-python-headless": "cv2", "PyYAML": "yaml", "open3d-cpu": "open3d", "numba-cuda": "numba_cuda"}
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        found = importlib.util.find_spec(modules.get(package, package)) is not None
        return "installed" if found else None


def _packages() -> list[Finding]:
    findings = []
    for package in REQUIRED:
        version = _installed_version(package)
        mend = f"missing: pip install {package}"
        findings.append(Finding(package, version is not None, version or mend))
    for package, purpose in OPTIONAL.items():
        version = _installed_version(package)
        findings.append(Finding(package, version is not None, version or f"not installed; {purpose}", required=False))
    return findings


def _ros() -> list[Finding]:
    needed = ("rclpy", "lira_msgs", "message_filters", "tf2_ros", "cv_bridge", "sensor_msgs_py", "vision_msgs")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    distribution = os.environ.get("ROS_DISTRO", "from wheels (Jazzy)")
    message = f"missing: {', '.join(missing)}; run make setup" if missing else f"ROS 2 {distribution}"
    return [Finding("ros 2", not missing, message)]


def _backends() -> list[Finding]:
    try:
        encoder = find_encoder()
        findings = [Finding("sentence encoder", True, str(encoder))]
    except EncoderError as error:
        findings = [Finding("sentence encoder", False, f"{error} (the language falls back to its word lists)", False)]
    here = {card.kind for card in load_cards().values() if presence(card) == Presence.HERE}
    for name, backend in BACKENDS.items():
        packages, kinds = NEEDS.get(name, ((), ()))
        lacks = [package for package in packages if _installed_version(package) is None]
        lacks += [f"a model of the kind {kind}" for kind in kinds if kind not in here]
        message = f"{backend.description}; misses {', '.join(lacks)}" if lacks else backend.description
        findings.append(Finding(f"reasoner {name}", not lacks, message, required=False))
    return findings


def _torch_gpu() -> Finding:
    if _installed_version("torch") is None:
        return Finding("torch gpu", False, "torch is not installed", required=False)
    import torch

    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the processor"
        return Finding("torch gpu", False, f"PyTorch {torch.__version__} sees none ({built})", required=False)
    names = [
        f"{torch.cuda.get_device_name(number)}, {torch.cuda.get_device_properties(number).total_memory / 2**30:.0f} GiB"
        for number in range(torch.cuda.device_count())
    ]
    return Finding("torch gpu", True, "; ".join(names), required=False)


def _models() -> list[Finding]:
    states = {name: presence(card) for name, card in load_cards().items()}
    here = [name for name, state in states.items() if state == Presence.HERE]
    broken = [name for name, state in states.items() if state == Presence.BROKEN]
    where = f"{models_folder()} ({FOLDER_VARIABLE})"
    message = f"{len(here)} of {len(states)} are in {where}" + (f": {', '.join(here)}" if here else "")
    findings = [Finding("models", bool(here), message if here else f"{message}; lira models list", required=False)]
    if broken:
        said = f"incomplete or of wrong size: {', '.join(broken)}; lira models verify tells what"
        findings.append(Finding("models broken", False, said, required=False))
    return findings


def _server(url: str, key_variable: str) -> Finding:
    if importlib.util.find_spec("httpx") is None:
        return Finding("server", False, "cannot be asked without httpx")
    from lira_ros.reasoning.remote.client import ChatClient
    from lira_ros.reasoning.remote.configuration import ServerConfiguration

    names: list[str] = []

    def stop(model: str) -> NoReturn:
        names.append(model)
        raise ReasoningError("nothing is asked, for the name of its model is all that is wanted")

    try:
        configuration = ServerConfiguration(url=url, api_key_variable=key_variable, timeout_s=SERVER_TIMEOUT_S)
        client = ChatClient(configuration, "reasoner.remote.")
        try:
            client.ask(stop)
        finally:
            client.close()
    except ReasoningError as error:
        if not names:
            return Finding("server", False, plain_text(str(error), 400))
    return Finding("server", True, f"{client.address} answers with the model {plain_text(names[0], 100)}")


def _delivery() -> Finding:
    if importlib.util.find_spec("rclpy") is None:
        return Finding("dds", False, "cannot be tried without rclpy; run make setup")
    from lira_ros.ros.delivery import try_delivery

    result = try_delivery()
    return Finding("dds", result.well, result.message)
