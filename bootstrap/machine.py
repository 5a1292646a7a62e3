"""What the machine itself must bring: a compiler, Python's headers and venv module, a few system libraries."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bootstrap.progress import SetupError

# The system libraries that open3d-cpu loads, and the Debian and Ubuntu packages that bring them.
OPEN3D_LIBRARIES = {
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libGL.so.1": "libgl1",
    "libgomp.so.1": "libgomp1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
}

# Browsers that the test of the web page can drive.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing_build_packages(
    version: tuple[int, int],
    find_program: Callable[[str], str | None],
    include_folder: Path,
    has_module: Callable[[str], bool],
    environment: Mapping[str, str],
) -> dict[str, str]:
    """Return what is missing to build the environment: a name for a person, and the Debian package that brings it.

    The arguments are this machine's properties, so that the decision can be tested: Python's version, a look-up of
    programs, the folder in which Python's headers would be, a look-up of modules, and the environment variables.
    """
    python = f"python{version[0]}.{version[1]}"
    compilers = [environment.get("CC") or "gcc", environment.get("CXX") or "g++"]
    missing: dict[str, str] = {}
    if not all(find_program(compiler.split()[0]) for compiler in compilers):
        missing["a C and C++ compiler"] = "build-essential"
    if not (include_folder / "Python.h").is_file():
        missing[f"the headers of Python {version[0]}.{version[1]}"] = f"{python}-dev"
    if not (has_module("venv") and has_module("ensurepip")):
        missing["Python's venv module"] = f"{python}-venv"
    return missing


def ensure_build_packages() -> str:
    """Make sure that the environment can be built on this machine.

    Missing packages are installed where that is permitted. Raises SetupError with the command otherwise.
    """
    missing = _missing_here()
    if missing and _install(missing.values()):
        importlib.invalidate_caches()
        missing = _missing_here()
    if missing:
        raise SetupError(
            f"This machine lacks {_enumerate(missing)}. Install with:  sudo apt install {' '.join(missing.values())}"
        )
    return ""


def _missing_here() -> dict[str, str]:
    return missing_build_packages(
        sys.version_info[:2],
        shutil.which,
        Path(sysconfig.get_path("include")),
        lambda name: importlib.util.find_spec(name) is not None,
        os.environ,
    )


def _enumerate(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def missing_libraries(libraries: Mapping[str, str], loads: Callable[[str], bool]) -> list[str]:
    """Return the Debian packages of those libraries that do not load."""
    return [package for library, package in libraries.items() if not loads(library)]


def offer_open3d_libraries() -> str:
    """Install the system libraries of Open3D where that is permitted, name them otherwise; never fails.

    Open3D serves tests and benchmarks only, so that nothing that a robot needs depends on them.
    """
    missing = missing_libraries(OPEN3D_LIBRARIES, _loads)
    if missing and _install(missing):
        missing = missing_libraries(OPEN3D_LIBRARIES, _loads)
    if missing:
        return f"for tests and benchmarks with Open3D also run:  sudo apt install {' '.join(missing)}"
    return ""


def offer_browser() -> str:
    """Install a browser for the test of the web page where that is permitted, name it otherwise; never fails."""
    if not any(shutil.which(name) for name in BROWSERS) and not _install(["chromium"]):
        return "for the test of the web page in a browser also run:  sudo apt install chromium"
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def ensure_packages(packages: Mapping[str, str]) -> None:
    """Install Debian packages (name for a person -> package) where permitted; raises SetupError otherwise."""
    if packages and not _install(packages.values()):
        names = " ".join(packages.values())
        raise SetupError(f"This machine lacks {_enumerate(packages)}. Install with:  sudo apt install {names}")


def _install(packages: Iterable[str]) -> bool:
    """Install Debian packages as root or with a sudo that asks for no password; tells whether that worked."""
    packages = list(packages)
    if shutil.which("apt-get") is None:
        return False
    prefix: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None or _quiet(["sudo", "-n", "true"]) != 0:
            return False
        prefix = ["sudo", "-n"]
    print(f"      installing with apt: {' '.join(packages)}", flush=True)
    # One form for root and sudo: sudo would drop a variable of ours.
    install = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", *packages]
    if _quiet(install) == 0:
        return True
    return _quiet([*prefix, "apt-get", "update", "-q"]) == 0 and _quiet(install) == 0


def _quiet(command: list[str]) -> int:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode


def has_nvidia_gpu() -> bool:
    """Tell whether an NVIDIA driver with at least one device is there (without starting a program)."""
    return Path("/dev/nvidia0").exists() or Path("/dev/nvhost-gpu").exists() or Path("/dev/dxg").exists()
