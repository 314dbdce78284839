# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A dataset becomes two bags that know where they were taken, and evaluate reads them back."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import evaluate, make_bag
from floppynet_vpr.datasets.bags_reading import BagFrames, read_fixes
from floppynet_vpr.datasets.catalogue import Pair
from floppynet_vpr.datasets.dataset_bags import DAY_NS, pair_files
from floppynet_vpr.datasets.gps import positions_at
from floppynet_vpr.datasets.sources import open_source
from floppynet_vpr.errors import VprError

FRAMES = 6
DATASET = """
title: Small street
pairs: [{query: evening, reference: morning}]
truth: {rule: metres, tolerance: 40}
rate_hz: 2
layouts:
  - name: folders
    traverses:
      morning: {paths: [morning], gps: [morning.csv]}
      evening: {paths: [evening], gps: [evening.csv]}
  - name: bags
    traverses:
      morning: {paths: [street_morning]}
      evening: {paths: [street_evening]}
"""


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Two drives with GPS, a frame every 30 m, and the dataset file `street.yaml`."""
    (tmp_path / "street.yaml").write_text(DATASET)
    for name in ("morning", "evening"):
        (tmp_path / "data" / name).mkdir(parents=True)
        lines = ["latitude,longitude"]
        for place in range(FRAMES):
            pattern = np.random.default_rng(place).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            image = cv2.resize(pattern, (96, 72), interpolation=cv2.INTER_CUBIC)
            assert cv2.imwrite(str(tmp_path / "data" / name / f"{place}.jpg"), image)
            lines.append(f"{52.5 + place * 30 / 111_267:.8f},13.3")
        (tmp_path / "data" / f"{name}.csv").write_text("\n".join(lines))
    return tmp_path


def make(street: Path, *more: str, root: str = "data") -> int:
    arguments = ["--dataset", str(street / "street.yaml"), "--root", str(street / root)]
    return make_bag.main([*arguments, "--output", str(street / "bags"), *more])


def test_both_drives_become_bags_with_gps_and_truth(street: Path) -> None:
    assert make(street, "--start-time", "1000") == 0
    files = pair_files(street / "bags", "street", Pair("evening", "morning"))
    for bag, start_ns in ((files.reference, 10**12), (files.query, 10**12 + DAY_NS)):
        source = open_source(bag)
        assert isinstance(source, BagFrames) and source.topic == "/camera/image_raw/compressed"
        stamps = source.stamps_ns()
        assert stamps == [start_ns + i * 500_000_000 for i in range(FRAMES)]
        assert [frame.stamp_ns for frame in source] == stamps
        fixes = read_fixes(bag)
        assert [fix[0] for fix in fixes] == stamps
        assert fixes[2][1:] == pytest.approx((52.5 + 60 / 111_267, 13.3), abs=1e-7)
    assert files.truth.read_text().splitlines()[:3] == ["query,ref,ref_last", "0,0,1", "1,0,2"]


def test_the_files_are_kept_as_they_are(street: Path) -> None:
    assert make(street) == 0
    frames = list(open_source(street / "bags" / "street_evening"))
    files = sorted((street / "data" / "evening").glob("*.jpg"))
    assert [frame.encoded for frame in frames] == [file.read_bytes() for file in files]


def test_bags_are_evaluated_like_the_folders(street: Path) -> None:
    assert make(street) == 0
    bags = street / "bags"
    own = ["--query", str(bags / "street_evening"), "--reference", str(bags / "street_morning")]
    own += ["--truth", str(bags / "street_evening_on_morning.csv")]
    dataset = ["--dataset", str(street / "street.yaml"), "--root"]
    results = []
    for number, arguments in enumerate((own, [*dataset, str(street / "data")],
                                        [*dataset, str(bags)])):  # fmt: skip
        out = street / f"out_{number}"
        assert evaluate.main([*arguments, "-o", str(out)]) == 0
        (result,) = json.loads((out / "results.json").read_text())
        results.append((result["s_p100"], result["auc_pr"], result["recall_at_5"]))
    assert results[0] == results[1] == results[2] == (100, 1, 1)


def test_frames_that_cannot_be_read_are_left_out_of_bags_positions_and_truth(
    street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (street / "data" / "morning" / "1.jpg").write_bytes(b"damaged")
    (street / "data" / "evening" / "4.jpg").write_bytes(b"")
    assert make(street, "--strict") == 1
    assert "1.jpg" in capsys.readouterr().err
    assert make(street, "--start-time", "1000") == 0
    assert "could not be used: 2" in capsys.readouterr().err
    files = pair_files(street / "bags", "street", Pair("evening", "morning"))
    for bag, kept in ((files.reference, [0, 2, 3, 4, 5]), (files.query, [0, 1, 2, 3, 5])):
        source = open_source(bag)
        first = 10**12 + (DAY_NS if bag == files.query else 0)
        assert [frame.stamp_ns for frame in source] == [first + n * 500_000_000 for n in kept]
        where = [latitude for _, latitude, _ in read_fixes(bag)]
        assert where == pytest.approx([52.5 + n * 30 / 111_267 for n in kept], abs=1e-7)
    pairs = [line.split(",") for line in files.truth.read_text().splitlines()[1:]]
    # Within 40 m are neighbours; of query 1 its own place is gone.
    assert pairs[:2] == [["0", "0", "0"], ["1", "0", "1"]]
    assert pairs[-1] == ["4", "3", "4"]


def test_fewer_frames_are_spread_over_the_drive(street: Path) -> None:
    assert make(street, "--frames", "3", "--encoding", "mono8") == 0
    source = open_source(street / "bags" / "street_morning")
    assert (
        isinstance(source, BagFrames) and source.topic == "/camera/image_raw" and len(source) == 3
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "nordland"], "needs --root"),
        (["a", "b", "--dataset", "nordland"], "name the output folder with --output"),
        (["only"], "name SOURCE and OUT"),
        (["--dataset", "nordland", "--root", ".", "--output", "x", "--every", "2"], "see --frames"),
    ],
)
def test_half_a_command_line_is_explained(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_bag.main(arguments) == 1
    assert said in capsys.readouterr().err


def test_positions_are_those_of_the_nearest_fix() -> None:
    fixes = [(0, 1.0, 1.0), (10**9, 2.0, 2.0)]
    found = positions_at(fixes, [0, 4 * 10**8, 6 * 10**8, 19 * 10**8], "bag")
    assert found[:, 0].tolist() == [1, 1, 2, 2]
    assert positions_at(fixes[:1], [5], "bag").tolist() == [[1, 1]]
    with pytest.raises(VprError, match="bag: 1 of 2 images have no GPS fix within a second"):
        positions_at(fixes, [0, 3 * 10**9], "bag")
