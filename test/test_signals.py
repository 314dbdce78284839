# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Commands that are terminated, or whose terminal is closed, leave nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from floppynet_vpr.signals import ended_as_by_ctrl_c

PATIENCE_S = 120.0
ENDING = (signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("sign", ENDING)
def test_the_signal_is_a_keyboard_interrupt_only_inside(sign: signal.Signals) -> None:
    before = signal.getsignal(sign)
    with pytest.raises(KeyboardInterrupt), ended_as_by_ctrl_c():
        os.kill(os.getpid(), sign)
        threading.Event().wait(PATIENCE_S)
    assert signal.getsignal(sign) == before


def test_what_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_interrupts_code_made_of_text_ends_with_the_same_status(tmp_path: Path) -> None:
    (tmp_path / "made_of_text.py").write_text(
        "from floppynet_vpr.commands.common import run\nimport sys\n"
        "sys.exit(run(lambda: exec('raise KeyboardInterrupt')))\n"
    )
    words = [sys.executable, "-m", "made_of_text"]
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("sign", ENDING)
def test_a_command_removes_what_it_had_begun(sign: signal.Signals, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    cv2.imwrite(str(images / "0.bmp"), noise)
    for index in range(1, 2000):  # for as long as it takes to be noticed
        (images / f"{index}.bmp").symlink_to(images / "0.bmp")
    words = [str(images), str(tmp_path / "bag"), "--compressed", "png"]
    with subprocess.Popen(
        [sys.executable, "-m", "floppynet_vpr.commands.make_bag", *words],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not list(tmp_path.glob(".bag.*.part/*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(sign)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and err.endswith("interrupted\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["images"]
