"""Measure how fast the generated room is made and drawn.

Prints CPU time, so that other work on the machine counts little. Run it from the repository root:
python benchmark/rooms.py
"""

from __future__ import annotations

import time

import numpy as np

from lira_ros.datasets.rooms import RoomSequence


def main() -> None:
    """Make a room, draw frames along the walk at two sizes and print milliseconds."""
    start = time.process_time()
    RoomSequence(width_px=64, duration_s=0.1).frame(0)
    print(f"first room and picture (with compilation or its cache): {time.process_time() - start:.2f} s")
    for width_px in (320, 640):
        start = time.process_time()
        sequence = RoomSequence(rate_hz=0.5, width_px=width_px)
        made_s = time.process_time() - start
        times_s = []
        for index in range(len(sequence)):
            start = time.process_time()
            sequence.frame(index)
            times_s.append(time.process_time() - start)
        p50, p95 = np.percentile(times_s, (50, 95)) * 1000
        print(
            f"{width_px} x {sequence.camera.height_px}: room {made_s:.2f} s, "
            f"frame p50 {p50:.0f} ms, p95 {p95:.0f} ms, {1000 / p50:.1f} frames a second on one core"
        )


if __name__ == "__main__":
    main()
