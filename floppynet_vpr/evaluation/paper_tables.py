# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Tables IV, V and VI of the paper with what was measured beside what it prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from floppynet_vpr.evaluation.measures import memory_efficiency
from floppynet_vpr.evaluation.paper_scores import (
    AVERAGES,
    DATASETS,
    ETA_M,
    QUERIES,
    S_P100,
    SIZES_KIB,
)
from floppynet_vpr.evaluation.results import Result
from floppynet_vpr.evaluation.tables import layout
from floppynet_vpr.network.accounting import network_cost
from floppynet_vpr.network.layers import NETWORKS
from floppynet_vpr.network.paper import SIZES_KIB as FAMILY_SIZES_KIB

_TITLES = {"vgg16": "VGG-16", "hybridnet": "HybridNet"}
_EXPLAINED = "measured / paper; - where one of them is not known"


def paper_tables(results: Sequence[Result]) -> str:
    """Tables IV (Baseline), V (BinaryNet) and the same for other networks, then Table VI."""
    own = [r for r in results if QUERIES.get(r.pair.dataset) == r.pair.query.label]
    measured = {(r.network, r.layer, r.pair.dataset): r for r in own}
    networks = list(dict.fromkeys(["baseline", "binarynet", *(r.network for r in own)]))
    parts = [_layer_table(network, measured) for network in networks]
    parts.append(_efficiency_table(measured, networks))
    return "\n\n".join(parts)


def _layer_table(network: str, measured: Mapping[tuple[str, str, str], Result]) -> str:
    """S_P100 of every layer on the five datasets."""
    known = [(name, layer) for name, layer, _ in measured] + list(S_P100)
    layers = dict.fromkeys(layer for name, layer in known if name == network)
    rows: list[Sequence[str]] = [("layer", *DATASETS.values(), "average")]
    for layer in layers:
        own = [measured.get((network, layer, dataset)) for dataset in DATASETS]
        printed = S_P100.get((network, layer), {})
        cells = [
            _cell(None if result is None else result.judgement.s_p100, printed.get(dataset))
            for dataset, result in zip(DATASETS, own, strict=True)
        ]
        average = AVERAGES.get(network) if layer == "pool5" else None
        rows.append((layer, *cells, _cell(_average(own), average)))
    number = {"baseline": "Table IV: ", "binarynet": "Table V: "}.get(network, "")
    return f"{number}S_P100 of {_title(network)}, layer by layer ({_EXPLAINED})\n\n" + layout(rows)


def _efficiency_table(
    measured: Mapping[tuple[str, str, str], Result], networks: Sequence[str]
) -> str:
    """Size, average S_P100 and eta_m of pool5."""
    rows: list[Sequence[str]] = [("network", "KiB", "datasets", "S_P100", "eta_m")]
    for network in dict.fromkeys([*AVERAGES, *networks]):
        own = [measured.get((network, "pool5", dataset)) for dataset in DATASETS]
        known = [result for result in own if result is not None]
        size = network_cost(NETWORKS[network]).kib if network in NETWORKS else None
        size = known[0].size_kib if known else size
        average = _mean([result.judgement.s_p100 for result in known])
        eta = memory_efficiency(size, average) if size is not None and average else None
        printed = FAMILY_SIZES_KIB.get(network, SIZES_KIB.get(network))
        rows.append(
            (
                _title(network),
                _cell(size, printed, 0),
                f"{len(known)} / {len(DATASETS)}",
                _cell(average, AVERAGES.get(network)),
                _cell(eta, ETA_M.get(network), 2),
            )
        )
    return (
        f"Table VI: memory efficiency of pool5, KiB / S_P100, lower is better ({_EXPLAINED}; over "
        "fewer datasets than the paper's five, averages cannot be compared)\n\n" + layout(rows)
    )


def _average(results: Sequence[Result | None]) -> float | None:
    """The mean over the five datasets, if all of them were measured."""
    known = [result.judgement.s_p100 for result in results if result is not None]
    return _mean(known) if len(known) == len(results) else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _title(network: str) -> str:
    return NETWORKS[network].title if network in NETWORKS else _TITLES.get(network, network)


def _cell(measured: float | None, paper: float | None, digits: int = 1) -> str:
    left = "-" if measured is None else f"{measured:,.{digits}f}"
    right = "-" if paper is None else f"{paper:,g}"
    return f"{left} / {right}"
