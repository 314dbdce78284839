# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What is learned of labelled matches holds for others, and goes with the map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.commands import build_map, calibrate, map_info
from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.detection.calibration_fit import calibrate as fit
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import Calibration, ReferenceMap


def matches(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distances, and whether the match is right: at 0.7 half of them are."""
    rng = np.random.default_rng(seed)
    distances = rng.uniform(0.4, 1.0, count)
    return distances, rng.uniform(size=count) < 1 / (1 + np.exp((distances - 0.7) * 25))


@pytest.mark.parametrize("count", [400, 4000])
@pytest.mark.parametrize("precision", [0.8, 0.95])
def test_precision_and_confidence_hold_for_other_matches(count: int, precision: float) -> None:
    distances, right = matches(count, 1)
    learned = fit("any", distances, right, precision, "distance")
    others, truth = matches(20_000, 2)
    assert truth[others <= learned.limit].mean() == pytest.approx(precision, abs=0.03)
    scores = np.array([learned.confidence(distance) for distance in others.tolist()])
    for low in (0.1, 0.3, 0.5, 0.7):
        alike = (scores >= low) & (scores < low + 0.2)
        assert truth[alike].mean() == pytest.approx(scores[alike].mean(), abs=0.08)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 60),
    st.integers(0, 10**6),
    st.sampled_from([("belief", 1.0), ("distinctness", 4.0), ("distance", 2.0)]),
)
def test_confidence_never_grows_as_matches_get_worse(
    count: int, seed: int, kind: tuple[str, float]
) -> None:
    measure, most = kind
    rng = np.random.default_rng(seed)
    choices = [rng.uniform(0, most, count), np.zeros(count), np.full(count, most)]
    measures = rng.choice(choices, axis=0)
    right = rng.uniform(size=count) < 0.5
    try:
        learned = fit("any", measures, right, 0.3, measure)
    except VprError as error:
        assert "precision of 0.3" in str(error)
        return
    assert learned.right <= learned.accepted <= learned.queries == count
    assert (learned.right + 1) / (learned.accepted + 2) >= 0.3
    scores = np.array([learned.confidence(level) for level in np.linspace(0, most, 50)])
    assert ((scores >= 0) & (scores <= 1)).all()
    # Of labels that contradict the measure a logistic curve learns the contrary.
    if (right == right[0]).all():
        assert (np.diff(scores) * (-1 if measure == "distance" else 1) >= -1e-9).all()


def test_how_distinct_a_match_is_counts_beyond_one_as_well() -> None:
    rng = np.random.default_rng(4)
    measures = rng.uniform(1, 4, 600)
    right = rng.uniform(size=600) < 1 / (1 + np.exp((2 - measures) * 4))
    learned = fit("any", measures, right, 0.95, "distinctness")
    assert [learned.confidence(level) for level in (1.2, 2.0, 3.0)] == pytest.approx(
        [0.04, 0.5, 0.98], abs=0.08
    )
    assert 1.5 < learned.limit < 2.5


def test_a_precision_nobody_can_promise_is_refused() -> None:
    distances, right = matches(50, 3)
    with pytest.raises(VprError, match=r"precision of 0\.999: the best that these 50 queries"):
        fit("any", distances, right, 0.999, "distance")


def test_calibrations_go_with_the_map(tmp_path: Path) -> None:
    reference = ReferenceMap("floppynet", "ab" * 32)
    learned = Calibration("none", (0.1, 0.7), (1.0, 0.25), 0.5, 0.9, 100, 40, 37)
    reference.calibrations["none"] = learned
    reference.save(tmp_path / "map.fvm")
    assert ReferenceMap.load(tmp_path / "map.fvm").calibrations == {"none": learned}


@pytest.mark.parametrize(
    ("levels", "shares"),
    [((), ()), ((0.2, 0.1), (0.5, 0.5)), ((0.1,), (1.5,)), ((float("nan"),), (0.5,))],
)
def test_a_calibration_that_is_no_curve_is_refused(
    levels: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match="calibrations"):
        Calibration("none", levels, shares, 0.5, 0.9, 1, 1, 1)


@pytest.fixture
def drives(tmp_path: Path) -> tuple[Path, Path]:
    """A map of 60 views along a way, and the folder of the same views at dusk."""
    small = np.random.default_rng(1).integers(0, 256, (6, 140, 3), np.uint8)
    wide = cv2.resize(small, (2800, 120), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(2)
    for name in ("day", "dusk"):
        (tmp_path / name).mkdir()
    for number in range(60):
        view = wide[:, 40 * number : 40 * number + 160]
        dark = 0.6 * view + noise.normal(0, 12, view.shape)
        cv2.imwrite(str(tmp_path / "day" / f"{number:03}.png"), view)
        cv2.imwrite(str(tmp_path / "dusk" / f"{number:03}.png"), np.clip(dark, 0, 255))
    path = tmp_path / "way.fvm"
    assert build_map.main([str(tmp_path / "day"), "--output", str(path)]) == 0
    return path, tmp_path / "dusk"


def test_the_command_teaches_a_map_all_ways_of_detection(
    drives: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, dusk = drives
    assert calibrate.main([str(path), str(dusk), "--precision", "0.9"]) == 0
    told = capsys.readouterr().out
    reference = ReferenceMap.load(path)
    assert set(reference.calibrations) == {
        way.replace("*", sequence)
        for way in ("tolerant *", "rigid *", "rigid * less mean")
        for sequence in ("none", "filter", "line")
    }
    assert told.count("mean score -> share right") == 9
    assert map_info.main([str(path)]) == 0
    assert capsys.readouterr().out.count("calibrated ") == 9
    detector = LoopClosureDetector(reference)
    extractor = create_extractor()
    for image in sorted(dusk.iterdir())[:20]:
        rgb = cv2.cvtColor(cv2.imread(str(image)), cv2.COLOR_BGR2RGB)
        detection = detector.detect(extractor.describe(rgb))
    assert detection.detected
    assert detection.limits.origin == "calibrated"


def test_truth_may_come_from_a_file(
    drives: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, dusk = drives
    before = path.read_bytes()
    truth = tmp_path / "truth.csv"
    truth.write_text("query,ref\n" + "".join(f"{2 * i},{2 * i}\n" for i in range(30)))
    out = tmp_path / "taught.fvm"
    arguments = [str(path), str(dusk), "--every", "2", "--precision", "0.9", "-o", str(out)]
    assert calibrate.main([*arguments, "--truth", str(truth)]) == 0
    assert "30 queries, 30 of them at places" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert ReferenceMap.load(out).calibrations
    assert calibrate.main(arguments) == 1
    assert "30 frames and" in capsys.readouterr().err


@pytest.mark.parametrize("matching", ["tolerant", "rigid"])
def test_what_every_other_frame_of_gardens_point_teaches_holds_for_the_rest(
    data_dir: Path, matching: str
) -> None:
    extractor = create_extractor()

    def describe(name: str) -> NDArray[np.float32]:
        images = sorted((data_dir / "gardens_point" / name).glob("*.jpg"))
        read = (cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in images)
        return np.stack([extractor.describe(rgb) for rgb in read])

    places, queries = describe("day_right"), describe("night_right")
    reference = ReferenceMap.for_weights(extractor.weights)
    reference.extend(places, [str(index) for index in range(len(places))])
    options = DetectorOptions(matching=matching, sequence="none")
    detector = LoopClosureDetector(reference, options)
    found = [detector.detect(query) for query in queries]
    measures = np.array([detection.measure for detection in found])
    best = np.array([detection.candidates[0].index for detection in found])
    right = np.abs(best - np.arange(200)) <= 2
    odd = np.arange(200) % 2 == 1
    for learn in (odd, ~odd):
        learned = fit(options.mode, measures[learn], right[learn], 0.85, options.measure)
        rest = measures[~learn]
        accepted = rest <= learned.limit if matching == "rigid" else rest >= learned.limit
        assert accepted.sum() >= 10
        assert right[~learn][accepted].mean() > 0.75
