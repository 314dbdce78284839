# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The threads of the node survive what nobody foresaw, and say it once."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.weights import load_weights
from floppynet_vpr.ros.frame_worker import FrameWorker
from floppynet_vpr.ros.guard import UnforeseenErrors
from floppynet_vpr.ros.map_saver import MapSaver
from floppynet_vpr.ros.statistics import FrameStatistics

PATIENCE_S = 60


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, text: str) -> None:
        self.errors.append(text)

    warning = error


def test_each_kind_of_internal_error_is_logged_once_with_its_traceback() -> None:
    log, done = Log(), threading.Event()

    def process(message: Any, _arrived: float) -> None:
        if message == "last":
            done.set()
        elif message == "zero":
            raise ZeroDivisionError("first kind")
        else:
            raise KeyError("second kind")

    errors = UnforeseenErrors(log)
    worker = FrameWorker(process, 10, FrameStatistics(), log, errors, lambda: True, 1)
    for message in ("zero", "zero", "key", "key", "zero", "last"):
        worker.put(message)
    assert done.wait(PATIENCE_S), "the worker did not reach the last image"
    worker.close()
    assert errors.count == 5
    assert ["first kind" in text for text in log.errors] == [True, False]
    assert all("Traceback" in text and "test_frame_worker.py" in text for text in log.errors)


def test_a_saving_that_runs_out_of_memory_is_said_and_tried_again(tmp_path: Path) -> None:
    reference = ReferenceMap.for_weights(load_weights(None))
    failed, calls, warnings = threading.Event(), [0], list[str]()

    def content() -> Any:
        calls[0] += 1
        if calls[0] < 3:
            raise MemoryError
        return 1, reference.content()

    def warn(text: str) -> None:
        warnings.append(text)
        failed.set()

    growing: Any = SimpleNamespace(version=(0, 0), content=content)
    saver = MapSaver(tmp_path / "map.fvm", growing, lambda: 0.01, warn)
    growing.version = (0, 1)
    saver.start()
    assert failed.wait(PATIENCE_S), "nothing was said"
    saver.stop()
    while saver.error:  # the errors to come, if it was stopped before them
        saver.start()
        saver.stop()
    saver.close()
    assert (tmp_path / "map.fvm").exists()
    assert len(warnings) == 1 and "not enough memory" in warnings[0]
