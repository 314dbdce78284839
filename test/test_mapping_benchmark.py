# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`benchmark_map` measures what it says, on maps whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.commands import benchmark_map
from floppynet_vpr.evaluation.storage_benchmark import SyntheticPlaces, accuracy, exact_answers

QUERIES = 20


def descriptors(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 9216)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_synthetic_places_are_the_same_each_time_and_of_norm_1() -> None:
    places = SyntheticPlaces(descriptors(60, seed=0))
    few, more = (np.concatenate(list(places.blocks(count))) for count in (130, 300))
    np.testing.assert_array_equal(few, more[:130])
    np.testing.assert_allclose(np.linalg.norm(more, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(places.revisits(300, 5), places.revisits(300, 5))


def test_the_same_frame_twice_does_no_harm() -> None:
    twice = np.repeat(descriptors(2, seed=0), 30, axis=0)
    assert np.isfinite(SyntheticPlaces(twice).revisits(200, 20)).all()


def test_exact_answers_are_those_of_brute_force_in_every_size() -> None:
    places = SyntheticPlaces(descriptors(60, seed=0))
    everything = np.concatenate(list(places.blocks(500)))
    for revisits in exact_answers(places, [100, 500], QUERIES):
        products = revisits.queries @ everything[: revisits.places].T
        np.testing.assert_array_equal(revisits.nearest, products.argmax(1))
        assert revisits.queries.shape == (QUERIES, 9216)


def test_accuracy_counts_right_matches_and_those_before_the_first_wrong_one() -> None:
    references = descriptors(10, seed=1)
    noise = descriptors(10, seed=2)
    queries = references + np.linspace(0.1, 0.6, 10, dtype=np.float32)[:, None] * noise
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    queries[6] = references[0]  # wrong, and nearer than any other
    truth = np.eye(10, dtype=bool)
    perfect = accuracy("float32", references, references, truth)
    assert perfect.s_p100 == 100 and perfect.curve.recall_at_full_precision == 1
    wrong_first = accuracy("float32", queries, references, truth)
    assert wrong_first.s_p100 == 90
    assert wrong_first.curve.recall_at_full_precision == 0
    queries[6] = references[0] + 0.35 * noise[6]
    queries[6] /= np.linalg.norm(queries[6])
    later = accuracy("float32", queries, references, truth)
    assert later.curve.recall_at_full_precision == 0.5


def test_the_command_measures_every_storage_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    frames = tmp_path / "walk"
    frames.mkdir()
    for index in range(31):
        image = np.random.default_rng(index).integers(0, 256, (24, 32, 3), np.uint8)
        cv2.imwrite(str(frames / f"{index}.png"), image)
    (frames / "11.png").write_bytes(b"damaged")
    facts, figure = tmp_path / "facts.json", tmp_path / "growth.png"
    walk = ["--set", str(frames), str(frames), "0", "1"]
    sizes = ["--places", "600", "60", "--queries", str(QUERIES)]
    wanted = ["--storage", "float32", "binary", "--markdown"]
    output = ["--json", str(facts), "--figure", str(figure)]
    assert benchmark_map.main([*walk, *sizes, *wanted, *output, "--strict"]) == 1
    assert "11.png" in capsys.readouterr().err
    assert benchmark_map.main([*walk, *sizes, *wanted, *output]) == 0
    said = capsys.readouterr()
    assert "could not be used: 2" in said.err, "one of the queries, one of the references"
    table = said.out.splitlines()
    rows = ["| storage", "| ---", "| float32", "| binary"]
    assert [line.split(" | ")[0] for line in table] == rows
    assert figure.stat().st_size > 1000
    exact, coded = json.loads(facts.read_text())["storages"]
    assert exact["bytes_per_place"] == 38_160
    assert coded["bytes_per_place"] == 1_296
    for storage in (exact, coded):
        assert storage["accuracy"]["walk to walk"]["s_p100"] == 100
        assert [point["places"] for point in storage["growth"]] == [60, 600]
        for point in storage["growth"]:
            assert 0 < point["median_ms"] <= point["p99_ms"]
            assert 0 < point["detector_median_ms"] <= point["detector_p99_ms"]
            assert point["recall"] >= 0.9
    assert all(point["recall"] == 1 for point in exact["growth"])


def test_too_few_frames_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((20, 20, 3), np.uint8))
    walk = ["--set", str(tmp_path), str(tmp_path), "0", "1"]
    assert benchmark_map.main(walk) == 1
    assert "too few" in capsys.readouterr().err
