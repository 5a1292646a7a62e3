"""Write any Sequence as a HoloLens folder, with the stamps and the up axis that the format itself lacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lira_ros.datasets.image_files import to_millimetres, write_png
from lira_ros.datasets.sequence import Sequence, SequenceError


def write_hololens_folder(sequence: Sequence, folder: Path | str) -> int:
    """Write all frames of ``sequence`` below ``folder`` and return their number; depth is rounded to millimetres.

    Writes images/, depth/, poses.txt, frames.txt, K.txt, stamps.txt, up.txt and, where the sequence has truth,
    instances_weak/ and objects_weak.json. Raises SequenceError when the folder already holds a recording.
    """
    target = Path(folder)
    if (target / "poses.txt").exists():
        raise SequenceError(f"{target}: already holds a recording (poses.txt); give an empty folder")
    for name in ("images", "depth"):
        (target / name).mkdir(parents=True, exist_ok=True)
    np.savetxt(target / "K.txt", sequence.camera.matrix)
    (target / "up.txt").write_text(sequence.up_axis + "\n")
    names: list[str] = []
    stamps: list[int] = []
    poses: list[np.ndarray] = []
    has_truth = bool(sequence.objects())
    if has_truth:
        (target / "instances_weak").mkdir(exist_ok=True)
    for index, frame in enumerate(sequence):
        name = f"{index:05d}"
        write_png(target / "images" / f"{name}.png", frame.color)
        write_png(target / "depth" / f"{name}.png", to_millimetres(frame.depth_m))
        if has_truth and (instances := sequence.instance_image(index)) is not None:
            wide = int(instances.max(initial=0)) > np.iinfo(np.uint8).max
            write_png(target / "instances_weak" / f"{name}.png", instances if wide else instances.astype(np.uint8))
        names.append(name)
        stamps.append(frame.stamp_ns)
        poses.append(frame.T_map_camera.reshape(16))
    if has_truth:
        objects = [{"id": item.id, "label": item.label, **item.attributes} for item in sequence.objects()]
        (target / "objects_weak.json").write_text(json.dumps({"objects": objects}, indent=1) + "\n")
    (target / "frames.txt").write_text("".join(f"{name}\n" for name in names))
    (target / "stamps.txt").write_text("".join(f"{stamp}\n" for stamp in stamps))
    # poses.txt last: its presence says that the folder is complete.
    np.savetxt(target / "poses.txt", np.array(poses).reshape(-1, 16), fmt="%.17g")
    return len(names)
