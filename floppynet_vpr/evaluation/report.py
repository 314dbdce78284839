# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page about an evaluation, with nothing to load from elsewhere and below 3 MB.

All figures first, then for every pair of traverses the curves, what was matched, and pictures. The
page can be mailed, kept beside a bag or opened on a robot without network; it follows the reader's
light or dark setting.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from floppynet_vpr.evaluation.judgement import CONVENTIONS
from floppynet_vpr.evaluation.pictures import encoded, matrix_figure, offset_text
from floppynet_vpr.evaluation.plots import (
    SERIES,
    distance_plot,
    match_plot,
    precision_recall_plot,
    reliability_plot,
    score_bins,
    size_plot,
)
from floppynet_vpr.evaluation.report_style import STYLE
from floppynet_vpr.evaluation.result_files import figures
from floppynet_vpr.evaluation.results import Result, best_first, results_by_pair
from floppynet_vpr.evaluation.tables import BEST, DETECTED, RETRIEVED, WHO, basis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE_BYTES = 2_900_000
"""Whatever would make the page larger than this is left out, but never a figure."""

_CURVES = 2 * SERIES
_DETAILED = 3


def html_report(
    results: Sequence[Result],
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    pictures: Mapping[str, Figure] | None = None,
) -> str:
    """The whole page; `pictures` are match figures (`pictures`) by the name of their pair."""
    groups = results_by_pair(results)
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<main class="wide">\n<h1>{escape(title)}</h1>\n{_lead(results)}\n'
    )
    tiles = _tiles(results[0]) if len(results) == 1 else ""
    parts = [head, tiles, _summary(groups), _facts(facts or {}, results)]
    room = _PAGE_BYTES - sum(map(len, parts))
    for group in groups.values():
        section = _section(group, (pictures or {}).get(group[0].pair.name), room)
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
        f"{counted(pairs, 'pair')} of traverses. S<sub>P100</sub> is the share of queries whose "
        "best match shows the same place, in percent, with its 95 % interval.</p>"
    )


def _tiles(result: Result) -> str:
    """The headline of a page about one result."""
    judgement, found = result.judgement, result.judgement.detections
    low, high = judgement.interval
    tiles = [
        (
            "S<sub>P100</sub>",
            f"{judgement.s_p100:.1f}",
            f"best match right for {judgement.right} of {judgement.queries}; 95 % interval "
            f"{low:.1f} to {high:.1f}",
        )
    ]
    if found is not None:
        unseen = found.queries - found.revisits
        tiles += [
            (
                "Precision",
                _number(found.precision, 100, " %"),
                f"{found.right} right of {found.detected} loop closures detected",
            ),
            (
                "Recall",
                _number(found.recall, 100, " %"),
                f"{found.right} of {found.revisits} that were there to be detected",
            ),
            (
                "Recall at 100 % precision",
                _number(found.recall_at_full_precision, 100, " %"),
                "with the limit that accepts most and nothing wrong",
            ),
            (
                "Delay",
                _number(found.median_delay, 1, " images"),
                "from the first image of places seen before to the first detection, median; "
                f"{found.delays.count(None)} of {len(found.delays)} times there was none",
            ),
            (
                "False closures",
                _number(found.wrong_per_1000_unseen, 1, ""),
                f"per 1,000 images of places never seen ({found.wrong_unseen} of {unseen})",
            ),
        ]
    shown = "".join(
        f'<div class="tile{"" if number else " first"}"><div class="name">{name}</div>'
        f'<div class="value">{value}</div><div class="note">{note}</div></div>'
        for number, (name, value, note) in enumerate(tiles)
    )
    missing = result.answers.missing
    if missing:
        some = ", ".join(map(str, missing[:12])) + (", ..." if len(missing) > 12 else "")
        shown += (
            f'<p class="warning">{len(missing)} of {len(result.answers)} queries got no answer '
            f"({some}); they count as wrong.</p>"
        )
    return f'<section class="tiles">{shown}</section>\n'


def _number(value: float | None, factor: float, unit: str) -> str:
    return "none" if value is None else f"{factor * value:.1f}<small>{unit}</small>"


