"""The pictures of a run: the map with what conforms beside the camera's view of it, and the timeline."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lira_ros.evaluation.record import RunRecord
from lira_ros.fusion.contracts import Instance, InstructionStatus, SearchState
from lira_ros.fusion.display_color import display_color
from lira_ros.fusion.lifting import pack
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.mask import intersection_over_union
from lira_ros.geometry.pose import inverse, transform_points
from lira_ros.geometry.rasterizer import rasterize
from lira_ros.lettering import font
from lira_ros.mapping.surface import Mesh
from lira_ros.mapping.voxel import contained_in
from lira_ros.reasoning.contracts import CandidateSet

PANEL_HEIGHT_PX = 600
MAP_WIDTH_PX = 880
HEADER_HEIGHT_PX = 96
MARGIN_PX = 16
BACKGROUND = (250, 250, 248)
INK = (28, 30, 34)
MUTED = (105, 110, 118)
STATE_COLORS = {
    SearchState.PENDING: (150, 155, 165),
    SearchState.SEARCHING: (66, 120, 200),
    SearchState.FOUND: (34, 139, 87),
    SearchState.NONE_CONFORM: (176, 74, 58),
    SearchState.CANCELLED: (150, 155, 165),
    SearchState.FAILED: (176, 40, 40),
}
STATE_WORDS = {
    SearchState.PENDING: "pending",
    SearchState.SEARCHING: "searching",
    SearchState.FOUND: "found",
    SearchState.NONE_CONFORM: "none conforms",
    SearchState.CANCELLED: "cancelled",
    SearchState.FAILED: "failed",
}
# A candidate's mask that overlaps this much with what the fused instance covers in the view shows it better: its
# border is that of the picture and not of the voxels.
SAME_MASK_IOU = 0.35
# Two lines hold the reasons of about this many instances.
SHOWN_REASONS = 3


def _belongs(points: NDArray[np.floating], instance: Instance) -> NDArray[np.bool_]:
    """Tell which (N, 3) map points lie in an instance's voxels or right beside them."""
    steps = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1), (-1, 0, 1), indexing="ij"), -1).reshape(-1, 3)
    grown = np.unique(np.concatenate([pack(instance.voxels + step) for step in steps]))
    cells = np.rint(points / instance.voxel_size_m)
    result = np.zeros(len(points), dtype=bool)
    low, high = instance.voxels.min(0) - 1, instance.voxels.max(0) + 1
    inside = np.flatnonzero(((cells >= low) & (cells <= high)).all(axis=1))
    result[inside] = contained_in(pack(cells[inside].astype(np.int64)), grown)
    return result


def instance_mask(frame: Frame, instance: Instance) -> NDArray[np.bool_]:
    """Return the (H, W) pixels whose measured depth falls into an instance: its visible part in this view."""
    points = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m).reshape(-1, 3))
    valid = frame.depth_m.reshape(-1) > 0
    mask = np.zeros(valid.shape, dtype=bool)
    mask[valid] = _belongs(points[valid], instance)
    return mask.reshape(frame.depth_m.shape)


def best_view(keyframes: Sequence[Keyframe], things: Sequence[NDArray[np.floating]]) -> Keyframe | None:
    """Return the keyframe that shows things best: most of them, then most of each; None without any keyframe.

    things: (N, 3) points [m] in the map frame of each of them. The newest keyframe where there is nothing to show.
    """
    if not things:
        return keyframes[-1] if keyframes else None
    best: tuple[float, int] | None = None
    for index, keyframe in enumerate(keyframes):
        score = 0.0
        for points in things:
            share = _visible_share(keyframe.frame, points)
            score += share + (0.5 if share > 0.2 else 0.0)
        if best is None or score > best[0]:
            best = (score, index)
    return keyframes[best[1]] if best is not None else None


