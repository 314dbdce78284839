# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of results as tables: their columns, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from floppynet_vpr.evaluation.judgement import CONVENTIONS
from floppynet_vpr.evaluation.result_files import Cell, figures
from floppynet_vpr.evaluation.results import Result, results_by_pair


class Column(NamedTuple):
    """A column of the tables: its name, which of the `figures` it shows, how, and what it says."""

    name: str
    figure: str
    shown: str
    says: str

    def cell(self, told: dict[str, Cell]) -> str:
        """The figure as text, shares (0 to 1) in percent; empty where there is none."""
        value = told[self.figure]
        if value is None or isinstance(value, str):
            return value or ""
        return f"{value:{self.shown}}".rstrip("%")


WHO = (Column("network", "network", "", ""), Column("layer", "layer", "", ""))
BEST = Column("S_P100", "s_p100", ".1f", "100 x queries whose best match is right / queries")
_JUDGED = (
    BEST,
    Column("95 %", "s_p100_low_95", ".1f", "where Wilson's interval of S_P100 begins"),
    Column("to", "s_p100_high_95", ".1f", "where it ends"),
    Column("paper", "s_p100_of_the_paper", "g", "S_P100 that the paper prints"),
    Column("R@5", "recall_at_5", ".1%", "a right reference among the 5 best, percent"),
    Column("R@10", "recall_at_10", ".1%", "a right reference among the 10 best, percent"),
    Column("AUC-PR", "auc_pr", ".3f", "area below the curve of precision over recall"),
    Column("R@100P", "recall_at_100_precision", ".3f", "largest recall without a wrong match"),
    Column("EP", "extended_precision", ".3f", "extended precision"),
    Column("lost", "longest_stretch", "d", "longest run of queries whose best match is wrong"),
)
RETRIEVED = (
    *_JUDGED,
    Column("KiB", "size_kib", ",.1f", "size of the model up to the layer"),
    Column("eta_m", "eta_m", ",.2f", "KiB / S_P100, lower is better"),
    Column("B/place", "bytes_per_place", ",d", "bytes that a map keeps of a place"),
    Column("extract", "extraction_ms", ",.2f", "median time for one image, ms"),
    Column("search", "search_ms", ",.2f", "median time of one answer, ms"),
)
DETECTED = (
    Column("detected", "detection_detected", "d", "loop closures detected"),
    Column("precision", "detection_precision", ".1%", "of these right, percent"),
    Column("recall", "detection_recall", ".1%", "rightly detected of the revisits, percent"),
    Column(
        "recall at 100 %",
        "detection_recall_at_100_precision",
        ".1%",
        "recall with the limit that accepts most and nothing wrong, percent",
    ),
    Column("revisits", "detection_revisits", "d", "images of places seen before"),
    Column(
        "delay",
        "detection_median_delay_images",
        ".0f",
        "images from the first of a run of revisits to its first detection, median",
    ),
    Column("never", "detection_runs_never_found", "d", "runs of revisits without a detection"),
    Column(
        "false/1,000",
        "detection_wrong_per_1000_unseen",
        ",.1f",
        "false closures per 1,000 images of places never seen",
    ),
    Column(
        "false/km",
        "detection_wrong_per_km_unseen",
        ",.2f",
        "false closures per km of places never seen",
    ),
)


def text_tables(results: Sequence[Result]) -> str:
    """For each pair what its figures rest on, what was retrieved, and what was detected."""
    parts = []
    for name, group in results_by_pair(results).items():
        parts.append(f"{name}\n{basis(group[0])}")
        told = [_told(result) for result in group]
        parts.append(_table(told, (*WHO, *RETRIEVED)))
        detecting = [row for row in told if row["detection_detected"] is not None]
        if detecting:
            parts.append(_table(detecting, (*WHO, BEST, *DETECTED)))
        for result in group:
            lines = [f"{fact}: {value}" for fact, value in result.facts.items()]
            missing, queries = len(result.answers.missing), len(result.answers)
            if missing:
                lines.append(f"warning: {missing} of {queries} queries got no answer")
            if lines:
                parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _told(result: Result) -> dict[str, Cell]:
    """The figures of a result, but those of best matches where there is no query to judge."""
    told = figures(result)
    return told if told["queries"] else told | {column.figure: None for column in _JUDGED}


def _table(told: Sequence[dict[str, Cell]], columns: Sequence[Column]) -> str:
    """The columns that say something of any of the results."""
    filled = [[column.name, *(column.cell(row) for row in told)] for column in columns]
    return layout(list(zip(*(column for column in filled if any(column[1:])), strict=True)))


def basis(result: Result) -> str:
    """What the figures of a pair rest on, in a sentence or two."""
    pair, judgement = result.pair, result.judgement
    text = (
        f"{judgement.queries} queries, {len(pair.reference)} references; the same place: "
        f"{pair.rule}"
    )
    if judgement.unanswerable:
        text += (
            f"; {judgement.unanswerable} queries have no right reference "
            f"({CONVENTIONS[judgement.convention]})"
        )
    return text


def layout(rows: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """Lines of a table, its head first: the first column flush left, the others flush right."""
    if markdown:
        rule = ["---", *["---:"] * (len(rows[0]) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