def _summary(groups: Mapping[str, Sequence[Result]]) -> str:
    columns = (*WHO, *RETRIEVED, *DETECTED)
    header = "".join(
        f'<th{"" if column in WHO else " class=n"} title="{escape(column.says)}">{column.name}</th>'
        for column in columns
    )
    rows = []
    for name, group in groups.items():
        best = best_first(group)[0].judgement.s_p100
        rows.append(
            f'<tr class="group"><td colspan="{len(columns)}">{escape(name)} '
            f"<small>{escape(basis(group[0]))}</small></td></tr>"
        )
        for told in map(figures, group):
            cells = []
            for column in columns:
                bold = column is BEST and told["s_p100"] == best
                kind = "" if column in WHO else f' class="n{" best" if bold else ""}"'
                cells.append(f"<td{kind}>{escape(column.cell(told))}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="card"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _section(group: Sequence[Result], picture: Figure | None, room: int) -> str:
    """Everything about one pair: the curves, and further plots and pictures if there is room."""
    pair = group[0].pair
    ranked = best_first(group)
    shown = ranked[:_CURVES]
    note = f" The best {len(shown)} of {len(ranked)}." if len(ranked) > len(shown) else ""
    drawn = [precision_recall_plot(shown)]
    captions = [f"Precision over recall for every threshold.{note}"]
    best = ""
    sized = [result for result in ranked if result.size_kib]
    if len(sized) > SERIES:
        sized, best = _best_of_each_network(sized), ", best layer of each network"
    if len({result.size_kib for result in sized}) > 1:
        drawn.append(size_plot(sized))
        captions.append(
            f"S<sub>P100</sub> over the size of the model{best}: up and to the left is better."
        )
    layout = f" ({escape(pair.layout)})" if pair.layout else ""
    known = "among the images before" if pair.loop else f"{escape(pair.reference.label)} is known"
    parts = [
        f"<h2>{escape(pair.title)}: {escape(pair.query.label)} asks, {known}</h2>\n"
        f'<p class="lead">{escape(basis(group[0]))}{layout}.</p>\n{_figures(drawn, captions)}'
    ]
    room -= sum(map(len, parts))
    left_out = False
    for further in _further_parts(ranked, picture):
        if len(further) > room:
            left_out = True
            continue
        parts.append(further)
        room -= len(further)
    if left_out:
        parts.append('<p class="soft">Some plots are left out: the page would be too large.</p>\n')
    return "".join(parts)


def _further_parts(ranked: Sequence[Result], picture: Figure | None) -> Iterator[str]:
    """Plots of the best layers, then pictures and all queries of the best of all."""
    for result in _best_of_each_network(ranked)[:_DETAILED]:
        yield _details(result)
    if picture is not None:
        yield (
            f"<h3>{escape(ranked[0].name)}: surest matches</h3>\n<figure>"
            f'<img alt="Queries beside their best matches" src="{_embedded(picture)}">'
            "<figcaption>The surest right and wrong matches in equal parts of the traverse, each "
            "query beside its best match: framed green where that is right, red where it is wrong. "
            "Wrong ones are shown more often than they occur.</figcaption></figure>\n"
        )
    yield _by_query(ranked[0])


def _best_of_each_network(ranked: Sequence[Result]) -> list[Result]:
    best: dict[str, Result] = {}
    for result in ranked:
        best.setdefault(result.network, result)
    return list(best.values())


def _details(result: Result) -> str:
    """Query by query: what was matched, how near it was, what its score was worth."""
    drawn = [match_plot(result), distance_plot(result)]
    faint = "" if result.answers.detected is None else "; faint: nothing detected"
    captions = [
        f"Dots are right, crosses wrong{faint}; the band is what counts as right.",
        "Distance of the descriptors (0 to 2) to the best match.",
    ]
    if score_bins(result):
        drawn.append(reliability_plot(result))
        captions.append(
            "What a score is worth: each disc stands for an equal number of matches. With a "
            "calibrated map (<code>calibrate</code>) they lie along the line."
        )
    matrix = matrix_figure(result)
    if matrix is not None:
        drawn.append(f'<img alt="Matrix of distances" src="{_embedded(matrix)}">')
        captions.append("Every query and reference, bright: alike.")
    name = f"{escape(result.name)}: S<sub>P100</sub> {result.judgement.s_p100:.1f}"
    return f"<h3>{name}</h3>\n{_figures(drawn, captions)}"


def _figures(drawn: Sequence[str], captions: Sequence[str]) -> str:
    figures = "".join(
        f"<figure>{plot}<figcaption>{caption}</figcaption></figure>"
        for plot, caption in zip(drawn, captions, strict=True)
    )
    return f'<section class="plots">{figures}</section>\n'


def _by_query(result: Result) -> str:
    """A table of all queries, folded up."""
    pair, answers = result.pair, result.answers
    rows = []
    for query, match in enumerate(answers.ids[:, 0].tolist()):
        cells = f'<tr><td class="n">{query}</td><td>{escape(pair.query.names[query])}</td>'
        if match < 0:
            told = "no answer" if query in answers.missing else "no place"
            rows.append(
                f'{cells}<td></td><td></td><td></td><td></td><td class="bad">{told}</td></tr>'
            )
            continue
        right = bool(result.judgement.is_right[query])
        detected = answers.detected is not None and answers.detected[query]
        off = offset_text(pair.off(query, match), pair.unit)
        rows.append(
            f'{cells}<td class="n">{match}</td><td>{escape(pair.reference.names[match])}</td>'
            f'<td class="n">{answers.nearest[query]:.3f}</td><td>{"detected" if detected else ""}'
            f'</td><td class="{"good" if right else "bad"}">{"right" if right else "wrong"}, {off}'
            "</td></tr>"
        )
    return (
        f"<details><summary>{escape(result.name)}: all {len(rows)} queries</summary>\n"
        '<div class="scroll"><table><thead><tr><th class="n">query</th><th>image</th>'
        '<th class="n">place</th><th>image</th><th class="n">distance</th><th>loop closure</th>'
        f"<th>verdict</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>\n"
    )


def _embedded(picture: Figure) -> str:
    content = encoded(picture, "jpg", pil_kwargs={"quality": 72})
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _facts(facts: Mapping[str, str], results: Sequence[Result]) -> str:
    told = dict(facts)
    for result in results:
        told.setdefault(result.network, f"{result.title}: {result.how}; search: {result.storage}")
        told.update(result.facts)
    conventions = {CONVENTIONS[result.judgement.convention] for result in results}
    told["Convention"] = "; ".join(sorted(conventions))
    lines = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in told.items())
    return f"<h2>How it was done</h2>\n<dl>{lines}</dl>\n"
