# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark measures everything that works here, in turns; speed itself is not tested."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from floppynet_vpr.commands.benchmark import main
from floppynet_vpr.evaluation.board import describe_board
from floppynet_vpr.evaluation.timing import Contender, measure
from floppynet_vpr.extraction.factory import CONCRETE_BACKENDS
from floppynet_vpr.network.onnx_float import random_baseline


def test_calls_take_turns_after_one_that_is_not_counted() -> None:
    order: list[str] = []
    contenders = [Contender(name, 1, lambda name=name: order.append(name)) for name in "ab"]
    timings = measure(contenders, runs=7)
    assert "".join(order) == 2 * (6 * "a" + 6 * "b")
    assert [(t.name, t.threads, t.runs) for t in timings] == [("a", 1, 10), ("b", 1, 10)]
    assert all(0 < t.p10_ms <= t.median_ms <= t.p90_ms for t in timings)


def test_every_backend_and_stage_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speed.json"
    assert main(["--runs", "1", "--threads", "2", "--markdown", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    measured = {(entry["name"], entry["threads"]): entry for entry in report["networks"]}
    for backend in CONCRETE_BACKENDS:
        assert (f"FloppyNet {backend}", 1) in measured
        assert (f"FloppyNet {backend}", 2) in measured
        assert (f"BinaryNet {backend}", 1) in measured
    assert ("Baseline onnxruntime", 1) in measured
    assert measured[report["reference"], 1]["ratio"] == 1
    stages = {entry["name"] for entry in report["stages"]}
    assert {"packed-faiss conv2", "resize 640x480", "normalise", "search 1000 places"} <= stages
    assert report["machine"]["libraries"]["numpy"] == np.__version__

    printed = capsys.readouterr().out
    assert report["machine"]["cpu"] in printed
    assert "| FloppyNet packed-numpy | 1 |" in printed


def test_a_missing_tflite_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    status = main(["--runs", "1", "--threads", "1", "--tflite", str(tmp_path / "none.tflite")])
    said = capsys.readouterr().err + caplog.text
    # Without Larq Compute Engine there is nothing to measure the file with.
    assert ("none.tflite" in said) if status else ("Larq Compute Engine" in said)


def test_the_baseline_has_the_familys_output() -> None:
    session = onnxruntime.InferenceSession(random_baseline(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, 227, 227, 3), np.uint8)
    (pool5,) = session.run(None, {"image": image})
    assert pool5.shape == (1, 6, 6, 256)
    assert (pool5 >= 0).all()
    assert pool5.any()


def test_a_report_says_what_board_it_is_and_that_all_backends_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "board.md"
    assert main(["--runs", "1", "--threads", "1", "--report", str(file)]) == 0
    said = file.read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", said, re.MULTILINE))
    assert rows["memory"].endswith(" MiB") and rows["peak of this process"].endswith(" MiB")
    sums = [rows[f"pool5, {backend}"] for backend in CONCRETE_BACKENDS]
    assert len(set(sums)) == 1 and rows["pool5"] == "the same by all backends"
    assert "| FloppyNet packed-numpy | 1 |" in said
    assert "please send it" in capsys.readouterr().err


def test_a_board_is_described_by_what_its_kernel_says(tmp_path: Path) -> None:
    files = {
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "etc/os-release": 'NAME=x\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n',
        "proc/meminfo": "MemTotal:        8245720 kB\nMemFree: 1 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/class/thermal/thermal_zone0/temp": "61250\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    facts = describe_board(tmp_path)
    assert facts["model"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert facts["system"].startswith("Ubuntu 24.04.1 LTS, Linux ")
    assert facts["memory"] == "8052 MiB"
    assert facts["clock"] == "up to 2.40 GHz, governor ondemand"
    assert facts["temperature"] == "61 degrees after the run"


def test_a_board_that_says_nothing_of_itself_is_not_known(tmp_path: Path) -> None:
    facts = describe_board(tmp_path)
    assert facts["model"] == facts["memory"] == facts["clock"] == "not known"
