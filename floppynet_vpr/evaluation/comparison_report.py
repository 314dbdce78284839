# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page about an evaluation, with nothing to load from elsewhere and below 3 MB.

All figures first, then for every pair of drives the curves, what was matched, and pictures.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.evaluation.comparison_pictures import similarity_picture, telling_pairs_picture
from floppynet_vpr.evaluation.comparison_plots import (
    SERIES,
    keys,
    precision_recall_plot,
    retrieval_plot,
    size_plot,
)
from floppynet_vpr.evaluation.experiment import Result, results_by_pair
from floppynet_vpr.evaluation.figures import encode_jpeg
from floppynet_vpr.evaluation.paper_scores import QUERIES, S_P100
from floppynet_vpr.evaluation.report_style import STYLE
from floppynet_vpr.evaluation.result_files import basis
from floppynet_vpr.evaluation.scores import CONVENTIONS

_PAGE_BYTES = 2_900_000
"""Whatever would make the page larger than this is left out, but never a figure."""

_CURVES = 2 * SERIES
_DETAILED = 3


def comparison_report(
    results: Sequence[Result], *, title: str, facts: Mapping[str, str] | None = None
) -> str:
    """The whole page; raises VprError when an image of a drive cannot be read again."""
    groups = results_by_pair(results)
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<main class="wide">\n<h1>{escape(title)}</h1>\n{_lead(results)}\n'
    )
    parts = [head, _summary(groups), _facts(facts or {}, results)]
    room = _PAGE_BYTES - sum(map(len, parts))
    for group in groups.values():
        section = _section(group, room)
        room -= len(section)
        parts.insert(-1, section)
    parts.append("</main>\n</body>\n</html>\n")
    return "".join(parts)


def _lead(results: Sequence[Result]) -> str:
    networks = len({r.network for r in results})
    layers = len({(r.network, r.layer) for r in results})
    pairs = len({r.pair.name for r in results})

    def counted(count: int, word: str) -> str:
        return f"{count} {word}{'' if count == 1 else 's'}"

    return (
        f'<p class="lead">{counted(layers, "descriptor")} of {counted(networks, "network")} on '
        f"{counted(pairs, 'pair')} of drives. S<sub>P100</sub> is the share of queries whose "
        "nearest reference shows the same place, in percent, with its 95 % interval.</p>"
    )


_COLUMNS = (
    ("network", "", False),
    ("layer", "", False),
    ("S<sub>P100</sub>", "100 x queries whose nearest reference is right / queries", True),
    ("95 %", "Wilson's interval of S_P100", True),
    ("paper", "S_P100 that the paper prints", True),
    ("R@5", "a right reference among the 5 nearest, percent", True),
    ("R@10", "a right reference among the 10 nearest, percent", True),
    ("AUC-PR", "area below the curve of precision over recall", True),
    ("R@100P", "largest recall without a wrong match", True),
    ("EP", "extended precision", True),
    ("lost", "longest run of queries in a row whose nearest reference is wrong", True),
    ("KiB", "size of the model up to the layer", True),
    ("&eta;<sub>m</sub>", "KiB / S_P100, lower is better", True),
    ("B/place", "bytes that a map keeps of a place", True),
    ("extract", "median time for one image, ms", True),
    ("search", "time of one search, ms", True),
)


