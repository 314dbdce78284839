# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""rtabmap gets from its PyDescriptor file what this package computes; rtabmap itself is not run."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from floppynet_vpr.extraction import create_extractor

FOLDER = Path(__file__).resolve().parents[1] / "rtabmap"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The file as rtabmap imports it: by its name, its folder at the end of the path."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(FOLDER)])
    yield importlib.import_module("rtabmap_floppynet")
    sys.modules.pop("rtabmap_floppynet")


def as_rtabmap_passes(image: np.ndarray) -> np.ndarray:
    """OpenCV's (H, W, C) bytes as a signed array of three dimensions over memory of another."""
    memory = (ctypes.c_int8 * image.size).from_buffer_copy(image.tobytes())
    rows, columns = image.shape[:2]
    return np.ctypeslib.as_array(memory).reshape(rows, columns, -1)


def picture() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (120, 160, 3), np.uint8)


def assert_is_what_rtabmap_takes(row: np.ndarray) -> None:
    assert row.shape == (1, 9216) and row.dtype == np.float32
    assert row.flags.c_contiguous  # it reads the memory as it lies
    assert np.linalg.norm(row) == pytest.approx(1)


def test_an_image_gives_the_descriptor_of_this_package(script: ModuleType) -> None:
    rgb = picture()
    script.init(9216)
    row = script.extract(as_rtabmap_passes(rgb[:, :, ::-1]))
    assert_is_what_rtabmap_takes(row)
    assert np.array_equal(row[0], create_extractor().describe(rgb))


def test_a_grey_image_is_described_as_its_grey_picture(script: ModuleType) -> None:
    grey = picture()[:, :, 0]
    script.init(9216)
    row = script.extract(as_rtabmap_passes(grey))
    assert_is_what_rtabmap_takes(row)
    assert np.array_equal(row[0], create_extractor().describe(np.stack([grey] * 3, axis=2)))


def test_another_length_is_told_without_an_exception_from_init(script: ModuleType) -> None:
    script.init(4096)
    with pytest.raises(RuntimeError, match="PyDescriptor/Dim is 4096: set it to 9216"):
        script.extract(as_rtabmap_passes(picture()))
    script.init(9216)
    assert_is_what_rtabmap_takes(script.extract(as_rtabmap_passes(picture())))
