"""The map as it grows: the mesh, the way of the camera, and the newest keyframe with what conforms in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
import rerun
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.display_color import display_color
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mesh_regions import Coordinates
from lira_ros.reasoning.contracts import Candidate, CandidateSet
from lira_ros.reasoning.overlay import draw_overlay
from lira_ros.viewer.blueprint import ANSWER, CAMERA, FRAME_TIMELINE, KEYFRAME, MAP, MESH, STAMP_TIMELINE, TRAJECTORY
from lira_ros.viewer.configuration import ViewerConfiguration

# Answers come late; so many keyframes are kept as JPEG to be shown with them (about 20 kB each).
KEPT_KEYFRAMES = 200
# Poses of the way in one entity: only the last part is sent again when it grows.
WAY_PART = 25
# The frustum of a keyframe on the way reaches this far [m]: small beside a room, large beside a pixel.
FRUSTUM_M = 0.08
# The image plane of the camera and of the newest keyframe [m].
IMAGE_PLANE_M = 0.4
# Vertices nearer to each other than this are the same, but for the rounding of float32.
SAME_M = 1e-5
WAY_COLOR, FRUSTUM_COLOR = (90, 200, 250), (150, 160, 175)
# Class ids of the masks are bytes, to keep them small; 0 is nothing. Whoever comes 256th takes the first again.
CLASS_IDS = 255


class Scene:
    """The map of one session in a recording. Not thread-safe: it has one owner, who sets the time first."""

    def __init__(self, stream: rerun.RecordingStream, configuration: ViewerConfiguration) -> None:
        self._stream = stream
        self._configuration = configuration
        self._layer: InstanceLayer | None = None
        self._classes: dict[int, int] = {}  # class id of each instance that was ever shown
        self._stamp_ns = 0
        self._start()

    def _start(self) -> None:
        self._newest: Frame | None = None
        self._masks = np.zeros((0, 0), np.uint8)  # as shown last
        self._pictures: dict[int, bytes] = {}  # JPEG of keyframes by id, oldest first
        self._poses: dict[int, NDArray[np.float64]] = {}  # of keyframes, in the order of the way
        self._camera: Camera | None = None
        self._parts = 0
        self._shown: dict[Coordinates, int] = {}  # stamp at which each region was shown last [ns]
        self._revisions: dict[Coordinates, int] = {}  # of each region as it came last
        self._waiting: dict[Coordinates, tuple[NDArray[np.float32], NDArray[np.integer], NDArray[np.uint8]]] = {}

    def set_time(self, stamp_ns: int, frame: int) -> None:
        """Say when what follows was seen: the sensor stamp [ns], and the number of the frame in the recording."""
        self._stamp_ns = stamp_ns
        self._stream.set_time(STAMP_TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))
        self._stream.set_time(FRAME_TIMELINE, sequence=frame)

    def begin_session(self) -> None:
        """Forget the map: another session has begun. What conforms is shown and taken away by its own messages."""
        for entity in (MESH, TRAJECTORY, KEYFRAME, CAMERA, ANSWER):
            self._stream.log(entity, rerun.Clear(recursive=True))
        self._start()

    def show_up(self, up: NDArray[np.floating]) -> None:
        """Let the viewer stand upright; up: (3,) in the map frame."""
        axis = int(np.abs(up).argmax())
        frames = (
            (rerun.ViewCoordinates.RIGHT_HAND_X_UP, rerun.ViewCoordinates.RIGHT_HAND_X_DOWN),
            (rerun.ViewCoordinates.RIGHT_HAND_Y_UP, rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN),
            (rerun.ViewCoordinates.RIGHT_HAND_Z_UP, rerun.ViewCoordinates.RIGHT_HAND_Z_DOWN),
        )
        self._stream.log(MAP, frames[axis][int(up[axis] < 0)], static=True)

    # ---- camera --------------------------------------------------------------------------------------------------

    def show_camera(self, T_map_camera: NDArray[np.float64]) -> None:
        """Show where the camera is."""
        self._stream.log(CAMERA, _transform(T_map_camera))

    def add_keyframe(self, keyframe: Keyframe) -> None:
        """Show a keyframe with what conforms in it, and lead the way of the camera there."""
        frame = keyframe.frame
        if not self._poses:
            self.show_up(keyframe.up)
        if frame.camera != self._camera:
            self._camera = frame.camera
            self._stream.log(CAMERA, _pinhole(frame.camera, IMAGE_PLANE_M / 2), static=True)
        small = self._scaled(frame)
        ok, data = cv2.imencode(
            ".jpg",
            cv2.cvtColor(small, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, self._configuration.jpeg_quality],
        )
        assert ok, "OpenCV writes JPEG of any image"
        self._pictures[keyframe.id] = data.tobytes()
        while len(self._pictures) > KEPT_KEYFRAMES:
            self._pictures.pop(next(iter(self._pictures)))
        camera = frame.camera.scaled(small.shape[1], small.shape[0])
        self._stream.log(KEYFRAME, _transform(frame.T_map_camera), _pinhole(camera, IMAGE_PLANE_M))
        self._stream.log(
            f"{KEYFRAME}/image", rerun.EncodedImage(contents=self._pictures[keyframe.id], media_type="image/jpeg")
        )
        self._newest = frame
        self._show_masks()
        self._poses[keyframe.id] = frame.T_map_camera
        self._show_way(len(self._poses) - 1)

    def correct(self, poses: Mapping[int, NDArray[np.float64]]) -> None:
        """Move keyframes to their corrected (4, 4) poses, by id; those that are not known are left out."""
        moved = {number: pose for number, pose in poses.items() if number in self._poses}
        if moved:
            self._poses |= moved
            self._show_way(0)

    def _show_way(self, first: int) -> None:
        """Show the parts of the way from the pose with an index on."""
        poses = list(self._poses.values())
        for part in range(first // WAY_PART, (len(poses) - 1) // WAY_PART + 1):
            # Each part begins where the one before ends.
            own = poses[max(0, part * WAY_PART - 1) : (part + 1) * WAY_PART]
            strips = [np.array([pose[:3, 3] for pose in own])]
            if self._camera is not None:
                strips += [_frustum(self._camera, pose) for pose in own[min(part, 1) :]]
            colors = [WAY_COLOR] + [FRUSTUM_COLOR] * (len(strips) - 1)
            radii = [0.008] + [0.002] * (len(strips) - 1)
            self._stream.log(f"{TRAJECTORY}/{part}", rerun.LineStrips3D(strips, colors=colors, radii=radii))

    def _scaled(self, frame: Frame) -> NDArray[np.uint8]:
        width, height = frame.camera.width_px, frame.camera.height_px
        if width <= self._configuration.image_width_px:
            return frame.color
        wanted = self._configuration.image_width_px
        size = (wanted, max(1, round(height * wanted / width)))
        return np.asarray(cv2.resize(frame.color, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    # ---- what conforms, in the image --------------------------------------------------------------------------------

    def set_instances(self, changed: Mapping[int, Instance], gone: tuple[int, ...]) -> None:
        """Take over instances that conform to any instruction, by id, and show them in the newest keyframe."""
        if self._layer is None and changed:
            self._layer = InstanceLayer(next(iter(changed.values())).voxel_size_m)
        if self._layer is None:
            return
        known = set(self._layer.ids())
        for number in known & set(gone):
            self._layer.remove(number)
        for number, instance in changed.items():
            self._layer.set(number, instance.voxels)
        self._layer.changed_blocks()  # nobody asks which blocks show others; the list would grow for ever
        if set(changed) - set(self._classes):
            for number in changed:
                self._classes.setdefault(number, 1 + len(self._classes) % CLASS_IDS)
            # The viewer gives masks the colours of the points.
            by_class = {self._classes[number]: number for number in self._classes}
            context = [rerun.AnnotationInfo(id=0, color=(0, 0, 0, 0))]
            context += [
                rerun.AnnotationInfo(id=index, label=f"#{number}", color=_bytes(display_color(number)))
                for index, number in by_class.items()
            ]
            self._stream.log("/", rerun.AnnotationContext(context), static=True)
        self._show_masks()

    def _show_masks(self) -> None:
        frame = self._newest
        if frame is None:
            return
        height, width = self._scaled(frame).shape[:2]
        masks = np.zeros((height, width), np.uint8)
        if self._layer is not None:
            found = self._layer.look_up_depth(frame.depth_m, frame.camera, frame.T_map_camera)
            present = np.unique(found)
            table = np.array([self._classes.get(int(number), 0) for number in present], np.uint8)
            classes = table[np.searchsorted(present, found)]
            masks = np.asarray(cv2.resize(classes, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        if not np.array_equal(masks, self._masks):
            self._masks = masks
            self._stream.log(f"{KEYFRAME}/masks", rerun.SegmentationImage(masks, opacity=0.6, draw_order=1.0))

    # ---- what the reasoner answered ----------------------------------------------------------------------------------

    def show_answer(self, candidates: CandidateSet, text: str) -> None:
        """Show what the reasoner saw in a keyframe; nothing when that is not known any more, or nothing was seen."""
        data = self._pictures.get(candidates.keyframe_id)
        if data is None or not candidates.candidates:
            return
        bgr = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
        color = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        size = (color.shape[1], color.shape[0])
        scaled = tuple(_with_size(item, size) for item in candidates.candidates)
        picture = draw_overlay(np.asarray(color, np.uint8), replace(candidates, candidates=scaled), text)
        quality = self._configuration.jpeg_quality
        self._stream.log(ANSWER, rerun.Image(picture).compress(jpeg_quality=quality))

    # ---- mesh --------------------------------------------------------------------------------------------------------

    def clear_mesh(self) -> None:
        """Forget the mesh; what is there follows."""
        self._stream.log(MESH, rerun.Clear(recursive=True))
        for held in (self._shown, self._waiting, self._revisions):
            held.clear()

    def update_mesh(
        self,
        region: Coordinates,
        revision: int,
        vertices: NDArray[np.float32],
        triangles: NDArray[np.integer],
        colors: NDArray[np.uint8],
    ) -> None:
        """Take a region of the mesh, whole: (V, 3) [m], (T, 3) indices, (V, 3) RGB; no triangles = it is gone.

        A revision that is known already is left out: a mesh that is sent again costs nothing.
        """
        if self._revisions.get(region) != revision:
            self._revisions[region] = revision
            self._waiting[region] = (vertices, triangles, colors)

    def show_mesh(self, *, all_of_it: bool = False) -> None:
        """Show regions that have changed, each no more often than configured, or all that wait."""
        period_ns = round(self._configuration.mesh_period_s * 1e9)
        due = [
            region
            for region, (_, triangles, _) in self._waiting.items()
            if all_of_it
            or len(triangles) == 0  # what is gone goes at once
            or abs(self._stamp_ns - self._shown.get(region, self._stamp_ns + period_ns)) >= period_ns
        ]
        for region in due:
            entity = f"{MESH}/{region[0]}_{region[1]}_{region[2]}"
            mesh = coarsened(*self._waiting.pop(region), self._configuration.mesh_cell_m)
            if len(mesh[1]):
                vertices, triangles, colors = mesh
                self._stream.log(
                    entity,
                    rerun.Mesh3D(
                        vertex_positions=vertices,
                        triangle_indices=triangles,
                        vertex_colors=colors,
                        # A room is open to whoever looks from outside.
                        face_rendering=rerun.components.MeshFaceRendering.Front,
                    ),
                )
                self._shown[region] = self._stamp_ns
            elif self._shown.pop(region, None) is not None:
                self._stream.log(entity, rerun.Clear(recursive=False))


def coarsened(
    vertices: NDArray[np.float32], triangles: NDArray[np.integer], colors: NDArray[np.uint8], cell_m: float
) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint8]]:
    """Return a mesh whose vertices within a cell are one, at their mean; triangles that collapse are left out.

    Vertex clustering (Rossignac and Borrel, 1993): a viewer needs no more than the eye sees. Vertices on its outer rim
    stay where they are, so that parts of a mesh still meet.
    """
    if cell_m <= 0.0 or len(triangles) == 0:
        return vertices, triangles.astype(np.uint32), colors
    # Blocks of a region have vertices of their own where they meet: these are one before anything else.
    _, first, index = np.unique(_cell_keys(vertices, SAME_M), return_index=True, return_inverse=True)
    vertices, colors, triangles = vertices[first], colors[first], index[triangles]
    keys = _cell_keys(vertices, cell_m)
    rim = _rim(triangles)
    # Rims of holes may change; parts meet at the borders of what they cover.
    low, high = vertices.min(axis=0) + cell_m / 2, vertices.max(axis=0) - cell_m / 2
    rim = rim[((vertices[rim] < low) | (vertices[rim] > high)).any(axis=1)]
    keys[rim] = -1 - rim
    _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(index, values) for values in (*vertices.T, *colors.T)], axis=1) / counts[:, None]
    corners = index[triangles]
    kept = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
    return sums[:, :3].astype(np.float32), corners[kept].astype(np.uint32), np.rint(sums[:, 3:]).astype(np.uint8)


def _cell_keys(points: NDArray[np.float32], cell_m: float) -> NDArray[np.int64]:
    """Return a number for the cell of each of (N, 3) points."""
    cells = np.floor(points.astype(np.float64) / cell_m + 0.5).astype(np.int64)
    cells -= cells.min(axis=0)
    size = cells.max(axis=0) + 1
    return np.asarray((cells[:, 0] * size[1] + cells[:, 1]) * size[2] + cells[:, 2])


def _rim(triangles: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the vertices of the edges that belong to one triangle only."""
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:], triangles[:, ::2]]).astype(np.int64)
    edges.sort(axis=1)
    size = int(edges.max()) + 1
    keys, counts = np.unique(edges[:, 0] * size + edges[:, 1], return_counts=True)
    once = keys[counts == 1]
    return np.unique(np.concatenate([once // size, once % size]))


def _transform(T_map_camera: NDArray[np.float64]) -> rerun.Transform3D:
    return rerun.Transform3D(translation=T_map_camera[:3, 3], mat3x3=T_map_camera[:3, :3])


def _pinhole(camera: Camera, image_plane_m: float) -> rerun.Pinhole:
    return rerun.Pinhole(
        focal_length=(camera.fx, camera.fy),
        # Pixel centres of Rerun lie at halves.
        principal_point=(camera.cx + 0.5, camera.cy + 0.5),
        resolution=(camera.width_px, camera.height_px),
        camera_xyz=rerun.ViewCoordinates.RDF,
        image_plane_distance=image_plane_m,
    )


def _frustum(camera: Camera, T_map_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the strip of lines that draws a small pyramid where a camera was."""
    right, down = camera.width_px / 2 / camera.fx, camera.height_px / 2 / camera.fy
    corners = FRUSTUM_M * np.array([(-right, -down, 1.0), (right, -down, 1.0), (right, down, 1.0), (-right, down, 1.0)])
    eye = np.zeros(3)
    strip = np.stack(
        [eye, corners[0], corners[1], eye, corners[2], corners[3], eye, corners[0], corners[3], corners[2], corners[1]]
    )
    return np.asarray(transform_points(T_map_camera, strip))


def _bytes(color: tuple[float, float, float]) -> tuple[int, int, int]:
    return (round(255 * color[0]), round(255 * color[1]), round(255 * color[2]))


def _with_size(candidate: Candidate, size: tuple[int, int]) -> Candidate:
    mask = cv2.resize(candidate.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return replace(candidate, mask=mask)
