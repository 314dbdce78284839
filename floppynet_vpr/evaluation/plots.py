# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Plots of results, drawn by matplotlib: as inline SVG in the colours of the page.

Right and wrong differ in shape as well as in colour.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.detection.limits import ANY_DISTANCE
from floppynet_vpr.evaluation.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = 6
"""How many results can be told apart by colour; dashes tell the next as many."""

_COLOURS = {
    "ink": "#1b2026",
    "soft": "#5c6672",
    "line": "#e3e4e0",
    "right": "#16874a",
    "wrong": "#c8312b",
    "accent": "#2a5ea8",
    **dict(
        zip(
            [f"s{number}" for number in range(SERIES)],
            ("#2a5ea9", "#c2571a", "#16874b", "#8a3fa0", "#8a6d00", "#b02a5b"),
            strict=True,
        )
    ),
}
"""Colours of light pages, by the style sheet's names; on the page those names stand for them."""

PLOT_AREA = (0.13, 0.115, 0.85, 0.865)
"""Left, bottom, width and height, 0 to 1: a fixed place is found faster than one that fits."""

_DASHES = ("-", "--")
_CURVE_POINTS = 300
_FAINT = 0.35
_BINS, _LEAST_IN_BIN = 8, 10
_BAND_COLUMNS = 800


