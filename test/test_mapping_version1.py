# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Map files of version 1 are read, whichever way they keep descriptors, or refused by name."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from floppynet_vpr.commands import map_info
from floppynet_vpr.extraction.local_features import pack_features, row_bytes
from floppynet_vpr.mapping import MapError, Pose, ReferenceMap
from floppynet_vpr.mapping.cells import turn
from floppynet_vpr.mapping.grid import POOL5

SKETCH_BYTES = 128
LEAST_COSINE = {
    "float32": 1 - 1e-6,
    "float16": 1 - 1e-6,
    "int8": 0.9999,
    "pq": 0.99,
    "binary": 0.88,
}
"""Of descriptors and what a storage gives back."""

_LEVELS = (0.1284, 0.3881, 0.6568, 0.9424, 1.2562, 1.6181, 2.0691, 2.7326)


def random_descriptors(count: int, seed: int) -> NDArray[np.float32]:
    """Descriptors half of whose energy is in the means of their channels, (count, 9216)."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 1, 256)) + rng.normal(size=(count, 36, 256))
    rows = values.reshape(count, 9216)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def rotated(descriptor: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Channel means times 6, (256,), and the other coordinates, (8960,), by whole matrices."""
    cells = descriptor.reshape(36, 256).astype(np.float64)
    # The reflection that takes the vector of all 1 / 6 to the first axis.
    normal = np.full(36, 1 / 6) - np.eye(36)[0]
    mirrored = cells - 2 * np.outer(normal, normal @ cells) / (normal @ normal)
    hadamard = np.ones((1, 1))
    for _ in range(8):
        hadamard = np.kron([[1, 1], [1, -1]], hadamard)
    rest = mirrored[1:].reshape(-1)
    numbers = np.random.RandomState(227)
    for _ in range(2):
        order, signs = numbers.permutation(8960), 2 * numbers.randint(0, 2, 8960) - 1
        rest = ((rest[order] * signs).reshape(35, 256) @ hadamard / 16).reshape(-1)
    return mirrored[0], rest


def means_and_factor(descriptor: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float64]]:
    means, rest = rotated(descriptor)
    # The factor served distances and is not read any more.
    head = means.astype("<f2").tobytes() + np.array(0.5, "<f4").tobytes()
    return head, rest / np.sqrt((rest**2).mean())


def pq_row(descriptor: NDArray[np.float32]) -> bytes:
    head, rest = means_and_factor(descriptor)
    levels = np.array([-level for level in _LEVELS[::-1]] + list(_LEVELS))
    nearest = np.abs(rest[:, None] - levels).argmin(axis=1).astype(np.uint8)
    return head + (nearest[0::2] << 4 | nearest[1::2]).tobytes()


def binary_row(descriptor: NDArray[np.float32]) -> bytes:
    head, rest = means_and_factor(descriptor)
    return head + np.packbits(rest >= 0).tobytes()


def int8_row(descriptor: NDArray[np.float32]) -> bytes:
    largest = np.abs(descriptor).max()
    integers = np.rint(descriptor * (127 / largest)).astype(np.int8)
    return np.array(largest / 127, "<f4").tobytes() + integers.tobytes()


ROWS: dict[str, Callable[[NDArray[np.float32]], bytes]] = {
    "float32": lambda descriptor: descriptor.astype("<f4").tobytes(),
    "float16": lambda descriptor: descriptor.astype("<f2").tobytes(),
    "int8": int8_row,
    "pq": pq_row,
    "binary": binary_row,
}


def packed(facts: Any, tables: bytes) -> bytes:
    """Make a file of version 1."""
    text = json.dumps(facts).encode()
    text += b" " * (-len(text) % 64)
    head = b"\x89FVM\r\n\x1a\n" + (1).to_bytes(2, "little") + bytes(6)
    head += len(text).to_bytes(8, "little") + len(tables).to_bytes(8, "little")
    return head + hashlib.sha256(head + text + tables).digest() + text + tables


def facts_and_tables(
    storage: str, descriptors: NDArray[np.float32], features: int = 0
) -> tuple[dict[str, Any], bytes]:
    count = len(descriptors)
    rows = [ROWS[storage](descriptor) for descriptor in descriptors]
    sizes = {"rows": len(rows[0])} if rows else {}
    tables = b"".join(rows)
    if storage != "float32" and rows:
        sizes["sketches"] = SKETCH_BYTES
        tables += np.random.default_rng(0).bytes(SKETCH_BYTES * count)
    if features:
        sizes["features"] = row_bytes(features)
        tables += pack_features(None, features).tobytes() * count
    facts = {
        "network": "floppynet",
        "fingerprint": "ab" * 32,
        "storage": storage,
        "dimension": 9216,
        "tables": sizes,
        "names": [f"place {index}" for index in range(count)],
        "stamps_ns": [100 + index for index in range(count)],
        "poses": [[index, 2.5, 0, 0, 0, 0, 1] if index % 2 else None for index in range(count)],
        "calibrations": [],
    }
    return facts, tables


def assert_refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(MapError) as refusal:
        ReferenceMap.load(path)
    text = str(refusal.value)
    assert str(path) in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("storage", ROWS)
