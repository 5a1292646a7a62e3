"""ReasonRecon and ReasonRecon-Extension, the benchmark of LIRA: ScanNet scans with instructions and their answers.

Source: LIRA (Zhou et al., ICCV 2025) and its data set card; sections 6.1, 6.6 and 7 of the specification of the
method. Below one root: scans/SCENE with the frames, ScanNetV2_ply/ with the meshes, all_tsdf_9_1/SCENE with volumes,
grounding_scene_qa_infos* with instructions, grounding_scene_instance_infos with the objects that they ask for,
grounding_scene_instance_infos_mapping with the ids of these in the volumes, reason_seg/ with annotated pictures.
Pickles are read without running what is in them (see ``restricted_unpickler``).
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lira_ros.datasets import scannet
from lira_ros.datasets.image_files import image_size, inside, read_json
from lira_ros.datasets.ply import read_labelled_mesh
from lira_ros.datasets.reference import ReferenceInstruction
from lira_ros.datasets.restricted_unpickler import read_npz, read_pickle
from lira_ros.datasets.scannet import NOMINAL_RATE_HZ, ScannetSequence
from lira_ros.datasets.scannet_truth import MAXIMUM_OBJECT_ID, MESH_SUFFIX, drawn_ids
from lira_ros.datasets.sequence import GroundTruthObject, LabelledMesh, SequenceError

# Folders as the archives unpack and as the code of the method names them.
QUESTION_FOLDERS = {
    "base": ("grounding_scene_qa_infos_base_new", "grounding_scene_qa_infos_base", "grounding_scene_qa_infos"),
    "extension": ("grounding_scene_qa_infos_extension", "grounding_scene_qa_infos_hard"),
}
PICTURE_FOLDERS = {
    "base": ("Scannet_2D_Seg_base_new", "Scannet_2D_Seg_base"),
    "extension": ("Scannet_2D_Seg_extension", "Scannet_2D_Seg_hard"),
}
VOLUME_FOLDERS = ("all_tsdf_9_1", "all_tsdf_9")
INSTANCES_FOLDER = "grounding_scene_instance_infos"
MAPPING_FOLDER = "grounding_scene_instance_infos_mapping"
MESH_FOLDER = "ScanNetV2_ply"
# The 25 scenes of the base set that are not for training (specification, 6.6); each has 100 instructions.
VALIDATION_SCENES = tuple(
    f"scene{name}"
    for name in [
        "0006_01",
        "0014_00",
        "0032_00",
        "0035_00",
        "0042_01",
        "0051_03",
        "0062_00",
        "0065_02",
        "0072_00",
        "0073_02",
        "0080_00",
        "0085_00",
        "0092_02",
        "0096_02",
        "0101_04",
        "0107_00",
        "0112_01",
        "0119_00",
        "0135_00",
        "0143_01",
        "0157_01",
        "0172_01",
        "0195_01",
        "0209_00",
        "0214_02",
    ]
)
SPLITS = ("val", "train", "extension", "extension-val", "extension-train")
# Taken out by hand in the code of the method: scene, fragment, instruction.
EXCLUDED = ("scene0000_00", 36, 50)
VOXEL_M = 0.04
# A scene of 1000 square metres of surface has 4 million voxels within the truncation distance.
MAXIMUM_SURFACE_VOXELS = 4_000_000
# The reply of an annotated picture names at most some tens of objects.
MAXIMUM_MASKS = 256
MAXIMUM_MASK_PIXELS = 2**28
# OpenCV draws polygons with corners of 16 bits beyond which nothing of a picture can lie.
LARGEST_CORNER_PX = 2**15 - 1


@dataclass(frozen=True)
class Question:
    """An instruction of the benchmark. number: the one in the name of its file.

    target_ids: ids of the objects that conform, none for a question that nothing conforms to. candidate_ids: ids of
    the objects that help to find them, the targets among them.
    """

    number: int
    text: str
    target_ids: tuple[int, ...]
    candidate_ids: tuple[int, ...]


@dataclass(frozen=True)
class VolumeFragment:
    """Nine keyframes that LIRA takes together, and where its volume of 96^3 voxels begins.

    frame_numbers: those in the names of the frames' files. origin_m: (3,) float64 in the frame of the scan.
    """

    id: int
    frame_numbers: tuple[int, ...]
    origin_m: NDArray[np.float64]
    voxel_size_m: float


def matches(path: Path) -> bool:
    """Tell whether a path is the folder scans/SCENE of the benchmark."""
    return scannet.matches(path) and _root_of(path) is not None


def _root_of(path: Path) -> Path | None:
    scans = path.absolute().parent
    known = [name for names in QUESTION_FOLDERS.values() for name in names]
    return scans.parent if scans.name == "scans" and any((scans.parent / name).is_dir() for name in known) else None


def _first_folder(root: Path, names: tuple[str, ...], what: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise SequenceError(f"{root / names[0]}: {what} are missing")


class ReasonReconScene(ScannetSequence):
    """The folder scans/SCENE of the benchmark as a Sequence, with the truth that its instructions refer to.

    Frames are those of ``ScannetSequence``. questions: "base" for ReasonRecon, "extension" for
    ReasonRecon-Extension. Ids of objects are those of full_instance_layer_interpolate0. Truth that is not there is
    told in ``notices``. Raises SequenceError that names the file when one is broken.
    """

    def __init__(self, path: Path | str, rate_hz: float = NOMINAL_RATE_HZ, questions: str = "base") -> None:
        if questions not in QUESTION_FOLDERS:
            raise SequenceError(f"questions: expected one of {', '.join(QUESTION_FOLDERS)}, got {questions!r}")
        root = _root_of(Path(path))
        if root is None:
            raise SequenceError(f"{path}: expected ROOT/scans/SCENE with ROOT/{QUESTION_FOLDERS['base'][0]}")
        super().__init__(path, rate_hz)
        self._root = root
        self._kind = questions
        # The frame of ScanNet; LIRA relies on it, too.
        self.up_axis = "+z"
        self._objects_by_entry: dict[int, GroundTruthObject] | None = None
        self._questions: tuple[Question, ...] | None = None
        self._labelled: LabelledMesh | None = None
        self._is_labelled = False

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices = (*self.notices, text)

    def _file(self, *parts: str) -> Path:
        return inside(self._root.joinpath(*parts), self._root)

    def _volume_file(self, name: str) -> Path | None:
        for folder in VOLUME_FOLDERS:
            if (path := self._file(folder, self.name, name)).exists():
                return path
        self._notice(f"{self._root / VOLUME_FOLDERS[0] / self.name / name} is missing: no truth from the volume")
        return None

    def _origin_m(self) -> NDArray[np.float64] | None:
        path = self._volume_file("tsdf_info.pkl")
        if path is None:
            return None
        info = read_pickle(path, "the place of the volume")
        origin_m, voxel_m = _place(path, info)
        if abs(voxel_m - VOXEL_M) > 1e-6:
            raise SequenceError(f"{path}: expected voxels of {VOXEL_M} m, got {voxel_m}")
        return origin_m

    def _entries(self) -> dict[int, GroundTruthObject]:
        """Return the objects by their place in the list of the scene, to which questions refer."""
        if self._objects_by_entry is not None:
            return self._objects_by_entry
        self._objects_by_entry = {}
        path, names = self._file(INSTANCES_FOLDER, f"{self.name}_instance.pkl"), self._mapping()
        if not path.exists():
            self._notice(f"{path} is missing: no annotated objects")
        origin_m = self._origin_m()
        if not path.exists() or names is None or origin_m is None:
            return self._objects_by_entry
        infos = read_pickle(path, "the objects of a scene")
        if not isinstance(infos, list):
            raise SequenceError(f"{path}: expected a list of objects, got {type(infos).__name__}")
        for index, info in enumerate(infos):
            label, color, voxels = _object_info(path, index, info)
            if index not in names:
                self._notice(f"{path}: object {index} has no id in the volume and is left out")
                continue
            points = (voxels * VOXEL_M + origin_m).astype(np.float32)
            self._objects_by_entry[index] = GroundTruthObject(names[index], label, points, {"color": color})
        return self._objects_by_entry

    def _mapping(self) -> dict[int, int] | None:
        path = self._file(MAPPING_FOLDER, f"{self.name}.pkl")
        if not path.exists():
            self._notice(f"{path} is missing: no annotated objects")
            return None
        content = read_pickle(path, "the ids of the objects")
        try:
            names = {int(index): int(identity) for index, identity in content.items()}
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise SequenceError(f'{path}: expected {{"index": id}} ({error!r})') from None
        if not all(0 < identity <= MAXIMUM_OBJECT_ID for identity in names.values()):
            raise SequenceError(
                f"{path}: expected ids of 1 to {MAXIMUM_OBJECT_ID}, got {sorted(set(names.values()))[:3]}"
            )
        return names

    def objects(self) -> tuple[GroundTruthObject, ...]:
        """Return the objects of the scene with the centres of their voxels, empty without annotation.

        label: one of the 15 classes. attributes: color, in lower case. Two entries of the list that are one object in
        the volume are one here, under the label of the first.
        """
        by_id: dict[int, GroundTruthObject] = {}
        for item in self._entries().values():
            by_id.setdefault(item.id, item)
        return tuple(by_id.values())

    def questions(self) -> tuple[Question, ...]:
        """Return the instructions of the scene in the order of their numbers.

        Those whose objects are not annotated are left out, with a notice that counts them.
        """
        if self._questions is not None:
            return self._questions
        folder = _first_folder(self._root, QUESTION_FOLDERS[self._kind], "the instructions")
        pattern = re.compile(rf"{re.escape(self.name)}_(\d{{1,6}})_qa\.pkl")
        numbers = sorted(int(match.group(1)) for name in os.listdir(folder) if (match := pattern.fullmatch(name)))
        if not numbers:
            self._notice(f"{folder} has no instructions for {self.name}")
        elif gaps := numbers[-1] + 1 - len(numbers):
            self._notice(f"{folder}: {gaps} of {numbers[-1] + 1} instructions for {self.name} are missing")
        entries = self._entries()
        found, unknown = [], 0
        for number in numbers:
            path = self._file(folder.name, f"{self.name}_{number}_qa.pkl")
            text, targets, candidates = _question_info(path, read_pickle(path, "an instruction"))
            if not set(targets) <= set(entries):
                unknown += 1
                continue
            ids = [dict.fromkeys(entries[i].id for i in part if i in entries) for part in (targets, candidates)]
            found.append(Question(number, text, tuple(ids[0]), tuple(ids[1])))
        if unknown:
            self._notice(f"{folder}: {unknown} instructions for {self.name} ask for objects that are not annotated")
        self._questions = tuple(found)
        return self._questions

    def instructions(self) -> tuple[ReferenceInstruction, ...]:
        """Return the instructions with the ids of the objects that conform."""
        return tuple(ReferenceInstruction(item.text, item.target_ids) for item in self.questions())

    def mesh(self) -> LabelledMesh | None:
        """Return the cleaned mesh of the scan; its vertices have the id of their nearest voxel of the surface.

        Surface is where the volume is within the truncation distance (|tsdf| < 1). Ids that are not those of
        ``objects()`` become 0. None when a file of it is missing.
        """
        if not self._is_labelled:
            self._is_labelled = True
            self._labelled = self._labelled_mesh()
        return self._labelled

    def _labelled_mesh(self) -> LabelledMesh | None:
        name = f"{self.name}{MESH_SUFFIX}"
        places = (self._file(MESH_FOLDER, name), self._file("scans", self.name, name))
        path = next((place for place in places if place.exists()), None)
        if path is None:
            self._notice(f"{places[0]} is missing: no mesh")
            return None
        voxels = self._surface_voxels()
        if voxels is None:
            return None
        mesh, (points, ids) = read_labelled_mesh(path), voxels
        if not len(points):
            return replace(mesh, instance_ids=np.zeros(len(mesh.vertices), np.int32))
        _, nearest = cKDTree(points).query(mesh.vertices)
        known = np.array([item.id for item in self.objects()], dtype=np.int64)
        labels = ids[nearest]
        return replace(mesh, instance_ids=np.where(np.isin(labels, known), labels, 0).astype(np.int32))

    def _surface_voxels(self) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Return where the voxels of the surface are, (N, 3) [m], and their ids, (N,)."""
        tsdf_path = self._volume_file("full_tsdf_layer0.npz")
        id_path = self._volume_file("full_instance_layer_interpolate0.npz")
        origin_m = self._origin_m()
        if tsdf_path is None or id_path is None or origin_m is None:
            return None
        tsdf = read_npz(tsdf_path, "the volume of distances")
        if tsdf.ndim != 3:
            raise SequenceError(f"{tsdf_path}: expected a volume, got the shape {tsdf.shape}")
        surface = (tsdf > -1.0) & (tsdf < 1.0)
        del tsdf
        if (count := int(surface.sum())) > MAXIMUM_SURFACE_VOXELS:
            raise SequenceError(f"{tsdf_path}: expected at most {MAXIMUM_SURFACE_VOXELS} surface voxels, got {count}")
        layer = read_npz(id_path, "the volume of ids")
        if layer.shape != surface.shape or layer.dtype.kind not in "iu":
            raise SequenceError(
                f"{id_path}: expected whole numbers in the shape {surface.shape} of {tsdf_path.name}, "
                f"got {layer.dtype} in {layer.shape}"
            )
        index = np.argwhere(surface)
        return (index * VOXEL_M + origin_m).astype(np.float32), layer[surface].astype(np.int64)

    def instance_image(self, index: int) -> NDArray[np.uint16] | None:
        """Draw the ids of the mesh as a frame sees them, (H, W) uint16; None without the mesh.

        The projected annotation of ScanNet is not used: its ids are others.
        """
        mesh = self.mesh()
        return None if mesh is None or not self.objects() else drawn_ids(mesh, self.frame(index))

    def fragments(self, question: int | None = None) -> tuple[VolumeFragment, ...]:
        """Return LIRA's fragments of the scene, empty with a notice where their list is missing.

        question: number of an instruction; the fragment that LIRA takes out for it is left out.
        """
        own = self._volume_file("fragments.pkl")
        paths = [own] if own is not None else []
        if own is None:
            lists = (self._file(folder, f"fragments_{s}.pkl") for folder in VOLUME_FOLDERS for s in ("train", "val"))
            paths = [path for path in lists if path.exists()]
        found: dict[int, VolumeFragment] = {}
        for path in paths:
            content = read_pickle(path, "the fragments")
            if not isinstance(content, list):
                raise SequenceError(f"{path}: expected a list of fragments, got {type(content).__name__}")
            for entry in content:
                scene, fragment = _fragment_info(path, entry)
                if scene == self.name and (scene, fragment.id, question) != EXCLUDED:
                    found[fragment.id] = fragment
        return tuple(found[identity] for identity in sorted(found))


