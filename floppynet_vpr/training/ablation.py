# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Figure 8's ablation: what each step from the Baseline to FloppyNet costs or gains.

The steps are binarisation, the reduction of depth, and the small fully connected stage in full
precision. Nothing here imports torch.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from floppynet_vpr.evaluation.measures import wilson_interval
from floppynet_vpr.evaluation.tables import layout
from floppynet_vpr.network.accounting import network_cost
from floppynet_vpr.network.layers import NETWORKS, NetworkSpec
from floppynet_vpr.training.recipe import trained_spec

CAVEATS = (
    "Figures of the averaged network at the end of each run, the same number of images for all; "
    "95 % intervals are Wilson's and tell chance among the queries, not among runs: another seed "
    "moves a short run by as much. Intervals that overlap decide nothing. A small budget shows how "
    "fast a network learns, not how good it gets: binary ones and those with a large head are "
    "still climbing where the paper's 150 epochs are not."
)
"""What the table says, and what a small budget cannot say."""


@dataclass(frozen=True)
class Variant:
    """One bar of the figure: its name in the figure's words, and the network."""

    name: str
    spec: NetworkSpec


def variants() -> tuple[Variant, ...]:
    """The eight combinations, from the Baseline to FloppyNet.

    Without the small stage it is 4096-4096 as in Table II, in the precision of the rest.
    """
    found = []
    for binary, shallow, small in product((False, True), repeat=3):
        name = "+".join(
            step for step, on in (("bin", binary), ("depth", shallow), ("fc256", small)) if on
        )
        if binary:
            spec = NETWORKS["shallownet" if shallow else "binarynet"]
        else:
            spec = trained_spec("baseline", shallow=shallow)
        if small:
            spec = replace(spec, head_units=(256, 256), head_bits=32)
        if binary and shallow and small:
            spec = NETWORKS["floppynet"]
        found.append(Variant(name or "baseline", spec))
    return tuple(sorted(found, key=lambda variant: variant.name.count("+")))


@dataclass(frozen=True)
class Outcome:
    """What a variant reached: percentages by name, each out of so many trials."""

    variant: Variant
    steps: int
    minutes: float
    figures: Mapping[str, tuple[float, int]]


def table(outcomes: Sequence[Outcome]) -> str:
    """The figure as text: sizes, work and every percentage with its 95 % interval."""
    names = list(outcomes[0].figures)
    rows: list[Sequence[str]] = [("variant", "KiB", "MMACs", "min", *names)]
    for outcome in outcomes:
        cost = network_cost(outcome.variant.spec)
        cells = [
            "{:.1f} ({:.0f}-{:.0f})".format(percent, *_interval(percent, count))
            for percent, count in outcome.figures.values()
        ]
        rows.append(
            (
                outcome.variant.name,
                f"{cost.kib:,.0f}",
                f"{cost.macs / 1e6:,.0f}",
                f"{outcome.minutes:.1f}",
                *cells,
            )
        )
    return layout(rows)


def csv_text(outcomes: Sequence[Outcome]) -> str:
    """The same for a spreadsheet, one line a variant."""
    names = list(outcomes[0].figures)
    columns = [f"{name}{part}" for name in names for part in ("", " low", " high")]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["variant", "network", "KiB", "MMACs", "steps", "minutes", *columns])
    for outcome in outcomes:
        cost = network_cost(outcome.variant.spec)
        values = [
            f"{value:.2f}"
            for percent, count in outcome.figures.values()
            for value in (percent, *_interval(percent, count))
        ]
        writer.writerow(
            [
                outcome.variant.name,
                outcome.variant.spec.title,
                f"{cost.kib:.1f}",
                f"{cost.macs / 1e6:.1f}",
                outcome.steps,
                f"{outcome.minutes:.2f}",
                *values,
            ]
        )
    return text.getvalue()


def _interval(percent: float, count: int) -> tuple[float, float]:
    low, high = wilson_interval(round(percent * count / 100), count)
    return 100 * low, 100 * high
