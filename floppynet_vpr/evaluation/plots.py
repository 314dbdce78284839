# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Small plots as inline SVG: what was matched to what, how near it was, what scores are worth.

They take their colours from the page's style sheet, so they follow it into the dark; right and
wrong differ in shape as well as in colour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from statistics import fmean

from floppynet_vpr.evaluation.answers import Outcome, Trial
from floppynet_vpr.evaluation.figures import offset_text

_BINS, _LEAST_IN_BIN = 8, 10
_LEFT, _TOP, _RIGHT, _BOTTOM = 54.0, 14.0, 24.0, 44.0


@dataclass(frozen=True)
class Axes:
    """A plot area in SVG units, and the range of values it shows."""

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: Sequence[tuple[float, str]] | None = None

    @property
    def clip(self) -> str:
        """A clip path `area` that keeps shapes inside the plot."""
        return (
            f'<clipPath id="area"><rect x="{_LEFT}" y="{_TOP}" '
            f'width="{self.width - _LEFT - _RIGHT}" height="{self.height - _TOP - _BOTTOM}"/>'
            "</clipPath>"
        )

    def x(self, value: float) -> float:
        """Where a value lies, in SVG units from the left."""
        low, high = self.x_range
        return _LEFT + (value - low) / (high - low) * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Where a value lies, in SVG units from the top."""
        low, high = self.y_range
        return self.height - _BOTTOM - (value - low) / (high - low) * (self.height - _TOP - _BOTTOM)

    def frame(self, x_label: str, y_label: str) -> list[str]:
        """Grid lines, tick labels and axis titles."""
        parts = []
        left, right = self.x(self.x_range[0]), self.x(self.x_range[1])
        bottom, top = self.y(self.y_range[0]), self.y(self.y_range[1])
        marks = self.x_ticks or [(value, f"{value:g}") for value in ticks(*self.x_range)]
        for value, mark in marks:
            x = f"{self.x(value):.1f}"
            parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
            parts.append(f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{mark}</text>')
        for value in ticks(*self.y_range):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = (left + right) / 2
        parts.append(
            f'<text class="axis" x="{middle}" y="{self.height - 6}" text-anchor="middle">'
            f"{escape(x_label)}</text>"
        )
        at = f"{(top + bottom) / 2:.1f}"
        parts.append(
            f'<text class="axis" transform="translate(13 {at}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>"
        )
        return parts


def match_plot(trial: Trial) -> str:
    """Where each query was taken against where its match was: right ones lie in the band."""
    unit = "m" if trial.queries.unit == "m" else "frame"
    at, there = trial.queries.positions, trial.references.positions
    low = min(min(at), min(there))
    high = max(max(at), max(there), low + 1)
    axes = Axes(460, 400, (low, high), (low, high))
    t = trial.tolerance
    corners = [(low, low - t), (low, low + t), (high, high + t), (high, high - t)]
    band = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in corners)
    parts = [axes.clip, *axes.frame(f"query taken at ({unit})", f"matched place ({unit})")]
    parts.append(f'<polygon class="band" clip-path="url(#area)" points="{band}"/>')
    parts += _points(
        trial,
        lambda outcome: axes.x(at[outcome.query]),
        lambda outcome: axes.y(there[outcome.match or 0]),
    )
    return svg(axes, parts, "Matched place of every query; right ones lie on the diagonal")


def distance_plot(trial: Trial) -> str:
    """The distance to the nearest place, query by query, and the threshold in force."""
    distances = [o.distance for o in trial.outcomes if o.distance is not None]
    shown = [*distances, *([trial.threshold] if trial.threshold is not None else [])] or [0.0, 1.0]
    low, high = min(shown), max(shown)
    margin = max(0.02, 0.1 * (high - low))
    axes = Axes(
        460, 400, (0, max(len(trial) - 1, 1)), (max(0.0, low - margin), min(2.0, high + margin))
    )
    parts = axes.frame("query (number)", "distance to the nearest place")
    parts += _points(
        trial,
        lambda outcome: axes.x(outcome.query),
        lambda outcome: axes.y(outcome.distance or 0.0),
    )
    if trial.threshold is not None:
        y = f"{axes.y(trial.threshold):.1f}"
        right = axes.width - _RIGHT
        parts.append(f'<line class="threshold" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="halo" x="{right - 4}" y="{float(y) - 6:.1f}" text-anchor="end">'
            f"threshold {trial.threshold:g}: detected below</text>"
        )
    return svg(axes, parts, "Distance of every query to its nearest place, and the threshold")


@dataclass(frozen=True)
class ScoreBin:
    """Best matches of about the same score: its mean, the share that is right, their number."""

    score: float
    right: float
    count: int


def score_bins(trial: Trial) -> list[ScoreBin]:
    """Sort the best matches by score into up to 8 bins of equal number, 10 or more each."""
    scored = sorted(
        (outcome.answer.candidates[0].score, outcome.right)
        for outcome in trial.outcomes
        if outcome.answer is not None and outcome.match is not None
    )
    bins = min(_BINS, len(scored) // _LEAST_IN_BIN)
    edges = [index * len(scored) // bins for index in range(bins + 1)] if bins else []
    groups = [scored[first:end] for first, end in pairwise(edges)]
    return [
        ScoreBin(fmean(score for score, _ in group), fmean(r for _, r in group), len(group))
        for group in groups
    ]


def reliability_plot(trial: Trial) -> str:
    """The share of right matches among those of about the same score; the diagonal is ideal."""
    axes = Axes(460, 400, (0, 1), (0, 1))
    parts = axes.frame("score of the best match", "share of right ones")
    corners = [
        f'{name}{end}="{value:.1f}"'
        for end, at in ((1, 0), (2, 1))
        for name, value in (("x", axes.x(at)), ("y", axes.y(at)))
    ]
    parts.append(f'<line class="threshold" {" ".join(corners)}/>')
    for known in score_bins(trial):
        told = f"{known.count} matches of score {known.score:.2f}: {100 * known.right:.0f} % right"
        parts.append(
            f'<circle class="right" cx="{axes.x(known.score):.1f}" '
            f'cy="{axes.y(known.right):.1f}" r="5"><title>{escape(told)}</title></circle>'
        )
    return svg(axes, parts, "Share of right matches over their score")


def ticks(low: float, high: float, about: int = 6) -> Sequence[float]:
    """Round numbers between low and high, about as many as asked for."""
    rough = (high - low) / about
    magnitude = 10.0 ** floor(log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _points(
    trial: Trial, x: Callable[[Outcome], float], y: Callable[[Outcome], float]
) -> list[str]:
    """A disc for a right match and a cross for a wrong one, faint where nothing was detected."""
    parts = []
    for outcome in sorted(trial.outcomes, key=lambda o: not o.right):
        if outcome.match is None or outcome.distance is None:
            continue
        u, v = f"{x(outcome):.1f}", f"{y(outcome):.1f}"
        kind = "right" if outcome.right else "wrong"
        faint = "" if outcome.detected else " faint"
        shape = (
            f'<circle class="{kind}{faint}" cx="{u}" cy="{v}" r="3.4">'
            if outcome.right
            else f'<path class="{kind}{faint}" d="M{u} {v}m-3.6-3.6l7.2 7.2m0-7.2l-7.2 7.2">'
        )
        told = (
            f"query {outcome.query} > place {outcome.match}, distance {outcome.distance:.3f}, "
            f"{kind}, {offset_text(outcome.off, trial.queries.unit)}"
        )
        end = "</circle>" if outcome.right else "</path>"
        parts.append(f"{shape}<title>{escape(told)}</title>{end}")
    return parts


def svg(axes: Axes, parts: Sequence[str], label: str) -> str:
    """The plot as an element of a page; `label` is for readers that do not see it."""
    return (
        f'<svg viewBox="0 0 {axes.width} {axes.height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )
