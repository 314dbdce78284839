# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Results for the terminal, as CSV for spreadsheets and as JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from floppynet_vpr.evaluation.answers import DISTANCE
from floppynet_vpr.evaluation.judgement import CONVENTIONS, Detections
from floppynet_vpr.evaluation.measures import PrecisionRecallCurve
from floppynet_vpr.evaluation.results import Result, results_by_pair

Cell = str | float | int | None


def text_tables(results: Sequence[Result]) -> str:
    """For each pair what its figures rest on, what was retrieved, and what was detected."""
    parts = []
    for name, group in results_by_pair(results).items():
        parts.append(f"{name}\n{basis(group[0])}")
        parts.append(layout([HEADER, *map(_cells, group)]))
        detecting = [result for result in group if result.judgement.detections]
        if detecting:
            parts.append(layout([DETECTION_HEADER, *map(_detection_cells, detecting)]))
        parts += [
            "\n".join(f"{fact}: {value}" for fact, value in result.facts.items())
            for result in group
            if result.facts
        ]
        parts += [
            f"warning: {len(result.answers.missing)} of {len(result.answers)} queries got no answer"
            for result in group
            if result.answers.missing
        ]
    return "\n\n".join(parts)


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


HEADER = (
    *("network", "layer", "S_P100", "95 %", "R@5", "R@10", "AUC-PR", "R@100P", "EP", "lost"),
    *("KiB", "eta_m", "B/place", "extract", "search"),
)
"""Columns of the terminal's table; times in ms."""

DETECTION_HEADER = (
    *("network", "layer", "best right %", "precision %", "recall %", "recall % at 100 %"),
    *("detected", "revisits", "delay", "false/1,000 unseen", "false/km unseen"),
)
"""Columns of what was detected: right best matches, then of the loop closures; delay in images."""


def _cells(result: Result) -> tuple[str, ...]:
    judgement = result.judgement
    low, high = judgement.interval
    return (
        result.network,
        result.layer,
        f"{judgement.s_p100:.1f}",
        f"{low:.1f}-{high:.1f}",
        *(percent(judgement.recall_at.get(n)) for n in (5, 10)),
        f"{judgement.curve.area:.3f}",
        f"{judgement.curve.recall_at_full_precision:.3f}",
        f"{judgement.curve.extended_precision:.3f}",
        str(judgement.longest_stretch),
        rounded(result.size_kib, 1),
        rounded(result.eta_m, 2),
        "" if result.bytes_per_place is None else str(result.bytes_per_place),
        rounded(result.extraction_ms, 2),
        rounded(result.search_ms, 2),
    )


def _detection_cells(result: Result) -> tuple[str, ...]:
    found = result.judgement.detections
    assert found is not None
    return (
        result.network,
        result.layer,
        f"{result.judgement.s_p100:.1f}",
        percent(found.precision),
        percent(found.recall),
        percent(found.recall_at_full_precision),
        str(found.detected),
        str(found.revisits),
        delay_text(found),
        rounded(found.wrong_per_1000_unseen, 1),
        rounded(found.wrong_per_km_unseen, 2),
    )


def delay_text(found: Detections) -> str:
    """The median delay, and of how many runs of revisits nothing was found."""
    never = sum(delay is None for delay in found.delays)
    return rounded(found.median_delay, 0) + (f" ({never} never)" if never else "")


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
    rows = []
    for result in results:
        found = _detection(result) or {}
        numbers = {f"detection_{k}": v for k, v in found.items() if not isinstance(v, (list, dict))}
        rows.append(_flat(result) | numbers)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def json_text(results: Sequence[Result]) -> str:
    """Everything but the images: figures, curves, and query by query what was found."""
    content = [
        {
            **_flat(result),
            "detection": _detection(result),
            "precision_recall": _curve(result, result.judgement.curve),
            "facts": dict(result.facts),
            "missing": list(result.answers.missing),
            "by_query": [_query(result, row) for row in range(len(result.answers))],
        }
        for result in results
    ]
    return json.dumps(content, indent=1) + "\n"


def _flat(result: Result) -> dict[str, Cell]:
    pair, judgement = result.pair, result.judgement
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
        "convention": judgement.convention,
        "queries": judgement.queries,
        "unanswerable": judgement.unanswerable,
        "references": len(pair.reference),
        "right": judgement.right,
        "s_p100": judgement.s_p100,
        "s_p100_low_95": judgement.interval[0],
        "s_p100_high_95": judgement.interval[1],
        **{f"recall_at_{n}": value for n, value in judgement.recall_at.items()},
        "auc_pr": judgement.curve.area,
        "recall_at_100_precision": judgement.curve.recall_at_full_precision,
        "extended_precision": judgement.curve.extended_precision,
        "longest_stretch": judgement.longest_stretch,
        "size_kib": result.size_kib,
        "eta_m": result.eta_m,
        "dimension": result.dimension,
        "bytes_per_place": result.bytes_per_place,
        "extraction_ms": result.extraction_ms,
        "search_ms": result.search_ms,
    }


def _detection(result: Result) -> dict[str, Any] | None:
    found = result.judgement.detections
    if found is None:
        return None
    return {
        "precision": found.precision,
        "recall": found.recall,
        "recall_at_100_precision": found.recall_at_full_precision,
        "detected": found.detected,
        "queries": found.queries,
        "revisits": found.revisits,
        "right": found.right,
        "wrong": found.wrong,
        "wrong_per_1000_unseen": found.wrong_per_1000_unseen,
        "wrong_per_km_unseen": found.wrong_per_km_unseen,
        "median_delay_images": found.median_delay,
        "delays_images": list(found.delays),
        "precision_recall": _curve(result, found.curve),
    }


def _curve(result: Result, curve: PrecisionRecallCurve) -> dict[str, Any]:
    measure = result.answers.ranked_by
    return {
        "measure": measure,
        "threshold": (-curve.thresholds if measure == DISTANCE else curve.thresholds).tolist(),
        "precision": curve.precision.tolist(),
        "recall": curve.recall.tolist(),
    }


def _query(result: Result, row: int) -> dict[str, Any]:
    pair, answers = result.pair, result.answers
    found = int(answers.ids[row, 0])
    content: dict[str, Any] = {
        "query": pair.query.names[row],
        "index": pair.query.indices[row],
        "match": None if found < 0 else pair.reference.names[found],
        "match_index": None if found < 0 else pair.reference.indices[found],
        "distance": None if found < 0 else round(float(answers.nearest[row]), 6),
        "off": None if found < 0 else pair.off(row, found),
        "unit": pair.unit,
        "right": bool(result.judgement.is_right[row]),
    }
    if answers.detected is not None and answers.scores is not None:
        content["score"] = None if found < 0 else round(float(answers.scores[row]), 6)
        content["detected"] = bool(answers.detected[row])
    return content


def percent(share: float | None) -> str:
    """A share (0 to 1) in percent; empty without one."""
    return "" if share is None else f"{100 * share:.1f}"


def rounded(value: float | None, digits: int) -> str:
    """A number with so many digits behind the point; empty without one."""
    return "" if value is None else f"{value:,.{digits}f}"
