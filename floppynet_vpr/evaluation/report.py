# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML page that tells how well places were recognised, with nothing to load from elsewhere.

The page can be mailed, kept beside a bag or opened on a robot without network; it follows the
reader's light or dark setting.
"""

import base64
from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.evaluation.answers import Outcome, Trial
from floppynet_vpr.evaluation.figures import encode_jpeg, offset_text
from floppynet_vpr.evaluation.plots import distance_plot, match_plot, reliability_plot
from floppynet_vpr.evaluation.report_style import STYLE


def html_report(
    trial: Trial,
    *,
    title: str,
    picture: NDArray[np.uint8] | None = None,
    latency_ms: tuple[float, float] | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The whole page.

    Args:
        trial: what was asked and answered.
        title: headline of the page.
        picture: a match picture (H, W, 3) uint8 RGB; embedded as JPEG.
        latency_ms: median and 99th percentile of the time from image to answer.
        facts: further lines about the run, such as the network and the map.
    """
    figure = _figure(picture) if picture is not None else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{_lead(trial)}\n{_tiles(trial, latency_ms)}\n{_warning(trial)}"
        f"{figure}{_plots(trial)}\n{_table(trial)}\n{_facts(facts or {})}\n"
        "</main>\n</body>\n</html>\n"
    )


def _lead(trial: Trial) -> str:
    queries, places = escape(trial.queries.label), escape(trial.references.label)
    return (
        f'<p class="lead">{len(trial)} images of <b>{queries}</b>, each matched to the nearest of '
        f"{len(trial.references)} places of <b>{places}</b>. A match is right within "
        f"{tolerance_text(trial)} of the truth.</p>"
    )


def tolerance_text(trial: Trial) -> str:
    """The tolerance with its unit, for people."""
    if trial.queries.unit == "m":
        return f"{trial.tolerance:g} m"
    return f"{trial.tolerance:g} frame{'' if trial.tolerance == 1 else 's'}"


def _tiles(trial: Trial, latency_ms: tuple[float, float] | None) -> str:
    low, high = trial.s_p100_interval
    found, threshold = trial.detections, trial.threshold
    at = "" if threshold is None else f" at threshold {threshold:g}"
    announced = found.right + found.wrong
    tiles = [
        _tile(
            "S<sub>P100</sub>",
            f"{trial.s_p100:.1f}",
            f"nearest place right for {trial.right} of {len(trial)}; 95 % interval {low:.1f} to "
            f"{high:.1f}",
            first=True,
        ),
        _tile(
            "Precision",
            _percent(found.precision),
            f"{found.right} right of {announced} loop closures detected{at}",
        ),
        _tile(
            "Recall",
            _percent(found.recall),
            f"{found.right} of {found.right + found.missed} that were there to be detected",
        ),
    ]
    if trial.rate_hz is not None:
        tiles.append(_tile("Rate", f"{trial.rate_hz:.1f}<small> Hz</small>", "answers per second"))
    if latency_ms is not None:
        middle, slow = latency_ms
        tiles.append(
            _tile(
                "Latency",
                f"{middle:.1f}<small> ms</small>",
                f"median from image to answer in the node; 99 % within {slow:.1f} ms",
            )
        )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _tile(name: str, value: str, note: str, *, first: bool = False) -> str:
    kind = "tile first" if first else "tile"
    return (
        f'<div class="{kind}"><div class="name">{name}</div><div class="value">{value}</div>'
        f'<div class="note">{note}</div></div>'
    )


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}<small> %</small>"


def _warning(trial: Trial) -> str:
    if not trial.missing:
        return ""
    shown = ", ".join(str(query) for query in trial.missing[:12])
    more = ", ..." if len(trial.missing) > 12 else ""
    return (
        f'<p class="warning">{len(trial.missing)} of {len(trial)} queries got no answer '
        f"({shown}{more}); they count as wrong.</p>\n"
    )


def _figure(picture: NDArray[np.uint8]) -> str:
    data = base64.b64encode(encode_jpeg(picture)).decode()
    return (
        "<h2>What was matched</h2>\n<figure>"
        f'<img alt="Queries beside their best matches" src="data:image/jpeg;base64,{data}">'
        "<figcaption>Some queries, each beside its best match: framed green where that is right, "
        "red where it is wrong. Wrong ones are shown more often than they occur.</figcaption>"
        "</figure>\n"
    )


def _plots(trial: Trial) -> str:
    right = sum(outcome.right for outcome in trial.outcomes)
    wrong = sum(outcome.match is not None and not outcome.right for outcome in trial.outcomes)
    legend = (
        '<p class="legend"><svg viewBox="0 0 12 12"><circle class="right" cx="6" cy="6" r="4"/>'
        f"</svg>right ({right}) "
        '<svg viewBox="0 0 12 12"><path class="wrong" d="M2 2l8 8m0-8l-8 8"/></svg>'
        f"wrong ({wrong}) "
        '<svg viewBox="0 0 12 12"><circle class="right faint" cx="6" cy="6" r="4"/></svg>'
        "faint: nothing detected</p>"
    )
    return (
        f'<h2>Query by query</h2>\n{legend}<section class="plots">'
        f"<figure>{match_plot(trial)}<figcaption>Along the diagonal, query and match are the same "
        "place; the band is what counts as right.</figcaption></figure>"
        f"<figure>{distance_plot(trial)}<figcaption>Distance of the descriptors (0 to 2). Whatever "
        "lies below the threshold is announced as a loop closure."
        "</figcaption></figure>"
        f"<figure>{reliability_plot(trial)}<figcaption>What a score is worth: each disc stands for "
        "an equal number of matches. With a calibrated map (<code>calibrate</code>) they lie along "
        "the line.</figcaption></figure></section>"
    )


def _table(trial: Trial) -> str:
    rows = "".join(_row(trial, outcome) for outcome in trial.outcomes)
    return (
        f"<details><summary>All {len(trial)} queries</summary>\n"
        '<div class="scroll"><table><thead><tr><th class="n">query</th><th>image</th>'
        '<th class="n">place</th><th>image</th><th class="n">distance</th><th>loop closure</th>'
        f"<th>verdict</th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(trial: Trial, outcome: Outcome) -> str:
    name = escape(trial.queries.names[outcome.query])
    start = f'<tr><td class="n">{outcome.query}</td><td>{name}</td>'
    if outcome.answer is None:
        return f'{start}<td></td><td></td><td></td><td></td><td class="bad">no answer</td></tr>'
    if outcome.match is None or outcome.distance is None:
        return f'{start}<td></td><td></td><td></td><td>none</td><td class="bad">no place</td></tr>'
    kind = ("good", "right") if outcome.right else ("bad", "wrong")
    place = escape(trial.references.names[outcome.match])
    return (
        f'{start}<td class="n">{outcome.match}</td><td>{place}</td>'
        f'<td class="n">{outcome.distance:.3f}</td>'
        f"<td>{'detected' if outcome.detected else 'none'}</td>"
        f'<td class="{kind[0]}">{kind[1]}, {offset_text(outcome.off, trial.queries.unit)}</td></tr>'
    )


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    lines = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f"<h2>How it was done</h2>\n<dl>{lines}</dl>"
