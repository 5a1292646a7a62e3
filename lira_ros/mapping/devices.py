"""Which device the map is made on: the processor, or a CUDA GPU where one can be used.

Nothing here imports numba's CUDA target before it is asked for.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass

from lira_ros.configuration import ConfigurationError

DEVICE_CHOICES = ("cpu", "cuda", "auto")

INSTALL_HINT = 'pip install "numba-cuda[cu12]" (or [cu13], as the driver supports)'


class DeviceError(ConfigurationError):
    """The wanted device cannot be used; the message says what is missing and what mends it."""


@dataclass(frozen=True)
class CudaState:
    """What was found of a CUDA GPU.

    problem: what is missing, a sentence with its remedy; None when kernels can run. name: of the device.
    """

    name: str
    problem: str | None


def choose_device(wanted: str) -> str:
    """Return "cpu" or "cuda" for a choice of DEVICE_CHOICES; "auto" is the GPU where one can be used.

    Raises DeviceError when "cuda" is asked for and cannot be used, ValueError for an unknown choice.
    """
    if wanted not in DEVICE_CHOICES:
        raise ValueError(f"device {wanted!r} is not one of {', '.join(DEVICE_CHOICES)}")
    if wanted == "cpu":
        return "cpu"
    state = cuda_state()
    if state.problem is None:
        return "cuda"
    if wanted == "cuda":
        raise DeviceError(f"device cuda cannot be used: {state.problem}")
    return "cpu"


@functools.lru_cache(maxsize=1)
def cuda_state() -> CudaState:
    """Look once for a CUDA device, its driver and its compiler, by running a kernel."""
    if importlib.util.find_spec("numba_cuda") is None:
        return CudaState("", f"numba-cuda is not installed: {INSTALL_HINT}")
    try:
        from numba import cuda
        from numba.cuda.cudadrv.error import CudaSupportError
    except ImportError as error:
        return CudaState("", f"numba-cuda cannot be imported ({_first_line(error)}): {INSTALL_HINT}")
    if simulated():
        return CudaState("the CUDA simulator", None)
    try:
        count = len(cuda.gpus)
    except CudaSupportError as error:
        return CudaState("", f"no NVIDIA driver could be started ({_first_line(error)}); install the driver of the GPU")
    if count == 0:
        return CudaState("", "the NVIDIA driver finds no GPU; see nvidia-smi and CUDA_VISIBLE_DEVICES")
    try:
        name = cuda.get_current_device().name
        name = name.decode() if isinstance(name, bytes) else str(name)
        _run_kernel()
    except Exception as error:
        # Whatever breaks here (compiler libraries of another version, a GPU too old, no memory) ends the same way.
        return CudaState("", f"a GPU is there, but a kernel failed ({_first_line(error)}): {INSTALL_HINT}")
    return CudaState(name, None)


def is_device_failure(error: BaseException) -> bool:
    """Tell whether an exception came from the device or its driver, and not from a mistake in a program."""
    # numba-cuda raises its own errors and those of cuda.core, whose module has moved between versions.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"CudaDriverError", "CudaAPIError", "CudaSupportError", "CudaRuntimeError", "CUDAError"})


def simulated() -> bool:
    """Tell whether numba simulates CUDA on the processor (environment variable NUMBA_ENABLE_CUDASIM=1)."""
    from numba.cuda.core import config

    return bool(config.ENABLE_CUDASIM)


def _run_kernel() -> None:
    # A compiled kernel that ran and whose result came back: driver, compiler and memory all work.
    import numpy as np
    from numba import cuda

    @cuda.jit
    def add_one(values):  # type: ignore[no-untyped-def]
        values[cuda.grid(1)] += 1

    values = cuda.to_device(np.zeros(1, dtype=np.int32))
    add_one[1, 1](values)
    if int(values.copy_to_host()[0]) != 1:
        raise RuntimeError("a kernel gave a wrong result")


def _first_line(error: BaseException) -> str:
    lines = [line.strip(" :.") for line in str(error).splitlines() if line.strip(" :.")]
    # The driver's message starts with "Error at driver init" and says what happened in the next line.
    return next((line for line in lines if not line.startswith("Error at")), type(error).__name__)
