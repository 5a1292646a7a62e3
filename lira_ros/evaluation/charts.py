"""The charts of an evaluation's report, as SVG text that stands in an HTML page by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import count
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lira_ros.evaluation.summary import TITLES

INK, MUTED, GRID = "#1c1e22", "#696e76", "#dcdfe4"
COLORS = ("#2f6fbe", "#26a05c", "#d6863b")
WIDTH_IN = 7.6
_drawn = count(1)


def _svg(figure: Figure) -> str:
    """Return a figure as an <svg> element whose ids are its own, without the XML prologue."""
    buffer = StringIO()
    # Text stays text: it is small, can be searched and uses the font of the page.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lira"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    prefix = f"c{next(_drawn)}-"
    names = set(re.findall(r'id="([^"]+)"', text))
    text = re.sub(r'id="([^"]+)"', lambda found: f'id="{prefix}{found[1]}"', text)
    text = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{prefix}{found[1]})", text)
    return re.sub(
        r'href="#([^"]+)"', lambda found: f'href="#{prefix}{found[1]}"' if found[1] in names else found[0], text
    )


def _axes(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    return figure, axes


def kind_bars(by_kind: Mapping[str, Any], scores: Sequence[str] = ("f1@0.25", "f1@0.5", "exact@0.25")) -> str:
    """Draw a group of bars for every kind of instruction, in percent, with whiskers for the intervals."""
    names = list(by_kind)
    figure, axes = _axes(0.9 + 0.52 * len(names))
    height = 0.8 / len(scores)
    rows = np.arange(len(names))
    for number, score in enumerate(scores):
        entries = [by_kind[name]["scores"].get(score) or {"value": None, "low": None, "high": None} for name in names]
        values = np.array([100 * (entry["value"] or 0.0) for entry in entries])
        place = rows + (number - (len(scores) - 1) / 2) * height
        axes.barh(place, values, 0.86 * height, color=COLORS[number % len(COLORS)], label=TITLES.get(score, score))
        for y, value, entry in zip(place, values, entries, strict=True):
            if entry["low"] is not None:
                axes.plot([100 * entry["low"], 100 * entry["high"]], [y, y], color=INK, linewidth=0.9)
            axes.annotate(
                f"{value:.0f}",
                (max(value, 100 * (entry["high"] or 0.0)), y),
                (4, 0),
                fontsize=7,
                textcoords="offset points",
                va="center",
                color=MUTED,
            )
    # The kinds are names in a file of questions: "$" in them is no formula.
    axes.set_yticks(rows, [f"{name} ({by_kind[name]['pairs']})" for name in names], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 108)
    axes.set_xlabel("percent (whiskers: confidence interval; in brackets: instructions)", fontsize=9, color=MUTED)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False, ncols=len(scores), loc="lower right", bbox_to_anchor=(1, 1))
    return _svg(figure)


def time_curve(curve: Mapping[str, Any]) -> str:
    """Draw the mean F1 over the share of the recording that was seen."""
    figure, axes = _axes(2.7)
    share, values = [0.0, *curve["share"]], [0.0, *curve["f1"]]
    x, y = [100 * item for item in share], [100 * item for item in values]
    # What is published holds until the next moment that was looked at.
    axes.fill_between(x, y, step="post", color=COLORS[0], alpha=0.14, linewidth=0)
    axes.plot(x, y, drawstyle="steps-post", color=COLORS[0])
    axes.plot(x[1:], y[1:], "o", color=COLORS[0], markersize=3.5)
    axes.set_xlim(0, 101)
    axes.set_ylim(0, max(10.0, 112 * max(values)))
    axes.set_xlabel("share of the recording seen [%]", fontsize=9, color=MUTED)
    axes.set_ylabel("F1 at IoU 0.25 [%]", fontsize=9, color=MUTED)
    axes.grid(color=GRID, linewidth=0.6)
    return _svg(figure)


def latency_chart(samples: Mapping[str, tuple[np.ndarray, np.ndarray]], stages: Mapping[str, Any]) -> str:
    """Draw the distribution of every stage on a logarithmic axis, with its 50th, 95th and 99th percentile."""
    names = list(samples)
    figure, axes = _axes(0.9 + 0.55 * len(names))
    largest = max((float(values.max()) for values, _ in samples.values()), default=1.0)
    low, high = 0.01, max(1.0, largest) * 1.6
    edges = np.geomspace(low, high, 70)
    centers = np.sqrt(edges[:-1] * edges[1:])
    for row, name in enumerate(names):
        values, weights = samples[name]
        density, _ = np.histogram(np.clip(values, low, high), edges, weights=weights)
        smooth = np.convolve(density, (0.25, 0.5, 0.25), mode="same")
        shape = 0.42 * smooth / max(smooth.max(), 1e-12)
        axes.fill_between(centers, row - shape, row + shape, color=COLORS[0], alpha=0.35, linewidth=0)
        for key, marker in (("p50_ms", "o"), ("p95_ms", "D"), ("p99_ms", "|")):
            axes.plot(max(low, stages[name][key]), row, marker, color=INK, markersize=9 if marker == "|" else 4.5)
    for label, marker in (("p50", "o"), ("p95", "D"), ("p99", "|")):
        axes.plot([], [], marker, color=INK, label=label, linestyle="")
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds", fontsize=9, color=MUTED)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return _svg(figure)