def test_a_map_of_version_1_is_read(storage: str, tmp_path: Path) -> None:
    path = tmp_path / "old.fvm"
    descriptors = random_descriptors(30, seed=0)
    facts, tables = facts_and_tables(storage, descriptors)
    path.write_bytes(packed(facts, tables))
    loaded = ReferenceMap.load(path)
    assert loaded.network == "floppynet"
    assert loaded.fingerprint == "ab" * 32
    assert loaded.storage == ("float32" if storage == "float32" else "binary")
    assert [place.name for place in loaded.places] == facts["names"]
    assert [place.stamp_ns for place in loaded.places] == facts["stamps_ns"]
    assert [place.number for place in loaded.places] == list(range(30))
    assert [place.pose for place in loaded.places] == [
        Pose(index, 2.5, 0) if index % 2 else None for index in range(30)
    ]
    (session,) = loaded.sessions
    assert (session.name, session.robot, session.frame, session.start_ns) == ("", "", "", 100)
    result = loaded.search(descriptors, 1)
    np.testing.assert_array_equal(result.indices[:, 0], np.arange(30))
    assert not loaded.features
    # The mean turned map tells how well the descriptors themselves were read.
    kept, exact = loaded.means()[0].ravel(), turn(descriptors, POOL5).mean(axis=0).ravel()
    assert kept @ exact / np.linalg.norm(kept) / np.linalg.norm(exact) > LEAST_COSINE[storage]
    if storage == "float32":
        np.testing.assert_array_equal(loaded.descriptors(), descriptors)


@pytest.mark.parametrize("storage", ROWS)
def test_a_map_of_version_1_is_read_in_the_same_way_each_time_and_saved_as_the_present_one(
    storage: str, tmp_path: Path
) -> None:
    old = tmp_path / "old.fvm"
    old.write_bytes(packed(*facts_and_tables(storage, random_descriptors(5, seed=0))))
    files = [tmp_path / "one.fvm", tmp_path / "two.fvm"]
    for path in files:
        ReferenceMap.load(old).save(path)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes()[8] == 2
    before, after = ReferenceMap.load(old), ReferenceMap.load(files[0])
    assert list(after.places) == list(before.places)
    query = random_descriptors(1, seed=1)
    np.testing.assert_array_equal(
        after.search(query, 5).distances, before.search(query, 5).distances
    )


def test_texts_for_sessions_and_features_of_version_1_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.fvm"
    facts, tables = facts_and_tables("int8", random_descriptors(6, seed=0), features=20)
    path.write_bytes(packed(facts | {"sessions": ["a", "a", "", "", "a", "b"]}, tables))
    loaded = ReferenceMap.load(path)
    assert [session.name for session in loaded.sessions] == ["a", "", "a", "b"]
    assert loaded.borders == [2, 4, 5]
    assert [place.number for place in loaded.places] == [0, 1, 0, 1, 0, 0]
    assert len({place.id for place in loaded.places}) == 6
    assert [session.start_ns for session in loaded.sessions] == [100, 102, 104, 105]
    assert loaded.features == 20
    assert loaded.add(random_descriptors(1, seed=1)[0], "new").session not in loaded.sessions[:4]


@pytest.mark.parametrize("storage", ROWS)
def test_an_empty_map_of_version_1_is_read(storage: str, tmp_path: Path) -> None:
    path = tmp_path / "old.fvm"
    path.write_bytes(packed(*facts_and_tables(storage, random_descriptors(0, seed=0))))
    loaded = ReferenceMap.load(path)
    assert len(loaded) == 0
    assert loaded.add(random_descriptors(1, seed=1)[0], "first").number == 0


@pytest.mark.parametrize("storage", ROWS)
def test_map_info_tells_of_a_map_of_version_1(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.fvm"
    path.write_bytes(packed(*facts_and_tables(storage, random_descriptors(4, seed=0))))
    assert map_info.main([str(path)]) == 0
    assert ("float32" if storage == "float32" else "binary") in capsys.readouterr().out


@pytest.mark.parametrize("storage", ROWS)
def test_a_file_of_version_1_cut_off_anywhere_is_refused(storage: str, tmp_path: Path) -> None:
    content = packed(*facts_and_tables(storage, random_descriptors(2, seed=0)))
    for length in [63, 64, *range(1024, len(content), 1024), len(content) - 1]:
        assert_refused(tmp_path / "old.fvm", content[:length])


@pytest.mark.parametrize("storage", ROWS)
def test_a_flipped_bit_in_a_file_of_version_1_is_refused(storage: str, tmp_path: Path) -> None:
    content = packed(*facts_and_tables(storage, random_descriptors(1, seed=0)))
    rng = random.Random(0)
    for bit in [*range(8 * 64), *rng.sample(range(8 * 64, 8 * len(content)), 100)]:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert_refused(tmp_path / "old.fvm", bytes(damaged))


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]},
        {"names": ["a", 2]},
        {"stamps_ns": [1, 2, 3]},
        {"stamps_ns": [1, "2"]},
        {"poses": [None, 7]},
        {"poses": [None, [1, 2]]},
        {"poses": [None, [1, 2, 3, 0, 0, 0, "w"]]},
        {"sessions": ["a"]},
        {"sessions": "ab"},
        {"sessions": ["a", None]},
        {"storage": "clay"},
        {"storage": "float16"},
        {"dimension": 4096},
        {"tables": {"rows": 9220}},
        {"tables": {"rows": 9220, "sketches": 64}},
        {"tables": {"rows": 9220, "sketches": 128, "features": 7}},
        {"tables": {"rows": 9220, "sketches": 128, "features": row_bytes(20)}},
        {"tables": []},
        {"network": None},
        {"fingerprint": 3},
        {"calibrations": [{"mode": "none"}]},
    ],
)
def test_inconsistent_facts_of_version_1_are_refused_even_with_a_right_checksum(
    change: dict[str, Any], tmp_path: Path
) -> None:
    facts, tables = facts_and_tables("int8", random_descriptors(2, seed=0))
    assert_refused(tmp_path / "old.fvm", packed(facts | change, tables))
