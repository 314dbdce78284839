# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A network laid out in flat arrays, as the compiled function walks through it.

All feature maps lie in one array of 32-bit words, each with its padding around it, which is
written here once. The first map is the image, four bytes a word. Positions come in groups of
four: the four that a pool reduces to one, or any four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.stages import Stage
from floppynet_vpr.network.bits import pack_signs
from floppynet_vpr.network.layers import INPUT_SHAPE

WORD_BYTES = 4
PATCHES = 4
"""Positions of a group."""
MAX_PIXEL_RUN, MAX_BIT_RUN = 63, 31
"""Most words between widenings: 16-bit sums take 63 * 510, byte counters 31 * 8."""
STATE_SIZE = 2
"""Counters that threads share: the next task, and how many are done."""
_ALIGNMENT = 64
_TASKS = 24  # a stage: enough for four threads to end together, few enough to cost nothing
_LEAST_GROUPS = 3  # a task: each reads all filters anew

STAGE = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("pixels", "pooled", "last"),  # what kind of stage: 0 or 1
            *("groups", "groups_per_task", "tasks", "first_task"),
            *("chunks", "run", "filters", "filters_at"),
            # Where these begin in the tables: the first words of the groups' patches in the maps,
            # the words of a patch, per patch the start of its row of `reach`, and its output.
            *("starts", "offsets", "reach_rows", "reach", "outputs", "thresholds", "flips"),
        )
    ]
)
"""One stage: sizes, and indices into the plan's arrays."""


@dataclass(frozen=True)
class Blocking:
    """What the compiled code asks of the layout.

    Filters are interleaved in blocks of `filters`; pixels are int8, less 128, where
    `signed_pixels`.
    """

    filters: int
    signed_pixels: bool


@dataclass(frozen=True)
class Plan:
    """The arrays of one network, with `image` and `pool5` as its input and output.

    `image` is a (227, 681) uint8 view of the first map; `pool5` is (6 * 6 * 256,) int16.
    """

    stages: NDArray[np.void]
    maps: NDArray[np.uint32]
    filters: NDArray[np.uint32]
    tables: NDArray[np.int32]
    pool5: NDArray[np.int16]
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class _Map:
    """A padded map's place: the word of its first real pixel; words a row and a pixel.

    Of the image, which has no whole words a pixel, `pixel` is the step from patch to patch.
    """

    origin: int
    pitch: int
    pixel: int


