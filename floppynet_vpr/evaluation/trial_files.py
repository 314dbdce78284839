# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Writes down what a trial found: lines for the terminal, JSON for machines, picture and page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.datasets.traverses import TraverseBag
from floppynet_vpr.evaluation.answers import Outcome, Trial
from floppynet_vpr.evaluation.figures import (
    choose_pairs,
    describe_pair,
    encode_png,
    match_picture,
)
from floppynet_vpr.evaluation.report import html_report, tolerance_text


def summary_lines(trial: Trial, latency_ms: tuple[float, float] | None) -> list[str]:
    """The result in a few lines of text."""
    low, high = trial.s_p100_interval
    found = trial.detections
    announced = found.right + found.wrong
    answered = len(trial) - len(trial.missing)
    lines = [
        f"answered       {answered} of {len(trial)} queries",
        f"places found   {trial.right} of {len(trial)} within {tolerance_text(trial)}",
        f"S_P100         {trial.s_p100:.1f} (95 % interval {low:.1f} to {high:.1f})",
    ]
    if trial.threshold is not None:
        lines.append(f"loop closures  {announced} detected at threshold {trial.threshold:g}")
    if found.precision is not None:
        lines.append(f"  precision    {100 * found.precision:.1f} % ({found.right} right)")
    if found.recall is not None:
        there = found.right + found.missed
        lines.append(f"  recall       {100 * found.recall:.1f} % of the {there} there")
    if trial.rate_hz is not None:
        lines.append(f"rate           {trial.rate_hz:.1f} answers per second")
    if latency_ms is not None:
        lines.append(f"latency        {latency_ms[0]:.1f} ms median, {latency_ms[1]:.1f} ms p99")
    return lines


def trial_content(
    trial: Trial,
    latency_ms: tuple[float, float] | None = None,
    diagnostics: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything about a trial as plain JSON values: summary, then query by query."""
    found = trial.detections
    return {
        "summary": {
            "queries": len(trial),
            "answered": len(trial) - len(trial.missing),
            "missing": trial.missing,
            "references": len(trial.references),
            "tolerance": trial.tolerance,
            "unit": trial.queries.unit,
            "right": trial.right,
            "s_p100": trial.s_p100,
            "s_p100_interval_95": list(trial.s_p100_interval),
            "threshold": trial.threshold,
            "detected_right": found.right,
            "detected_wrong": found.wrong,
            "missed": found.missed,
            "precision": found.precision,
            "recall": found.recall,
            "rate_hz": trial.rate_hz,
            "latency_ms": None
            if latency_ms is None
            else {"p50": latency_ms[0], "p99": latency_ms[1]},
        },
        "diagnostics": dict(diagnostics or {}),
        "queries": [_query_content(trial, outcome) for outcome in trial.outcomes],
    }


def _query_content(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    match = outcome.match
    return {
        "query": outcome.query,
        "name": trial.queries.names[outcome.query],
        "position": trial.queries.positions[outcome.query],
        "match": match,
        "match_name": None if match is None else trial.references.names[match],
        "match_position": None if match is None else trial.references.positions[match],
        "off": outcome.off,
        "right": outcome.right,
        "loop_closure": None if outcome.answer is None else asdict(outcome.answer),
    }


def write_pages(
    trial: Trial,
    bags: tuple[TraverseBag, TraverseBag],
    output: Path,
    *,
    title: str,
    latency_ms: tuple[float, float] | None = None,
    facts: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write matches.png (if there are matches) and report.html into `output`; returns their paths.

    `bags` are the reference and the query drive, where the images are taken from.
    """
    chosen = choose_pairs(trial)
    written = []
    picture = None
    if chosen:
        places = _frames(bags[0].path, [o.match for o in chosen if o.match is not None])
        asked = _frames(bags[1].path, [o.query for o in chosen])
        pairs = [
            describe_pair(trial, o, asked[o.query], places[o.match])
            for o in chosen
            if o.match is not None
        ]
        picture = match_picture(pairs, title=f"{title}: S_P100 {trial.s_p100:.1f}")
        written.append(output / "matches.png")
        written[-1].write_bytes(encode_png(picture))
    page = html_report(trial, title=title, picture=picture, latency_ms=latency_ms, facts=facts)
    written.append(output / "report.html")
    written[-1].write_text(page, "utf-8")
    return written


def _frames(bag: Path, indices: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """The images of a bag with these numbers."""
    wanted = set(indices)
    return {index: f.rgb for index, f in enumerate(open_source(bag)) if index in wanted}
