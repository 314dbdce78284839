# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's figures agree with each other and stand beside what was measured."""

from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.datasets.traverse import Traverse
from floppynet_vpr.datasets.traverse_pairs import TraversePair
from floppynet_vpr.evaluation.answers import from_search
from floppynet_vpr.evaluation.judgement import judge
from floppynet_vpr.evaluation.measures import memory_efficiency
from floppynet_vpr.evaluation.paper_scores import AVERAGES, DATASETS, ETA_M, S_P100, SIZES_KIB
from floppynet_vpr.evaluation.paper_tables import paper_tables
from floppynet_vpr.evaluation.results import Result
from floppynet_vpr.network.paper import SIZES_KIB as FAMILY_SIZES_KIB


def test_averages_are_those_of_the_five_datasets() -> None:
    for network in ("baseline", "binarynet"):
        figures = S_P100[network, "pool5"]
        assert set(figures) == set(DATASETS)
        assert sum(figures.values()) / 5 == pytest.approx(AVERAGES[network], abs=0.05)


def test_eta_is_size_over_average() -> None:
    for network, printed in ETA_M.items():
        size = FAMILY_SIZES_KIB.get(network, SIZES_KIB.get(network))
        assert size is not None
        assert memory_efficiency(size, AVERAGES[network]) == pytest.approx(printed, rel=0.004)


def result(network: str, layer: str, right: int, query: str = "night_right") -> Result:
    names = tuple(map(str, range(10)))
    drive = Traverse(query, Path(query), names, tuple(range(10)))
    pair = TraversePair(
        "gardens_point", "GardensPoint", drive, drive, np.eye(10, dtype=bool), "same"
    )
    ids = np.array([i if i < right else (i + 1) % 10 for i in range(10)])[:, None]
    answers = from_search(ids, np.full((10, 1), 0.5))
    judged = judge(answers, pair.truth)
    return Result(pair, network, network, layer, "", answers, judged, size_kib=154.0)


def test_measured_stands_beside_printed() -> None:
    text = paper_tables([result("floppynet", "pool5", 8), result("binarynet", "conv5", 7)])
    lines = text.splitlines()
    binarynet = lines.index(next(line for line in lines if line.startswith("Table V:")))
    assert lines[binarynet + 4].split()[:4] == ["conv5", "70.0", "/", "-"]
    assert lines[binarynet + 5].split()[:4] == ["pool5", "-", "/", "79.5"]
    assert any(line.split()[:4] == ["pool5", "80.0", "/", "75.5"] for line in lines)
    (efficiency,) = [line for line in lines if line.startswith("FloppyNet  ")]
    expected = "FloppyNet 154 / 154 1 / 5 80.0 / 58.2 1.93 / 2.65"
    assert " ".join(efficiency.split()) == expected


def test_other_pairs_than_the_papers_do_not_enter() -> None:
    text = paper_tables([result("floppynet", "pool5", 8, query="day_left")])
    assert "80.0" not in text and "S_P100 of FloppyNet" not in text
