# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Plots that compare networks and layers, as inline SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

import numpy as np

from floppynet_vpr.evaluation.experiment import Result
from floppynet_vpr.evaluation.plots import Axes, svg
from floppynet_vpr.evaluation.scores import nearest_is_right

SERIES = 6
"""How many results can be told apart by colour; dashes tell the next as many."""

_COLUMNS = 400
_CURVE_POINTS = 300
_LINE = 15.0


def precision_recall_plot(results: Sequence[Result]) -> str:
    """Precision over recall of every result."""
    axes = Axes(460, 400, (0, 1), (0, 1))
    parts = [axes.clip, *axes.frame("recall", "precision")]
    for number, result in enumerate(results):
        recall = np.concatenate(([0.0], result.curve.recall))
        precision = np.concatenate((result.curve.precision[:1], result.curve.precision))
        if len(recall) == 1:
            continue
        step = max(1, len(recall) // _CURVE_POINTS)
        shown = sorted({*range(0, len(recall), step), len(recall) - 1})
        points = " ".join(f"{axes.x(recall[i]):.1f},{axes.y(precision[i]):.1f}" for i in shown)
        parts.append(
            f'<polyline class="curve s{number % SERIES}"{_dashes(number)} '
            f'clip-path="url(#area)" points="{points}"><title>{escape(result.name)}</title>'
            "</polyline>"
        )
    return svg(axes, parts, "Precision over recall")


def keys(results: Sequence[Result]) -> str:
    """The key of the colours, with the area below each curve."""
    items = []
    for number, result in enumerate(results):
        line = (
            f'<svg viewBox="0 0 26 8"><path class="curve s{number % SERIES}"{_dashes(number)} '
            'd="M1 4H25"/></svg>'
        )
        items.append(f"<li>{line}{escape(result.name)}: {result.scores.auc_pr:.3f}</li>")
    return f'<ul class="keys">{"".join(items)}</ul>'


def size_plot(results: Sequence[Result]) -> str:
    """S_P100 over the size of the model, on a logarithmic scale; all have a size."""
    exponents = [log10(result.size_kib or 1) for result in results]
    low, high = floor(min(exponents)), max(ceil(max(exponents)), floor(min(exponents)) + 1)
    marks = [(float(e), f"{10.0**e:,.0f}") for e in range(low, high + 1)]
    bottom = 10.0 * floor(min(result.scores.s_p100 for result in results) / 10)
    axes = Axes(460, 400, (low, high), (max(0.0, bottom - 10), 100), marks)
    heights = _apart([axes.y(result.scores.s_p100) for result in results])
    dots, names = [], []
    for number, (result, exponent) in enumerate(zip(results, exponents, strict=True)):
        x, y, beside = axes.x(exponent), axes.y(result.scores.s_p100), heights[number]
        # To the side where there is more room.
        side = -1 if exponent > (low + high) / 2 else 1
        dots.append(
            f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{x + 14 * side:.1f}" '
            f'y2="{beside:.1f}"/>'
            f'<circle class="dot s{number % SERIES}" cx="{x:.1f}" cy="{y:.1f}" r="5.5">'
            f"<title>{escape(result.name)}: {result.scores.s_p100:.1f}, "
            f"{result.size_kib:,.1f} KiB</title></circle>"
        )
        names.append(
            f'<text class="halo" x="{x + 16 * side:.1f}" y="{beside + 4:.1f}" '
            f'text-anchor="{"end" if side < 0 else "start"}">{escape(result.name)}</text>'
        )
    parts = [*axes.frame("size of the model, KiB", "S_P100"), *dots, *names]
    return svg(axes, parts, "S_P100 over the size of the model")


def _apart(heights: Sequence[float]) -> list[float]:
    """Heights for names, moved down as little as keeps their lines apart."""
    moved = list(heights)
    last = -_LINE
    for number in sorted(range(len(heights)), key=lambda n: heights[n]):
        moved[number] = last = max(heights[number], last + _LINE)
    return moved


def retrieval_plot(result: Result) -> str:
    """The number of each query against that of its nearest reference, right or wrong."""
    pair = result.pair
    queries, references = len(pair.query), len(pair.reference)
    axes = Axes(460, 400, (0, max(queries - 1, 1)), (0, max(references - 1, 1)))
    parts = [axes.clip, *axes.frame("query (number)", "nearest reference (number)")]
    columns = np.unique(np.linspace(0, queries - 1, min(queries, _COLUMNS)).astype(int))
    runs = []
    for column in columns.tolist():
        row = np.concatenate(([0], pair.truth[column].astype(np.int8), [0]))
        edges = np.flatnonzero(np.diff(row))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            runs.append(f"M{axes.x(column):.1f} {axes.y(start - 0.5):.1f}V{axes.y(end - 0.5):.1f}")
    width = max(1.0, (axes.x(1) - axes.x(0)) * queries / len(columns))
    parts.append(
        f'<path class="truth" clip-path="url(#area)" stroke-width="{width:.2f}" '
        f'd="{"".join(runs)}"/>'
    )
    nearest = result.retrieval.ids[:, 0].tolist()
    right = nearest_is_right(result.retrieval.ids, pair.truth).tolist()
    points, crosses = [], []
    for query, (found, correct) in enumerate(zip(nearest, right, strict=True)):
        if found < 0:
            continue
        x, y = f"{axes.x(query):.1f}", f"{axes.y(found):.1f}"
        if correct:
            points.append(f"M{x} {y}h0")
        else:
            crosses.append(f"M{x} {y}m-2.4-2.4l4.8 4.8m0-4.8l-4.8 4.8")
    parts.append(f'<path class="crosses" d="{"".join(crosses)}"/>')
    parts.append(f'<path class="points" d="{"".join(points)}"/>')
    return svg(axes, parts, "Nearest reference of every query; the band is right")


def _dashes(number: int) -> str:
    return "" if number < SERIES else f' stroke-dasharray="{2 + 3 * (number // SERIES)} 4"'
