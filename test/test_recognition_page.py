# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The commands on the page about recognition run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.commands import evaluate
from floppynet_vpr.detection import DetectorOptions
from floppynet_vpr.detection.agreement import AGREEING, IMAGES

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "recognition.md").read_text("utf-8")


def write_drive(folder: Path, seed: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(24):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        picture = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / f"image_{number:03}.png"), picture)


def test_commands_on_the_page_measure_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, seed in (("lap_1", 1), ("lap_2", 1), ("elsewhere", 2)):
        write_drive(tmp_path / folder, seed)
    found = []
    for line in re.findall(r"^ros2 run floppynet_vpr evaluate (.*)$", PAGE, re.MULTILINE):
        assert evaluate.main(shlex.split(line)) == 0
        found.append(json.loads(Path("results/results.json").read_text("utf-8"))[0])
    same, elsewhere = found
    assert same["s_p100"] == 100 and same["detection"]["recall"] > 0.5
    assert elsewhere["detection"]["revisits"] == 0
    assert elsewhere["detection"]["wrong_per_1000_unseen"] == 0


def test_the_page_names_the_numbers_in_force() -> None:
    assert f"{AGREEING:g} must agree, on average of the last {IMAGES} images" in " ".join(
        PAGE.split()
    )
    assert f"`{DetectorOptions().verification}` (default)" in PAGE
