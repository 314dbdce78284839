# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Results for the terminal, as CSV for spreadsheets and as JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from floppynet_vpr.evaluation.experiment import Result, results_by_pair
from floppynet_vpr.evaluation.scores import CONVENTIONS, nearest_distances, nearest_is_right

Cell = str | float | int | None


def text_tables(results: Sequence[Result]) -> str:
    """One table for each pair of drives, and what its figures rest on."""
    parts = []
    for name, group in results_by_pair(results).items():
        first = group[0]
        parts.append(f"{name}\n{basis(first)}\n\n{layout([HEADER, *map(_cells, group)])}")
    return "\n\n".join(parts)


def basis(result: Result) -> str:
    """What the figures of a pair rest on, in a sentence or two."""
    pair, scores = result.pair, result.scores
    text = (
        f"{scores.queries} queries, {len(pair.reference)} references; the same place: {pair.rule}"
    )
    if scores.unanswerable:
        text += (
            f"; {scores.unanswerable} queries have no right reference "
            f"({CONVENTIONS[scores.convention]})"
        )
    return text


HEADER = (
    *("network", "layer", "S_P100", "95 %", "R@5", "R@10", "AUC-PR", "R@100P", "EP", "lost"),
    *("KiB", "eta_m", "B/place", "extract", "search"),
)
"""Columns of the terminal's table; times in ms."""


def _cells(result: Result) -> tuple[str, ...]:
    scores = result.scores
    low, high = scores.interval
    return (
        result.network,
        result.layer,
        f"{scores.s_p100:.1f}",
        f"{low:.1f}-{high:.1f}",
        *(_share(scores.recall_at.get(n)) for n in (5, 10)),
        f"{scores.auc_pr:.3f}",
        f"{scores.recall_at_full_precision:.3f}",
        f"{scores.extended_precision:.3f}",
        str(scores.longest_stretch),
        _rounded(result.size_kib, 1),
        _rounded(result.eta_m, 2),
        "" if result.bytes_per_place is None else str(result.bytes_per_place),
        _rounded(result.extraction_ms, 2),
        _rounded(result.search_ms, 2),
    )


def layout(rows: Sequence[Sequence[str]], left: int = 2) -> str:
    """Lines of a table whose first `left` columns are flush left, the others flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def csv_text(results: Sequence[Result]) -> str:
    """A line for each result, all figures in full."""
    out = io.StringIO()
    rows = [_flat(result) for result in results]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def json_text(results: Sequence[Result]) -> str:
    """Everything but the images: figures, the curve, and query by query what was found."""
    return json.dumps([_content(result) for result in results], indent=1) + "\n"


def _flat(result: Result) -> dict[str, Cell]:
    pair, scores = result.pair, result.scores
    return {
        "dataset": pair.dataset,
        "query": pair.query.label,
        "reference": pair.reference.label,
        "layout": pair.layout,
        "truth": pair.rule,
        "network": result.network,
        "layer": result.layer,
        "computed_by": result.how,
        "storage": result.storage,
        "convention": scores.convention,
        "queries": scores.queries,
        "unanswerable": scores.unanswerable,
        "references": len(pair.reference),
        "right": scores.right,
        "s_p100": scores.s_p100,
        "s_p100_low_95": scores.interval[0],
        "s_p100_high_95": scores.interval[1],
        **{f"recall_at_{n}": value for n, value in scores.recall_at.items()},
        "auc_pr": scores.auc_pr,
        "recall_at_100_precision": scores.recall_at_full_precision,
        "extended_precision": scores.extended_precision,
        "longest_stretch": scores.longest_stretch,
        "size_kib": result.size_kib,
        "eta_m": result.eta_m,
        "dimension": result.dimension,
        "bytes_per_place": result.bytes_per_place,
        "extraction_ms": result.extraction_ms,
        "search_ms": result.search_ms,
    }


def _content(result: Result) -> dict[str, Any]:
    pair = result.pair
    right = nearest_is_right(result.retrieval.ids, pair.truth)
    distances = nearest_distances(result.retrieval)
    queries = [
        {
            "query": pair.query.names[row],
            "index": pair.query.indices[row],
            "match": None if found < 0 else pair.reference.names[found],
            "match_index": None if found < 0 else pair.reference.indices[found],
            "distance": None if found < 0 else round(float(distances[row]), 6),
            "right": bool(right[row]),
        }
        for row, found in enumerate(result.retrieval.ids[:, 0].tolist())
    ]
    curve = {
        "threshold": result.curve.thresholds.tolist(),
        "precision": result.curve.precision.tolist(),
        "recall": result.curve.recall.tolist(),
    }
    return {**_flat(result), "precision_recall": curve, "by_query": queries}


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _rounded(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
