"""Where the reference numbers of the released module are."""

import sys
from pathlib import Path

import numpy as np
import pytest

# The room of boxes of the tests beside this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(scope="session")
def golden(repository):
    """Return a function that loads a file of reference numbers; the test is skipped where they are absent."""
    folder = repository.parent / "shared" / "golden" / "tiff"
    if not folder.is_dir():
        pytest.skip("../shared/golden/tiff with the reference numbers is not on this machine")
    return lambda name: np.load(folder / name) if name.endswith(".npz") else folder / name


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)