class _Arena:
    """Arrays end to end."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._parts: list[NDArray[np.generic]] = []
        self._dtype = dtype

    def keep(self, values: NDArray[np.generic]) -> int:
        """Append and return where it begins."""
        start = sum(map(len, self._parts))
        self._parts.append(values.reshape(-1).astype(self._dtype))
        return start

    def joined(self) -> NDArray[Any]:
        """Everything in one array, aligned so that no vector load straddles cache lines."""
        size = sum(part.nbytes for part in self._parts)
        room = np.empty(size + _ALIGNMENT, np.uint8)
        start = -room.ctypes.data % _ALIGNMENT
        return np.concatenate(self._parts, out=room[start : start + size].view(self._dtype))


def make_plan(stages: tuple[Stage, ...], blocking: Blocking) -> Plan:
    """Lay out `stages` for the compiled code."""
    words, filters, tables = _Arena(np.uint32), _Arena(np.uint32), _Arena(np.int32)
    maps = [_image_map(stages[0], words), *(_bit_map(stage, words) for stage in stages[1:])]
    records = np.zeros(len(stages), STAGE)
    for index, stage in enumerate(stages):
        record, source = records[index], maps[index]
        pixels = index == 0
        record["pixels"], record["pooled"] = pixels, stage.pooled
        record["last"] = stage.sign is None

        rows, columns = _positions(stage)
        groups = len(rows) // PATCHES
        each = max(_LEAST_GROUPS, -(-groups // _TASKS))
        record["groups"], record["groups_per_task"] = groups, each
        record["tasks"] = -(-groups // each)
        record["first_task"] = records["tasks"][:index].sum()

        packed = _pixel_filters(stage) if pixels else _bit_filters(stage)
        count, size, row_words = packed.shape
        words_of_patch = np.add.outer(np.arange(size) * source.pitch, np.arange(row_words))
        record["offsets"] = tables.keep(words_of_patch)
        chunks = _chunks(size * row_words, MAX_PIXEL_RUN if pixels else MAX_BIT_RUN)
        record["chunks"], record["run"] = chunks, size * row_words // chunks
        blocks = packed.reshape(count // blocking.filters, blocking.filters, -1)
        record["filters"] = count
        record["filters_at"] = filters.keep(blocks.transpose(0, 2, 1))

        stride = stage.conv.stride
        corner = source.origin - stage.conv.pad * (source.pitch + source.pixel)
        record["starts"] = tables.keep(
            corner + rows * stride * source.pitch + columns * source.pixel
        )
        if pixels:
            offset = 128 * stage.filters.sum((1, 2, 3), dtype=np.int32)
            reach = offset * blocking.signed_pixels
        else:
            reach = stage.reach
        values, which = _distinct_rows(reach, rows, columns, count)
        record["reach"], record["reach_rows"] = tables.keep(values), tables.keep(which * count)

        pool = 2 if stage.pooled else 1
        if stage.sign is None:
            out = (rows // pool * stage.output_shape[1] + columns // pool) * count
        else:
            target = maps[index + 1]
            out = target.origin + rows // pool * target.pitch + columns // pool * target.pixel
            record["thresholds"] = tables.keep(stage.sign.threshold)
            flips = np.packbits(stage.sign.flip, bitorder="little")
            record["flips"] = tables.keep(flips.view(np.int32))
        record["outputs"] = tables.keep(out)

    arena = words.joined()
    row_bytes = INPUT_SHAPE[1] * INPUT_SHAPE[2]
    image = arena.view(np.uint8)[: INPUT_SHAPE[0] * maps[0].pitch * WORD_BYTES]
    return Plan(
        stages=records,
        maps=arena,
        filters=filters.joined(),
        tables=tables.joined(),
        pool5=np.empty(int(np.prod(stages[-1].output_shape)), np.int16),
        image=image.reshape(INPUT_SHAPE[0], -1)[:, :row_bytes],
    )


def _image_map(stage: Stage, words: _Arena) -> _Map:
    height, width, channels = INPUT_SHAPE
    pitch = -(-width * channels // WORD_BYTES)
    origin = words.keep(np.zeros(height * pitch, np.uint32))
    return _Map(origin, pitch, stage.conv.stride * channels // WORD_BYTES)


def _bit_map(stage: Stage, words: _Arena) -> _Map:
    rows, columns, channels = stage.input_shape
    pad, pixel = stage.conv.pad, channels // 32
    pitch = (columns + 2 * pad) * pixel
    padding = 0xFFFFFFFF if stage.padding_value == 1 else 0
    start = words.keep(np.full((rows + 2 * pad) * pitch, padding, np.uint32))
    return _Map(start + pad * (pitch + pixel), pitch, pixel)


def _positions(stage: Stage) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of all positions, `PATCHES` a group, the last one repeated to fill up."""
    rows, columns = np.indices((stage.rows, stage.columns))
    if stage.pooled:
        shape = (stage.rows // 2, 2, stage.columns // 2, 2)
        rows, columns = (v.reshape(shape).swapaxes(1, 2) for v in (rows, columns))
    missing = -rows.size % PATCHES
    rows, columns = (np.pad(v.reshape(-1), (0, missing), mode="edge") for v in (rows, columns))
    return rows, columns


def _chunks(words: int, longest: int) -> int:
    """Into how many equal parts, none longer than `longest`, to divide `words`."""
    return next(n for n in range(1, words + 1) if words % n == 0 and words // n <= longest)


def _pixel_filters(stage: Stage) -> NDArray[np.uint32]:
    """Filters as words of four int8, rows filled up with zeros: (out, kernel, words)."""
    count, size = stage.filters.shape[:2]
    rows = stage.filters.reshape(count, size, -1)
    rows = np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % WORD_BYTES)))
    return np.ascontiguousarray(rows).view(np.uint32)


def _bit_filters(stage: Stage) -> NDArray[np.uint32]:
    """Filters as words of 32 bits: (out, kernel, words)."""
    packed = pack_signs(stage.filters).view(np.uint32)
    return packed.reshape(*packed.shape[:2], -1)


def _distinct_rows(
    reach: NDArray[np.int32], rows: NDArray[np.int64], columns: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Per position the row of `count` values it takes, and these rows without repetitions."""
    if reach.ndim < 3:
        return np.broadcast_to(reach, (1, count)), np.zeros(len(rows), np.int64)
    values, which = np.unique(reach[rows, columns], axis=0, return_inverse=True)
    return values, which.reshape(-1)
