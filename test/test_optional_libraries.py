# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Without the libraries that apt has not, all that is computed stays the same, bit for bit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from absent import without
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr import libraries
from floppynet_vpr.extraction import create_extractor, hamming
from floppynet_vpr.libraries import LIBRARIES, gains, optional, require
from floppynet_vpr.mapping import ReferenceMap

ALL = tuple(LIBRARIES)

# Descriptors, a map larger than a search compares, and every kind of answer about it.
PROGRAM = """
import hashlib, sys
import numpy as np
from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.mapping import ReferenceMap

def told(what, *arrays):
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in arrays))
    print(what, digest.hexdigest())

rng = np.random.default_rng(5)
images = rng.integers(0, 256, (3, 90, 120, 3), np.uint8)
extractor = create_extractor()
described = np.array([extractor.describe(image) for image in images])
told("descriptors", described)
ways = rng.normal(size=(30, 9216)).astype(np.float32)
rows = (rng.normal(size=(2400, 30)).astype(np.float32)[:, :, None] * 1.0)
rows = np.stack([np.multiply(row, ways).sum(axis=0) for row in rows])
rows /= np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
reference = ReferenceMap.for_weights(extractor.weights)
reference.extend(np.concatenate([rows, described]), [""] * 2403)
found = reference.search(np.concatenate([rows[::600], described]), 9)
told("search", found.indices, found.distances)
for matching in ("tolerant", "rigid"):
    for sequence in ("none", "filter"):
        options = DetectorOptions(matching=matching, sequence=sequence)
        detector = LoopClosureDetector(reference, options)
        answers = [detector.detect(row) for row in (*rows[700:704], *described)]
        candidates = [
            (one.index, one.distance, one.score, *one.shift)
            for answer in answers for one in answer.candidates
        ]
        told(matching + " " + sequence, np.array(candidates))
"""


def run(folder: Path, *lacking: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=without(folder, *lacking),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the program prints where nothing is absent."""
    done = run(tmp_path_factory.mktemp("complete"))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lacking", [("faiss",), ALL], ids=["faiss", "all"])
def test_all_that_is_computed_is_the_same_without(
    complete: str, lacking: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(tmp_path, *lacking)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == complete.splitlines()
    assert len(done.stdout.splitlines()) == 6


@given(st.integers(0, 2**32 - 1), st.integers(0, 700), st.integers(1, 40))
def test_differing_bits_are_counted_alike_by_faiss_and_by_numpy(
    seed: int, count: int, words: int
) -> None:
    rng = np.random.default_rng(seed)
    row, *rows = rng.integers(0, 256, (count + 1, 8 * words), np.uint8)
    others = np.array(rows, np.uint8).reshape(count, 8 * words)
    expected = np.unpackbits(row ^ others, axis=1).sum(axis=1)
    np.testing.assert_array_equal(hamming.differing_bits(row, others), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "optional", lambda name: None)
        np.testing.assert_array_equal(hamming.differing_bits(row, others), expected)


def test_nothing_would_be_gained_here() -> None:
    assert list(gains()) == []
    assert optional("faiss") is require("faiss")


def test_a_library_that_is_too_old_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(require("faiss"), "__version__", "1.7.4")
    with pytest.raises(ImportError, match=r'faiss 1\.7\.4 is too old: pip install "faiss-cpu>=1'):
        require("faiss")
    (gain,) = libraries.gains()
    assert gain.endswith(f"({LIBRARIES['faiss'].gain})")


def command(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = f"import sys; from floppynet_vpr.commands import {name}; sys.exit({name}.main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=without(folder, *ALL),
        capture_output=True,
        text=True,
    )


def test_maps_are_built_from_images_and_described_without(tmp_path: Path) -> None:
    folder, path = tmp_path / "images", tmp_path / "home.fvm"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        picture = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
    built = command(tmp_path, "build_map", folder, "--output", path)
    assert built.returncode == 0, built.stderr
    told = command(tmp_path, "map_info", path)
    assert told.returncode == 0 and "sound, 4 places" in told.stdout
    reference, extractor = ReferenceMap.load(path), create_extractor()
    for number in range(4):
        rgb = cv2.cvtColor(cv2.imread(str(folder / f"{number}.png")), cv2.COLOR_BGR2RGB)
        found = reference.search(extractor.describe(rgb), 1)
        assert found.indices[0, 0] == number


def test_a_bag_needs_rosbags_and_a_sentence_says_so(tmp_path: Path) -> None:
    bag = tmp_path / "drive.bag"
    bag.write_bytes(b"#ROSBAG V2.0\n" + bytes(100))
    done = command(tmp_path, "build_map", bag, "--output", tmp_path / "home.fvm")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: the bag {bag} cannot be read: rosbags is not installed: pip install "
        '"rosbags>=0.11.6"; or play it to the node, which maps what it is shown (mode:=mapping)\n'
    )


def test_the_node_starts_without_and_says_once_what_it_would_gain(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from node_harness import image_message, view

    monkeypatch.setenv("PYTHONPATH", without(tmp_path, *ALL)["PYTHONPATH"])
    start_node, client = (request.getfixturevalue(name) for name in ("start_node", "client"))
    node = start_node(mode="both", sequence="none", exclude_images=0, exclude_seconds=0.0)
    publisher = client.image_publisher()
    for number in (0, 3, 6, 0):
        publisher.publish(image_message(view(number), len(client.answers) + 1))
        client.wait_for_answers(len(client.answers) + 1)
    assert client.answers[-1].candidates[0].distance < 0.01
    (told,) = re.findall(r"would gain by: (.*)", node.log)
    for name, library in LIBRARIES.items():
        assert f"{name} is not installed: {library.advice} ({library.gain})" in told
