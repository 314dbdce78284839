# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a result: queries beside their best matches, and the matrix of distances."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.traverse import Traverse
from floppynet_vpr.evaluation.plots import PLOT_AREA
from floppynet_vpr.evaluation.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RIGHT, _WRONG = "#16874a", "#c8312b"
_COLUMNS = 2
_WIDTH, _GAP, _CAPTION = 11.0, 0.08, 0.28  # inches


def telling_queries(result: Result, right: int = 6, wrong: int = 2) -> list[int]:
    """Queries worth a look, ascending: the surest right ones and the surest wrong ones.

    Each are taken from as many equal parts of the traverse, so that not all show one place.
    """
    surest = result.answers.sureness
    is_right = result.judgement.is_right
    matched = result.answers.ids[:, 0] >= 0
    chosen: list[int] = []
    for wanted, count in ((matched & is_right, right), (matched & ~is_right, wrong)):
        for part in np.array_split(np.arange(len(matched)), count):
            candidates = part[wanted[part]]
            if len(candidates):
                chosen.append(int(candidates[np.argmax(surest[candidates])]))
    return sorted(chosen)


def match_figure(result: Result, title: str = "") -> Figure | None:
    """The telling queries, each beside its best match: framed green if right, red if wrong.

    None without matches; raises VprError when an image cannot be read again.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    queries = telling_queries(result)
    if not queries:
        return None
    answers = result.answers
    matches = answers.ids[queries, 0].tolist()
    asked, known = _images(result.pair.query, queries), _images(result.pair.reference, matches)
    rows = -(-len(queries) // _COLUMNS)
    wide = (_WIDTH - _GAP) / (2 * _COLUMNS)
    tallest = max(image.shape[0] / image.shape[1] for image in (*asked.values(), *known.values()))
    tall, head = wide * min(tallest, 1.5) + _CAPTION, 0.4 * bool(title)
    height = head + rows * tall
    figure = Figure(figsize=(_WIDTH, height), dpi=110)
    if title:
        figure.text(_GAP / _WIDTH, 1 - 0.25 / height, title.replace("$", r"\$"), fontsize=13)
    for number, (query, match) in enumerate(zip(queries, matches, strict=True)):
        row, column = divmod(number, _COLUMNS)
        right = bool(result.judgement.is_right[query])
        flag = ""
        if answers.detected is not None:
            flag = ", detected" if answers.detected[query] else ", nothing detected"
        off = offset_text(result.pair.off(query, match), result.pair.unit)
        captions = (
            f"query {query}: {'right' if right else 'wrong'}, {off}",
            f"place {match}: distance {answers.nearest[query]:.3f}{flag}",
        )
        top = 1 - (head + row * tall + _CAPTION) / height
        for side, image in enumerate((asked[query], known[match])):
            left = (_GAP + (2 * column + side) * wide) / _WIDTH
            deep = (tall - _CAPTION) / height
            axes = figure.add_axes((left, top - deep, (wide - _GAP) / _WIDTH, deep), anchor="NW")
            axes.imshow(image)
            axes.set_axis_off()
            axes.set_title(captions[side], fontsize=9, loc="left")
            colour = _RIGHT if right else _WRONG
            frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, clip_on=False)
            frame.set(edgecolor=colour, linewidth=4)
            axes.add_patch(frame)
    return figure


def matrix_figure(result: Result) -> Figure | None:
    """The distances of queries and references, bright: alike; None where they were not computed."""
    from matplotlib.figure import Figure

    if result.distances is None or not result.distances.size:
        return None
    near, far = np.percentile(result.distances, [0.2, 99])
    figure = Figure(figsize=(4.8, 4.1), dpi=130)
    axes = figure.add_axes(PLOT_AREA)
    queries, references = result.pair.truth.shape
    axes.imshow(
        result.distances.T,
        cmap="viridis_r",
        vmin=near,
        vmax=max(far, near + 1e-9),
        origin="lower",
        aspect="auto",
        extent=(-0.5, queries - 0.5, -0.5, references - 0.5),
        interpolation="nearest",
    )
    axes.set(xlabel="query (number)", ylabel="reference (number)")
    return figure


def encoded(figure: Figure, kind: str, **more: Any) -> bytes:
    """A figure as the content of a file: `kind` is jpg or png."""
    out = BytesIO()
    figure.savefig(out, format=kind, **more)
    return out.getvalue()


def offset_text(off: float | None, unit: str) -> str:
    """How far a match is from the truth, for people."""
    if off is None:
        return "a place never seen"
    if unit == "m":
        return f"{off:.1f} m off"
    return f"{off:.0f} frame{'' if off == 1 else 's'} off"


def _images(traverse: Traverse, positions: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """The images at these positions of a traverse."""
    wanted = sorted(set(positions))
    frames = traverse.only(wanted).frames()
    return {position: frame.rgb for position, frame in zip(wanted, frames, strict=True)}
