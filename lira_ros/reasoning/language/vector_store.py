"""Vectors of texts that never change, kept on disk: the names and uses of the known classes take seconds to encode."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.language.encoder import SentenceEncoder


def cache_folder() -> Path:
    """Return the folder of files that can be made again (XDG Base Directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lira_ros"


def encode_and_keep(encoder: SentenceEncoder, texts: Sequence[str], folder: Path | None = None) -> NDArray[np.float32]:
    """Return (N, dimension) vectors of N texts, from the file of an earlier call where there is one.

    The file is named after the weights and the texts, so that another model or another table of classes has a file of
    its own. A damaged file is made again; a folder that cannot be written costs only the time of the next call.
    """
    key = hashlib.sha256("\n".join([encoder.weights_sha256, *texts]).encode()).hexdigest()[:24]
    path = (folder or cache_folder()) / f"text_vectors_{key}.npy"
    try:
        kept: NDArray[np.float32] = np.load(path, allow_pickle=False)
        if kept.shape == (len(texts), encoder.dimension) and kept.dtype == np.float32:
            return kept
    except (OSError, ValueError, EOFError):
        pass
    vectors = encoder.encode(texts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Several nodes may start at once: each writes a file of its own, the last one stays.
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
            np.save(file, vectors)
        os.replace(file.name, path)
    except OSError:
        pass
    return vectors