def _place(path: Path, info: Any) -> tuple[NDArray[np.float64], float]:
    try:
        origin_m = np.asarray(info["vol_origin"], dtype=np.float64).reshape(-1)
        voxel_m = float(info["voxel_size"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SequenceError(f"{path}: expected vol_origin and voxel_size ({error!r})") from None
    if origin_m.shape != (3,) or not np.isfinite(origin_m).all():
        raise SequenceError(f"{path}: expected vol_origin as three finite numbers")
    return origin_m, voxel_m


def _object_info(path: Path, index: int, info: Any) -> tuple[str, str, NDArray[np.int64]]:
    try:
        label, color = info["semantic label"], info.get("color", "")
        voxels = np.asarray(info["occ"])
        if not isinstance(label, str) or not isinstance(color, str):
            raise TypeError("semantic label and color are texts")
        if voxels.size == 0:
            voxels = np.zeros((0, 3), np.int64)
        if voxels.ndim != 2 or voxels.shape[1] != 3 or voxels.dtype.kind not in "iu":
            raise ValueError(f"occ of shape {voxels.shape} and {voxels.dtype}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SequenceError(f"{path}: object {index}: expected semantic label, color and occ ({error!r})") from None
    return label, color.lower(), voxels.astype(np.int64)


def _question_info(path: Path, content: Any) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    try:
        (entry,) = content
        text = entry["instruction"]
        if not isinstance(text, str) or not text.strip():
            raise TypeError("instruction is no text")
        targets, candidates = (tuple(int(i) for i in entry[key]) for key in ("instance ids", "candidate"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SequenceError(f"{path}: expected instruction, instance ids and candidate ({error!r})") from None
    return text, targets, candidates


def _fragment_info(path: Path, entry: Any) -> tuple[str, VolumeFragment]:
    origin_m, voxel_m = _place(path, entry)
    try:
        numbers = tuple(int(number) for number in entry["image_ids"])
        return str(entry["scene"]), VolumeFragment(int(entry["fragment_id"]), numbers, origin_m, voxel_m)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SequenceError(f"{path}: expected scene, fragment_id and image_ids ({error!r})") from None


def scenes(path: Path | str, split: str = "val") -> tuple[str, ...]:
    """Return the scenes of a split that are there, each as ``open_sequence`` opens it, in the order of their names.

    path: the root of the benchmark. split: "val" (25 scenes) and "train" of ReasonRecon; "extension" for all of
    ReasonRecon-Extension, "extension-val" and "extension-train" for its part in scannetv2_val.txt or
    scannetv2_train.txt, which must be in the root or in its folder datasets/. Warns of scenes that are not there.
    Raises SequenceError for an unknown split, and when no scene of it is there.
    """
    root = Path(path)
    if split not in SPLITS:
        raise SequenceError(f"{root}: split: expected one of {', '.join(SPLITS)}, got {split!r}")
    kind = "extension" if split.startswith("extension") else "base"
    folder = _first_folder(root, QUESTION_FOLDERS[kind], "the instructions")
    pattern = re.compile(r"(scene\d{4}_\d{2})_\d{1,6}_qa\.pkl")
    asked = {match.group(1) for name in os.listdir(folder) if (match := pattern.fullmatch(name))}
    if split == "val":
        wanted = list(VALIDATION_SCENES)
    elif split == "train":
        wanted = sorted(asked - set(VALIDATION_SCENES))
    elif split == "extension":
        wanted = sorted(asked)
    else:
        wanted = _listed_scenes(root, f"scannetv2_{split.removeprefix('extension-')}.txt")
    found = [name for name in wanted if name in asked and scannet.matches(root / "scans" / name)]
    if not found:
        raise SequenceError(
            f"{root}: none of the {len(wanted)} scenes of the split {split} is in scans/ with instructions"
        )
    if missing := [name for name in wanted if name not in found]:
        warnings.warn(
            f"{root}: {len(missing)} of the {len(wanted)} scenes of the split {split} are not there: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}",
            stacklevel=2,
        )
    query = "?questions=extension" if kind == "extension" else ""
    return tuple(f"{root / 'scans' / name}{query}" for name in found)


def _listed_scenes(root: Path, name: str) -> list[str]:
    for path in (root / name, root / "datasets" / name):
        if path.is_file():
            return sorted(set(re.findall(r"^scene\d{4}_\d{2}\b", path.read_text(errors="replace"), re.MULTILINE)))
    raise SequenceError(f"{root / name}: the list of the scenes of the split is missing")


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture with an instruction and the answer that a 2D model should give.

    source: the JSON file. image: the colour picture. instruction: with the sentence that the model was trained with.
    answer: names each object before "[SEG]", "No object." where none conforms. polygons: for every object, in the
    order of the answer, the outer contours of its mask as (N, 2) float64 pixels x, y. size: width and height [px].
    """

    source: Path
    image: Path
    instruction: str
    answer: str
    polygons: tuple[tuple[NDArray[np.float64], ...], ...]
    size: tuple[int, int]

    def masks(self) -> NDArray[np.bool_]:
        """Return the (objects, H, W) masks; holes of contours are filled, what lies outside is cut off.

        Raises SequenceError that names the file when they would be larger than MAXIMUM_MASK_PIXELS.
        """
        width, height = self.size
        if len(self.polygons) * width * height > MAXIMUM_MASK_PIXELS:
            raise SequenceError(f"{self.source}: {len(self.polygons)} masks of {width} x {height} pixels are too large")
        masks = np.zeros((len(self.polygons), height, width), dtype=np.uint8)
        for mask, contours in zip(masks, self.polygons, strict=True):
            for contour in contours:
                corners = np.rint(np.clip(contour, -LARGEST_CORNER_PX, LARGEST_CORNER_PX)).astype(np.int32)
                # One by one: where contours overlap, drawing them together would leave holes.
                cv2.fillPoly(mask, [corners], 1)
        return masks.astype(np.bool_)


class ReasonReconPictures:
    """The annotated pictures of a split, for the scores of 2D reasoning segmentation; read one by one.

    root: of the benchmark. split: "train" or "val". questions: "base" or "extension". While pictures are read,
    ``skipped`` counts those whose image is not there. Raises SequenceError that names what is missing.
    """

    def __init__(self, root: Path | str, split: str = "val", questions: str = "base") -> None:
        if split not in ("train", "val"):
            raise SequenceError(f"split: expected train or val, got {split!r}")
        if questions not in PICTURE_FOLDERS:
            raise SequenceError(f"questions: expected one of {', '.join(PICTURE_FOLDERS)}, got {questions!r}")
        self._root = Path(root)
        names = PICTURE_FOLDERS[questions]
        places = (*(f"reason_seg/{name}/{split}" for name in names), *(f"{name}/{split}" for name in names))
        self._folder = _first_folder(self._root, places, "the annotated pictures")
        # By number, where names begin with one: "10_..." after "9_...".
        self._names = sorted(
            (entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json")),
            key=lambda name: (int(name.split("_")[0]) if name.split("_")[0].isdecimal() else -1, name),
        )
        if not self._names:
            raise SequenceError(f"{self._folder}: expected annotated pictures (*.json), found none")
        self.skipped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the annotations, without the ending of their files."""
        return tuple(name.removesuffix(".json") for name in self._names)

    def __iter__(self) -> Iterator[AnnotatedPicture]:
        """Read all pictures whose image is there; raises SequenceError that names a broken file."""
        self.skipped.clear()
        for index in range(len(self)):
            picture = self.picture(index)
            if picture is None:
                self.skipped["the image is missing"] += 1
            else:
                yield picture

    def picture(self, index: int) -> AnnotatedPicture | None:
        """Read one annotated picture, None when its image is missing. Raises SequenceError that names the file."""
        path = inside(self._folder / self._names[index], self._folder)
        content = read_json(path, "an annotated picture")
        try:
            answer, (instruction, *_), written = content["outputs"], content["text"], content["image"]
            if not all(isinstance(item, str) for item in (answer, instruction, written)):
                raise TypeError("outputs, text and image are texts")
            (shape,) = content["shapes"]
            polygons = _polygons(shape["points"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SequenceError(f"{path}: expected outputs, text, image and shapes ({error!r})") from None
        # The path on the machine of the authors: what counts is what follows /scans/.
        _, found, rest = written.replace("\\", "/").rpartition("/scans/")
        if not found or not rest or "\0" in rest:
            raise SequenceError(f"{path}: expected an image below /scans/, got {written[:80]!r}")
        image = inside(self._root / "scans" / rest, self._root)
        if not image.exists():
            return None
        return AnnotatedPicture(path, image, instruction, answer, polygons, image_size(image, "a colour image"))


def _polygons(points: Any) -> tuple[tuple[NDArray[np.float64], ...], ...]:
    """Check the contours of all objects: [object][contour][x, y, x, y, ...], None where no object is."""
    if points is None:
        return ()
    if not isinstance(points, list) or len(points) > MAXIMUM_MASKS:
        raise ValueError(f"points: expected a list of at most {MAXIMUM_MASKS} objects")
    result = []
    for contours in points:
        parts = [np.asarray(contour, dtype=np.float64) for contour in contours]
        for part in parts:
            if part.ndim != 1 or len(part) < 2 or len(part) % 2 or not np.isfinite(part).all():
                raise ValueError("points: expected contours of x, y, x, y, ...")
        result.append(tuple(part.reshape(-1, 2) for part in parts))
    return tuple(result)