def _drawn(label: str, x: str, y: str, draw: Callable[[Axes], object]) -> str:
    """Let `draw` fill axes with these names; returns an element of a page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ink, soft = _COLOURS["ink"], _COLOURS["soft"]
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "floppynet_vpr",
        "font.size": 9,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": _COLOURS["line"],
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _COLOURS["line"],
        "xtick.color": soft,
        "ytick.color": soft,
        "legend.framealpha": 0,
    }
    with rc_context(style):
        figure = Figure(figsize=(4.8, 4.1))
        axes = figure.add_axes(PLOT_AREA)
        axes.set(xlabel=x, ylabel=y)
        draw(axes)
        return _svg(figure, label)


def _svg(figure: Figure, label: str) -> str:
    out = StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    drawn = out.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    # Groups are numbered in every plot alike, and nothing refers to them.
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    for name, colour in _COLOURS.items():
        drawn = drawn.replace(colour, f"var(--{name})")
    view = re.search(r'viewBox="[^"]*"', drawn)
    head = f'<svg {view[0] if view else ""} role="img" aria-label="{escape(label)}">'
    return head + drawn[drawn.index(">") + 1 :].strip()


def precision_recall_plot(results: Sequence[Result]) -> str:
    """Precision over recall of every result, and the area below."""

    def draw(axes: Axes) -> None:
        for number, result in enumerate(results):
            curve = result.judgement.curve
            if not len(curve.recall):
                continue
            recall = np.concatenate(([0.0], curve.recall))
            precision = np.concatenate((curve.precision[:1], curve.precision))
            shown = np.unique(np.linspace(0, len(recall) - 1, _CURVE_POINTS).astype(int))
            axes.plot(
                recall[shown],
                precision[shown],
                _DASHES[number // SERIES % 2],
                color=_COLOURS[f"s{number % SERIES}"],
                label=_as_it_stands(f"{result.name}: {curve.area:.3f}"),
            )
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
        if axes.lines:
            axes.legend(title="area", loc="lower left")

    return _drawn("Precision over recall", "recall", "precision", draw)


def size_plot(results: Sequence[Result]) -> str:
    """S_P100 over the size of the model, on a logarithmic scale; all have a size."""

    def draw(axes: Axes) -> None:
        for number, result in enumerate(results):
            axes.semilogx(
                result.size_kib or 1.0,
                result.judgement.s_p100,
                "os"[number // SERIES % 2],
                color=_COLOURS[f"s{number % SERIES}"],
                label=_as_it_stands(result.name),
            )
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter("{x:,.0f}")
        axes.set_ylim(max(0, min(r.judgement.s_p100 for r in results) - 10), 102)
        axes.legend(loc="best")

    return _drawn("S_P100 over the size of the model", "size, KiB", "S_P100", draw)


def match_plot(result: Result) -> str:
    """The number of each query against that of its best match: right ones lie in the band."""
    pair, ids = result.pair, result.answers.ids[:, 0]
    label = "Best match of every query; the band is right"

    def draw(axes: Axes) -> None:
        from matplotlib.colors import ListedColormap

        queries, references = pair.truth.shape
        every = [-(-count // _BAND_COLUMNS) or 1 for count in pair.truth.shape]
        band = pair.truth[:: every[0], :: every[1]].T
        axes.imshow(
            np.where(band, 0.25, np.nan),
            cmap=ListedColormap([_COLOURS["accent"]]),
            alpha=0.3,
            origin="lower",
            aspect="auto",
            extent=(-0.5, queries - 0.5, -0.5, references - 0.5),
            interpolation="nearest",
        )
        _points(axes, result, ids.astype(np.float64))
        axes.set(xlim=(-0.5, queries - 0.5), ylim=(-0.5, references - 0.5))

    return _drawn(label, "query (number)", "best match (number)", draw)


def distance_plot(result: Result) -> str:
    """The distance to the best match, query by query, and the threshold in force."""
    answers = result.answers
    label = "Distance of every query to its best match, and the threshold"

    def draw(axes: Axes) -> None:
        _points(axes, result, answers.nearest)
        limits = answers.thresholds
        if limits is not None and np.nanmin(limits, initial=ANY_DISTANCE) < ANY_DISTANCE:
            axes.plot(limits, "--", color=_COLOURS["accent"], label="threshold")
            axes.legend(loc="best")

    return _drawn(label, "query (number)", "distance to the best match", draw)


def reliability_plot(result: Result) -> str:
    """The share of right matches among those of about the same score; the diagonal is ideal."""
    label = "Share of right matches over their score"

    def draw(axes: Axes) -> None:
        axes.plot((0, 1), (0, 1), "--", color=_COLOURS["accent"])
        bins = score_bins(result)
        axes.plot([b.score for b in bins], [b.right for b in bins], "o", color=_COLOURS["right"])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))

    return _drawn(label, "score of the best match", "share of right ones", draw)


@dataclass(frozen=True)
class ScoreBin:
    """Best matches of about the same score: its mean, the share that is right, their number."""

    score: float
    right: float
    count: int


def score_bins(result: Result) -> list[ScoreBin]:
    """Sort the best matches by score into up to 8 bins of equal number, 10 or more each."""
    scores = result.answers.scores
    if scores is None:
        return []
    order = np.argsort(scores)[: np.count_nonzero(np.isfinite(scores))]
    bins = min(_BINS, len(order) // _LEAST_IN_BIN)
    right = result.judgement.is_right
    return [
        ScoreBin(float(scores[part].mean()), float(right[part].mean()), len(part))
        for part in (np.array_split(order, bins) if bins else [])
    ]


def _points(axes: Axes, result: Result, heights: NDArray[np.float64]) -> None:
    """A disc for a right match and a cross for a wrong one, faint where nothing was detected."""
    matched = result.answers.ids[:, 0] >= 0
    right, detected = result.judgement.is_right, result.answers.detected
    firm = np.ones(len(matched), bool) if detected is None else detected
    for chosen, mark, colour in (
        (matched & right, ".", _COLOURS["right"]),
        (matched & ~right, "x", _COLOURS["wrong"]),
    ):
        for which, alpha in ((chosen & firm, 1.0), (chosen & ~firm, _FAINT)):
            at = np.flatnonzero(which)
            axes.plot(at, heights[at], mark, color=colour, alpha=alpha, markersize=5)


def _as_it_stands(name: str) -> str:
    """A name that is neither taken for a formula nor left out of the key."""
    return (" " + name if name.startswith("_") else name).replace("$", r"\$")