def _visible_share(frame: Frame, thing: NDArray[np.floating]) -> float:
    points = thing[:: max(1, len(thing) // 400)]
    pixels, z = frame.camera.project(transform_points(inverse(frame.T_map_camera), points))
    height, width = frame.depth_m.shape
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (pixels >= 8).all(axis=1) & (pixels[:, 0] < width - 8) & (pixels[:, 1] < height - 8)
    columns, rows = np.rint(pixels[inside]).astype(int).T
    seen = np.abs(frame.depth_m[rows, columns] - z[inside]) < 0.06
    closeness = np.clip(2.0 / np.maximum(z[inside].mean(), 0.5), 0.3, 1.5) if inside.any() else 0.0
    return float(seen.sum() / max(1, len(points)) * closeness)


def _level_axes(up: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return rows x, y, z of a right-handed frame whose z is up."""
    helper = np.array([1.0, 0.0, 0.0]) if abs(up[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    x = np.cross(np.cross(up, helper), up)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up])


def _outside_view(
    points: NDArray[np.floating], up: NDArray[np.floating], azimuth: float, camera: Camera
) -> NDArray[np.float64]:
    """Return T_map_camera of a view from above and outside in which all points fit."""
    axes = _level_axes(up)
    elevation = np.radians(52.0)
    back = axes.T @ np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    z_axis = -back
    x_axis = np.cross(z_axis, up)
    x_axis /= np.linalg.norm(x_axis)
    rotation = np.stack([x_axis, np.cross(z_axis, x_axis), z_axis], axis=1)
    local = (points - points.mean(0)) @ rotation
    center = (local.min(0) + local.max(0)) / 2
    local = local - center
    # Each point needs |x| <= tan(half field of view) * (depth + distance); the margin leaves room for labels.
    half = 0.94 * np.array([camera.width_px / 2 / camera.fx, camera.height_px / 2 / camera.fy])
    distance = max(float((np.abs(local[:, axis]) / half[axis] - local[:, 2]).max()) for axis in (0, 1))
    T_map_camera = np.eye(4)
    T_map_camera[:3, :3] = rotation
    T_map_camera[:3, 3] = points.mean(0) + rotation @ center - rotation[:, 2] * distance
    return T_map_camera


def render_map(
    mesh: Mesh, up: NDArray[np.floating], instances: Sequence[Instance], width_px: int, height_px: int
) -> tuple[NDArray[np.uint8], Camera, NDArray[np.float64]]:
    """Render the map from outside and above, looking through the backs of walls and ceiling.

    The instances keep their colour and glow in their display colour; the rest is muted. Returns the (H, W, 3)
    picture, the camera and its pose, so that boxes and names can be drawn into it.
    """
    camera = Camera(width_px, height_px, 1.35 * width_px, 1.35 * width_px, (width_px - 1) / 2, (height_px - 1) / 2)
    if len(mesh.vertices) == 0:
        return np.full((height_px, width_px, 3), BACKGROUND, np.uint8), camera, np.eye(4)
    sample = mesh.vertices[:: max(1, len(mesh.vertices) // 20000)].astype(np.float64)
    low, high = np.percentile(sample, (1, 99), axis=0)
    sample = sample[((sample >= low) & (sample <= high)).all(axis=1)]
    colors = mesh.colors.astype(np.float32)
    lit = np.zeros(len(mesh.vertices), dtype=np.int64)
    for instance in instances:
        lit[_belongs(mesh.vertices, instance)] = instance.id
    if instances:
        grey = colors.mean(axis=1, keepdims=True)
        colors = np.where((lit > 0)[:, None], colors, 0.62 * (0.45 * grey + 0.55 * colors) + 0.38 * 240.0)
        for instance in instances:
            chosen = lit == instance.id
            colors[chosen] = 0.35 * colors[chosen] + 0.65 * 255.0 * np.array(display_color(instance.id), np.float32)
    best: tuple[int, NDArray[np.float64]] | None = None
    preview = camera.scaled(width_px // 6, height_px // 6)
    for azimuth in np.radians(np.arange(20, 380, 45)):
        pose = _outside_view(sample, np.asarray(up, np.float64), float(azimuth), camera)
        triangles = _facing(mesh, pose)
        index = rasterize(mesh.vertices, triangles, preview, pose).triangle
        shown = index >= 0
        visible = int((lit[triangles[index[shown], 0]] > 0).sum()) if instances else int(shown.sum())
        if best is None or visible > best[0]:
            best = (visible, pose)
    assert best is not None
    pose = best[1]
    triangles = _facing(mesh, pose)
    # Twice the size and down again: smooth edges without a word about antialiasing in the rasteriser.
    double = camera.scaled(2 * width_px, 2 * height_px)
    raster = rasterize(mesh.vertices, triangles, double, pose)
    index, barycentric = raster.triangle, raster.barycentric
    picture = np.empty((2 * height_px, 2 * width_px, 3), np.float32)
    picture[:] = BACKGROUND
    shown = index >= 0
    corners = triangles[index[shown]]
    weights = barycentric[shown][:, :, None]
    color = (colors[corners] * weights).sum(axis=1)
    normal = (mesh.normals[corners] * weights).sum(axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    light = np.asarray(up, np.float64) * 0.8 - pose[:3, 2] * 0.6
    light /= np.linalg.norm(light)
    picture[shown] = color * (0.62 + 0.42 * np.clip(normal @ light, 0.0, 1.0))[:, None]
    small = cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0, 255).astype(np.uint8), camera, pose


def _facing(mesh: Mesh, T_map_camera: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the triangles whose surface looks at the camera: a room is then open from outside."""
    first = mesh.triangles[:, 0]
    toward = T_map_camera[:3, 3] - mesh.vertices[first]
    return mesh.triangles[(mesh.normals[first] * toward).sum(axis=1) > 0]


def _draw_boxes(
    draw: ImageDraw.ImageDraw, instances: Sequence[Instance], camera: Camera, T_map_camera: NDArray[np.float64]
) -> None:
    T_camera_map = inverse(T_map_camera)
    placed: list[tuple[float, float, float, float]] = []
    for instance in instances:
        pixels, z = camera.project(transform_points(T_camera_map, instance.box.corners()))
        if (z <= 0.05).any():
            continue
        color = tuple(int(255 * c * 0.85) for c in display_color(instance.id))
        for a, b in (
            [(i, (i + 1) % 4) for i in range(4)]
            + [(i + 4, (i + 1) % 4 + 4) for i in range(4)]
            + [(i, i + 4) for i in range(4)]
        ):
            draw.line([tuple(pixels[a]), tuple(pixels[b])], fill=color, width=2)
        _draw_name(draw, instance, pixels, color, camera, placed)


def _draw_name(
    draw: ImageDraw.ImageDraw,
    instance: Instance,
    pixels: NDArray[np.float64],
    color: tuple[int, ...],
    camera: Camera,
    placed: list[tuple[float, float, float, float]],
) -> None:
    text = f"#{instance.id} {instance.label or 'thing'}"
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font(15, True))
    width, height = right - left + 12, bottom - top + 10
    x = float(np.clip(pixels[:, 0].mean() - width / 2, 2, camera.width_px - width - 2))
    y = float(np.clip(pixels[:, 1].min() - height - 6, 2, camera.height_px - height - 2))
    while (
        any(x < box[2] and box[0] < x + width and y < box[3] and box[1] < y + height for box in placed)
        and y < camera.height_px
    ):
        y += 4
    placed.append((x, y, x + width, y + height))
    draw.rounded_rectangle((x, y, x + width, y + height), radius=5, fill=color)
    draw.text((x + 6 - left, y + 5 - top), text, font=font(15, True), fill=(255, 255, 255))


def _best_mask(keyframe: Keyframe, instance: Instance, candidates: CandidateSet | None) -> NDArray[np.bool_]:
    """Return the candidate mask that the instance was made of, or where its voxels are seen when there is none."""
    looked_up = instance_mask(keyframe.frame, instance)
    masks = [item.mask for item in candidates.candidates] if candidates is not None else []
    overlaps = [intersection_over_union(mask, looked_up) for mask in masks if mask.shape == looked_up.shape]
    if overlaps and max(overlaps) >= SAME_MASK_IOU:
        return masks[int(np.argmax(overlaps))]
    return looked_up


def _camera_panel(
    keyframe: Keyframe, instances: Sequence[Instance], candidates: CandidateSet | None, height_px: int
) -> Image.Image:
    frame = keyframe.frame
    picture = frame.color.astype(np.float32)
    outlines = []
    for instance in instances:
        mask = _best_mask(keyframe, instance, candidates)
        if mask.sum() < 12:
            continue
        # Depth has holes where colour has none: closing them shows the thing as a person sees it.
        closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)).astype(bool)
        color = 255.0 * np.array(display_color(instance.id), np.float32)
        picture[closed] = 0.5 * picture[closed] + 0.5 * color
        contours, _ = cv2.findContours(closed.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outlines.append((contours, color))
    image = np.clip(picture, 0, 255).astype(np.uint8)
    for contours, color in outlines:
        cv2.drawContours(image, contours, -1, tuple(float(c) for c in color), 2, cv2.LINE_AA)
    width_px = round(frame.camera.width_px * height_px / frame.camera.height_px)
    return Image.fromarray(image).resize((width_px, height_px), Image.Resampling.LANCZOS)


def instruction_picture(record: RunRecord, instruction_id: str) -> Image.Image:
    """Draw the page of one instruction: the map with what conforms, beside the camera's best view of it."""
    instances = record.conforming.get(instruction_id, ())
    status = record.statuses.get(instruction_id) or InstructionStatus(
        instruction_id, SearchState.PENDING, "No keyframe was looked at yet."
    )
    keyframes = [record.keyframes[key] for key in sorted(record.keyframes)]
    up = keyframes[-1].up if keyframes else np.array([0.0, 0.0, 1.0])
    assert record.mesh is not None
    rendered, camera, pose = render_map(record.mesh, up, instances, MAP_WIDTH_PX, PANEL_HEIGHT_PX)
    map_panel = Image.fromarray(rendered)
    _draw_boxes(ImageDraw.Draw(map_panel), instances, camera, pose)
    view = best_view(keyframes, [item.points for item in instances if len(item.voxels)])
    panels = [map_panel]
    if view is not None:
        candidates = record.candidates.get((view.id, instruction_id))
        panels.append(_camera_panel(view, instances, candidates, PANEL_HEIGHT_PX))
    width = sum(panel.width for panel in panels) + MARGIN_PX * (len(panels) + 1)
    page = Image.new("RGB", (width, HEADER_HEIGHT_PX + PANEL_HEIGHT_PX + MARGIN_PX), BACKGROUND)
    reasons = [status.reason]
    for instance in instances[:SHOWN_REASONS]:
        verdict = instance.verdicts.get(instruction_id)
        if verdict is not None:
            reasons.append(f"#{instance.id}: {verdict.reason}")
    _draw_header(ImageDraw.Draw(page), record.instructions[instruction_id].text, status, " ".join(reasons), width)
    x = MARGIN_PX
    for panel in panels:
        page.paste(panel, (x, HEADER_HEIGHT_PX))
        x += panel.width + MARGIN_PX
    return page


def _draw_header(draw: ImageDraw.ImageDraw, text: str, status: InstructionStatus, reason: str, width: int) -> None:
    chip = STATE_WORDS[status.state]
    if status.state == SearchState.FOUND:
        chip = f"found {status.instances_found}"
    chip_width = draw.textlength(chip, font=font(18, True)) + 24
    draw.rounded_rectangle((MARGIN_PX, 16, MARGIN_PX + chip_width, 46), radius=15, fill=STATE_COLORS[status.state])
    draw.text((MARGIN_PX + 12, 20), chip, font=font(18, True), fill=(255, 255, 255))
    quoted = textwrap.shorten(text, 100, placeholder=" ...")
    draw.text((MARGIN_PX + chip_width + 14, 17), f"“{quoted}”", font=font(21, True), fill=INK)
    lines = textwrap.wrap(reason, int((width - 2 * MARGIN_PX) / 7.6))[:2]
    draw.multiline_text((MARGIN_PX, 54), "\n".join(lines), font=font(14), fill=MUTED, spacing=4)


def _unit_color(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def timeline_figure(record: RunRecord) -> Figure:
    """Draw what was found when: states over the recording, each first publication, and its delay."""
    names = list(record.instructions)
    figure = Figure(figsize=(12, 2.6 + 0.75 * len(names)), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[max(len(names), 1) * 0.75, 1.5])
    end_s = max([*(change.at_s for change in record.states), *(p.seen_s for p in record.publications), 1.0])
    for row, name in enumerate(names):
        changes = [change for change in record.states if change.instruction_id == name]
        for index, change in enumerate(changes):
            until = changes[index + 1].at_s if index + 1 < len(changes) else end_s
            color = _unit_color(STATE_COLORS[change.state])
            upper.barh(
                row, max(until - change.at_s, end_s * 0.004), left=change.at_s, height=0.5, color=color, alpha=0.8
            )
        if name in record.submitted_s:
            upper.plot(record.submitted_s[name], row, marker=">", color="black", markersize=8, clip_on=False, zorder=5)
        shown = {instance.id for instance in record.conforming.get(name, ())}
        for publication in (p for p in record.publications if p.instruction_id == name):
            kept = publication.instance_id in shown
            color = display_color(publication.instance_id) if kept else (0.83, 0.83, 0.83)
            upper.plot(publication.seen_s, row, "o", color=color, markeredgecolor="black", markersize=8, zorder=6)
            if kept:
                upper.annotate(
                    f"#{publication.instance_id} {publication.label}",
                    (publication.seen_s, row),
                    (4, 11),
                    textcoords="offset points",
                    fontsize=8,
                    parse_math=False,  # "$" in a name or an instruction is no formula
                )
            lower.plot(publication.seen_s, 1e3 * publication.delay_s, "o", color=color, markeredgecolor="black")
    asked = [textwrap.fill(record.instructions[name].text, 34) for name in names]
    upper.set_yticks(range(len(names)), asked, fontsize=9, parse_math=False)
    upper.invert_yaxis()
    upper.set_title("What was found when", loc="left", fontweight="bold")
    states = [state for state in SearchState if any(change.state == state for change in record.states)]
    handles: list[Artist] = [
        Patch(color=_unit_color(STATE_COLORS[state]), alpha=0.8, label=STATE_WORDS[state]) for state in states
    ]
    handles.append(Line2D([], [], marker=">", color="black", linestyle="", label="instruction given"))
    handles.append(
        Line2D([], [], marker="o", color="white", markeredgecolor="black", linestyle="", label="first published")
    )
    upper.legend(handles=handles, ncols=len(handles), fontsize=8, loc="lower right", bbox_to_anchor=(1, 1.0))
    lower.set_xlabel("sensor stamp, seconds of the recording")
    lower.set_ylabel("sensor stamp to\npublication [ms]")
    lower.set_ylim(bottom=0)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
    return figure
