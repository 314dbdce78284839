# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Results as CSV for spreadsheets and as JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from floppynet_vpr.evaluation.answers import DISTANCE
from floppynet_vpr.evaluation.judgement import RECALL_AT
from floppynet_vpr.evaluation.measures import PrecisionRecallCurve
from floppynet_vpr.evaluation.paper_scores import QUERIES, S_P100
from floppynet_vpr.evaluation.results import Result

Cell = str | float | int | None


def csv_text(results: Sequence[Result]) -> str:
    """A line for each result, all figures in full."""
    out = io.StringIO()
    rows = [figures(result) for result in results]
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def json_text(results: Sequence[Result]) -> str:
    """Everything but the images: figures, curves, and query by query what was found."""
    content = [
        {
            **_retrieval(result),
            "detection": _detection(result),
            "precision_recall": _curve(result, result.judgement.curve),
            "facts": dict(result.facts),
            "missing": list(result.answers.missing),
            "by_query": [_query(result, row) for row in range(len(result.answers))],
        }
        for result in results
    ]
    return json.dumps(content, indent=1) + "\n"


def figures(result: Result) -> dict[str, Cell]:
    """All figures of a result by name; every result has the same, None where there is none."""
    found = _detection(result) or {}
    numbers = {f"detection_{name}": found.get(name) for name in _DETECTION}
    return {**_retrieval(result), **numbers}


def _retrieval(result: Result) -> dict[str, Cell]:
    pair, judgement = result.pair, result.judgement
    printed = None
    if QUERIES.get(pair.dataset) == pair.query.label:
        printed = S_P100.get((result.network, result.layer), {}).get(pair.dataset)
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
        "s_p100_of_the_paper": printed,
        **{f"recall_at_{n}": judgement.recall_at.get(n) for n in RECALL_AT},
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


_DETECTION = (
    *("precision", "recall", "recall_at_100_precision", "detected", "queries", "revisits"),
    *("right", "wrong", "wrong_per_1000_unseen", "wrong_per_km_unseen"),
    *("median_delay_images", "runs_never_found"),
)


def _detection(result: Result) -> dict[str, Any] | None:
    found = result.judgement.detections
    if found is None:
        return None
    numbers = (
        *(found.precision, found.recall, found.recall_at_full_precision),
        *(found.detected, found.queries, found.revisits, found.right, found.wrong),
        *(found.wrong_per_1000_unseen, found.wrong_per_km_unseen),
        *(found.median_delay, found.delays.count(None)),
    )
    return {
        **dict(zip(_DETECTION, numbers, strict=True)),
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