def _summary(groups: Mapping[str, Sequence[Result]]) -> str:
    header = "".join(
        f'<th{" class=n" if number else ""} title="{escape(note)}">{name}</th>'
        for name, note, number in _COLUMNS
    )
    rows = []
    for name, group in groups.items():
        best = max(result.scores.s_p100 for result in group)
        rows.append(
            f'<tr class="group"><td colspan="{len(_COLUMNS)}">{escape(name)} '
            f"<small>{escape(basis(group[0]))}</small></td></tr>"
        )
        rows += [_row(result, result.scores.s_p100 == best) for result in group]
    return (
        f'<div class="card"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _row(result: Result, best: bool) -> str:
    scores, pair = result.scores, result.pair
    printed = None
    if QUERIES.get(pair.dataset) == pair.query.label:
        printed = S_P100.get((result.network, result.layer), {}).get(pair.dataset)
    low, high = scores.interval
    cells = [
        f"{low:.1f} &ndash; {high:.1f}",
        "" if printed is None else f"{printed:g}",
        *(_number(scores.recall_at.get(n), 1, 100) for n in (5, 10)),
        f"{scores.auc_pr:.3f}",
        f"{scores.recall_at_full_precision:.3f}",
        f"{scores.extended_precision:.3f}",
        f"{scores.longest_stretch}",
        _number(result.size_kib, 1),
        _number(result.eta_m, 2),
        _number(result.bytes_per_place, 0),
        _number(result.extraction_ms, 2),
        _number(result.search_ms, 2),
    ]
    return (
        f"<tr><td>{escape(result.network)}</td><td>{escape(result.layer)}</td>"
        f'<td class="n{" best" if best else ""}">{scores.s_p100:.1f}</td>'
        + "".join(f'<td class="n">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _section(group: Sequence[Result], room: int) -> str:
    """Everything about one pair: the curves, and further plots and pictures if there is room."""
    pair = group[0].pair
    ranked = sorted(group, key=lambda result: -result.scores.s_p100)
    shown = ranked[:_CURVES]
    note = f" The best {len(shown)} of {len(ranked)}." if len(ranked) > len(shown) else ""
    plots = [
        f"<figure>{precision_recall_plot(shown)}{keys(shown)}<figcaption>Precision over recall for "
        f"every threshold; behind the names, the area.{note}</figcaption></figure>"
    ]
    best = ""
    sized = [result for result in ranked if result.size_kib]
    if len(sized) > SERIES:
        sized, best = _best_of_each_network(sized), ", best layer of each network"
    if len({result.size_kib for result in sized}) > 1:
        plots.append(
            f"<figure>{size_plot(sized)}<figcaption>S<sub>P100</sub> over the size of the "
            f"model{best}: up and to the left is better.</figcaption></figure>"
        )
    layout = f" ({escape(pair.layout)})" if pair.layout else ""
    parts = [
        f"<h2>{escape(pair.title)}: {escape(pair.query.label)} asks, "
        f'{escape(pair.reference.label)} is known</h2>\n<p class="lead">'
        f"{escape(basis(group[0]))}{layout}.</p>\n"
        f'<section class="plots">{"".join(plots)}</section>\n'
    ]
    room -= sum(map(len, parts))
    left_out = False
    for further in _further_parts(ranked):
        if len(further) > room:
            left_out = True
            continue
        parts.append(further)
        room -= len(further)
    if left_out:
        parts.append('<p class="soft">Some plots are left out: the page would be too large.</p>\n')
    return "".join(parts)


def _further_parts(ranked: Sequence[Result]) -> Iterator[str]:
    """Plots and matrices of the best layers, then pictures of the best of all."""
    for result in _best_of_each_network(ranked)[:_DETAILED]:
        yield _details(result)
    picture = telling_pairs_picture(ranked[0])
    if picture is not None:
        yield (
            f"<h3>{escape(ranked[0].name)}: surest matches</h3>\n<figure>"
            f'<img alt="Queries beside their nearest references" src="{_embedded(picture, 68)}">'
            "<figcaption>The matches with the smallest distance in each third of the drive: right "
            "ones, then wrong ones.</figcaption></figure>\n"
        )


def _best_of_each_network(ranked: Sequence[Result]) -> list[Result]:
    best: dict[str, Result] = {}
    for result in ranked:
        best.setdefault(result.network, result)
    return list(best.values())


def _details(result: Result) -> str:
    """Match plot and similarity matrix of one result."""
    figures = [
        f"<figure>{retrieval_plot(result)}<figcaption>Nearest reference of every query: dots are "
        "right, crosses wrong; the band is what counts as right.</figcaption></figure>"
    ]
    picture = similarity_picture(result)
    if picture is not None:
        figures.append(
            '<figure><img class="matrix" alt="Similarity matrix" '
            f'src="{_embedded(picture, 72)}"><figcaption>Similarity of every query (from the left) '
            "and reference (from below), bright: alike.</figcaption></figure>"
        )
    name = f"{escape(result.name)}: S<sub>P100</sub> {result.scores.s_p100:.1f}"
    return f'<h3>{name}</h3>\n<section class="plots">{"".join(figures)}</section>\n'


def _embedded(picture: NDArray[np.uint8], quality: int) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, quality)).decode()


def _facts(facts: Mapping[str, str], results: Sequence[Result]) -> str:
    told = dict(facts)
    for result in results:
        told.setdefault(result.network, f"{result.title}: {result.how}; search: {result.storage}")
    conventions = {CONVENTIONS[result.scores.convention] for result in results}
    told["Convention"] = "; ".join(sorted(conventions))
    lines = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in told.items())
    return f"<h2>How it was done</h2>\n<dl>{lines}</dl>\n"


def _number(value: float | None, digits: int, factor: float = 1) -> str:
    return "" if value is None else f"{factor * value:,.{digits}f}"
