# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The figures of results as tables: their columns, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from floppynet_vpr.evaluation.judgement import CONVENTIONS, Detections
from floppynet_vpr.evaluation.paper_scores import QUERIES, S_P100
from floppynet_vpr.evaluation.results import Result, results_by_pair


@dataclass(frozen=True)
class Column:
    """A column of the tables: its name, what it says in words, and the cell of a result."""

    name: str
    says: str
    cell: Callable[[Result], str]


def _of_detections(cell: Callable[[Detections], str]) -> Callable[[Result], str]:
    def of_result(result: Result) -> str:
        found = result.judgement.detections
        return "" if found is None else cell(found)

    return of_result


def _interval(result: Result) -> str:
    low, high = result.judgement.interval
    return f"{low:.1f}-{high:.1f}"


def _printed(result: Result) -> str:
    """S_P100 as the paper prints it, for its own pairs."""
    if QUERIES.get(result.pair.dataset) != result.pair.query.label:
        return ""
    printed = S_P100.get((result.network, result.layer), {}).get(result.pair.dataset)
    return "" if printed is None else f"{printed:g}"


WHO = (
    Column("network", "", lambda r: r.network),
    Column("layer", "", lambda r: r.layer),
)
BEST_RIGHT = Column(
    "S_P100",
    "100 x queries whose best match is right / queries",
    lambda r: f"{r.judgement.s_p100:.1f}",
)
RETRIEVED = (
    BEST_RIGHT,
    Column("95 %", "Wilson's interval of S_P100", _interval),
    Column("paper", "S_P100 that the paper prints", _printed),
    Column(
        "R@5",
        "a right reference among the 5 best, percent",
        lambda r: percent(r.judgement.recall_at.get(5)),
    ),
    Column(
        "R@10",
        "a right reference among the 10 best, percent",
        lambda r: percent(r.judgement.recall_at.get(10)),
    ),
    Column(
        "AUC-PR",
        "area below the curve of precision over recall",
        lambda r: f"{r.judgement.curve.area:.3f}",
    ),
    Column(
        "R@100P",
        "largest recall without a wrong match",
        lambda r: f"{r.judgement.curve.recall_at_full_precision:.3f}",
    ),
    Column("EP", "extended precision", lambda r: f"{r.judgement.curve.extended_precision:.3f}"),
    Column(
        "lost",
        "longest run of queries in a row whose best match is wrong",
        lambda r: str(r.judgement.longest_stretch),
    ),
    Column("KiB", "size of the model up to the layer", lambda r: rounded(r.size_kib, 1)),
    Column("eta_m", "KiB / S_P100, lower is better", lambda r: rounded(r.eta_m, 2)),
    Column("B/place", "bytes that a map keeps of a place", lambda r: rounded(r.bytes_per_place, 0)),
    Column("extract", "median time for one image, ms", lambda r: rounded(r.extraction_ms, 2)),
    Column("search", "median time of one answer, ms", lambda r: rounded(r.search_ms, 2)),
)
DETECTED = (
    Column("detected", "loop closures detected", _of_detections(lambda d: str(d.detected))),
    Column(
        "precision",
        "of the loop closures detected, percent",
        _of_detections(lambda d: percent(d.precision)),
    ),
    Column(
        "recall",
        "rightly detected of the images of places seen before, percent",
        _of_detections(lambda d: percent(d.recall)),
    ),
    Column(
        "recall at 100 %",
        "recall with the limit that accepts most and nothing wrong, percent",
        _of_detections(lambda d: percent(d.recall_at_full_precision)),
    ),
    Column("revisits", "images of places seen before", _of_detections(lambda d: str(d.revisits))),
    Column(
        "delay",
        "images until places seen before are detected, median",
        _of_detections(lambda d: delay_text(d)),
    ),
    Column(
        "false/1,000",
        "false closures per 1,000 images of places never seen",
        _of_detections(lambda d: rounded(d.wrong_per_1000_unseen, 1)),
    ),
    Column(
        "false/km",
        "false closures per km of places never seen",
        _of_detections(lambda d: rounded(d.wrong_per_km_unseen, 2)),
    ),
)


def text_tables(results: Sequence[Result]) -> str:
    """For each pair what its figures rest on, what was retrieved, and what was detected."""
    parts = []
    for name, group in results_by_pair(results).items():
        parts.append(f"{name}\n{basis(group[0])}")
        parts.append(_table(group, (*WHO, *RETRIEVED)))
        detecting = [result for result in group if result.judgement.detections]
        if detecting:
            parts.append(_table(detecting, (*WHO, BEST_RIGHT, *DETECTED)))
        for result in group:
            lines = [f"{fact}: {value}" for fact, value in result.facts.items()]
            missing, queries = len(result.answers.missing), len(result.answers)
            if missing:
                lines.append(f"warning: {missing} of {queries} queries got no answer")
            if lines:
                parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _table(results: Sequence[Result], columns: Sequence[Column]) -> str:
    """The columns that say something of any of the results."""
    cells = [[column.cell(result) for result in results] for column in columns]
    told = [[column.name, *said] for column, said in zip(columns, cells, strict=True) if any(said)]
    return layout(list(zip(*told, strict=True)))


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


def delay_text(found: Detections) -> str:
    """The median delay, and of how many runs of revisits nothing was found."""
    never = sum(delay is None for delay in found.delays)
    return rounded(found.median_delay, 0) + (f" ({never} never)" if never else "")


def layout(rows: Sequence[Sequence[str]], left: int = 1) -> str:
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


def percent(share: float | None) -> str:
    """A share (0 to 1) in percent; empty without one."""
    return "" if share is None else f"{100 * share:.1f}"


def rounded(value: float | None, digits: int) -> str:
    """A number with so many digits behind the point; empty without one."""
    return "" if value is None else f"{value:,.{digits}f}"
