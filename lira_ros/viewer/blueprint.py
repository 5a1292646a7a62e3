"""What the viewer's window looks like when a recording is opened: map, camera, log, plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerun.blueprint import Blueprint

# Entities, the one place where their names stand.
MAP = "map"
MESH = "map/mesh"
CAMERA = "map/camera"
KEYFRAME = "map/keyframe"
TRAJECTORY = "map/trajectory"
INSTANCES = "map/instances"
JUDGED = "map/judged"
ANSWER = "reasoner/answer"
INSTRUCTIONS = "instructions"
LOG = "log"
LATENCY = "latency"
STAMP_TIMELINE, FRAME_TIMELINE = "stamp", "frame"


def blueprint() -> Blueprint:
    """Return the layout: the map beside what the camera and the reasoner see, below the log and the latencies."""
    import rerun.blueprint as rrb

    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                rrb.Spatial3DView(origin=MAP, name="Map", background=(38, 42, 48), line_grid=False),
                rrb.Vertical(
                    rrb.Spatial2DView(origin=KEYFRAME, name="Camera, what conforms"),
                    rrb.Spatial2DView(origin=ANSWER, name="What the reasoner answered"),
                ),
                column_shares=[5, 3],
            ),
            rrb.Horizontal(
                rrb.TextDocumentView(origin=INSTRUCTIONS, name="Instructions"),
                rrb.TextLogView(origin=LOG, name="What happened and why"),
                rrb.TimeSeriesView(origin=LATENCY, name="Latency [ms]"),
                column_shares=[4, 4, 3],
            ),
            row_shares=[2, 1],
        ),
        rrb.TimePanel(state="collapsed", timeline=STAMP_TIMELINE),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
    )
