# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Networks of other kinds make maps, are detected with, calibrated, judged and closed loops by."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from absent import without
from numpy.typing import NDArray
from other_networks import SIDE, cell_network, global_network

from floppynet_vpr.commands import build_map, calibrate, evaluate, map_info
from floppynet_vpr.detection import DetectorOptions, LoopClosureDetector
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import ExtractionError, create_extractor, load_network
from floppynet_vpr.extraction.pipeline import DescribedFrame
from floppynet_vpr.graph.loop_closer import LoopCloser
from floppynet_vpr.graph.se3 import Transform
from floppynet_vpr.mapping import STORAGES, MapError, ReferenceMap
from floppynet_vpr.mapping import build_map as map_of

PLACES = 40
VGG = {"cells": (7, 7, 512), "global": (1, 1, 4096), "short": (1, 1, 300)}
SINGLE = DetectorOptions(sequence="none")


def _street() -> NDArray[np.uint8]:
    small = np.random.default_rng(1).integers(0, 256, (10, 200, 3), np.uint8)
    return cv2.resize(small, (20 * SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


STREET = _street()


def view(place: float, night: bool = False) -> NDArray[np.uint8]:
    """What is seen at a place of the street, from 0 to 40."""
    left = round(100 * place)
    picture = STREET[:, left : left + SIDE]
    if not night:
        return np.ascontiguousarray(picture)
    noise = np.random.default_rng(left).normal(0, 10, picture.shape)
    return np.clip(0.6 * picture + noise, 0, 255).astype(np.uint8)


def network_file(folder: Path, kind: str, seed: int = 0) -> Path:
    if kind == "cells":
        return cell_network(folder / "cells.onnx", 512, seed)
    return global_network(folder / f"{kind}.onnx", VGG[kind][2], seed)


@pytest.fixture(scope="module", params=VGG)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of network."""
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a network's file."""
    return network_file(tmp_path_factory.mktemp("models"), kind)


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The street by day and by night, as folders of images."""
    folder = tmp_path_factory.mktemp("drives")
    for name, night in (("day", False), ("night", True)):
        (folder / name).mkdir()
        for place in range(PLACES):
            image = cv2.cvtColor(view(place, night), cv2.COLOR_RGB2BGR)
            assert cv2.imwrite(str(folder / name / f"{place:02}.png"), image)
    return folder


@cache
def described(model: Path, night: bool = False) -> NDArray[np.float32]:
    """The descriptors of the street's places; by night from a little farther on."""
    extractor = create_extractor(model)
    views = [view(place + 0.05 * night, night) for place in range(PLACES)]
    return np.array([extractor.describe(rgb) for rgb in views])


def made_map(model: Path, storage: str) -> ReferenceMap:
    frames = (DescribedFrame(str(place), place, row) for place, row in enumerate(described(model)))
    return map_of(frames, load_network(model), storage=storage)


def test_a_network_tells_its_shape(model: Path, kind: str) -> None:
    network = load_network(model)
    assert network.shape == VGG[kind]
    described = create_extractor(network).describe(view(3))
    assert described.shape == (np.prod(VGG[kind]),) and described.dtype == np.float32
    assert np.linalg.norm(described) == pytest.approx(1, abs=1e-6)


def test_the_exact_storage_gives_exact_distances_and_the_lossy_one_nearly(model: Path) -> None:
    known, query = described(model), described(model, night=True)[7]
    apart = np.linalg.norm(known - query, axis=1)
    for storage in STORAGES:
        found = made_map(model, storage).search(query, PLACES)
        error = found.distances[0] - apart[found.indices[0]]
        assert np.abs(error).max() < (1e-6 if storage == "float32" else 0.05)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_map_is_the_same_after_saving_and_loading(
    model: Path, kind: str, storage: str, tmp_path: Path
) -> None:
    reference = made_map(model, storage)
    reference.save(tmp_path / "map.fvm")
    loaded = ReferenceMap.load(tmp_path / "map.fvm")
    assert loaded.grid.shape == VGG[kind] and loaded.network == kind
    query = described(model, night=True)[3]
    one, other = (known.search(query, 9) for known in (reference, loaded))
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.distances, other.distances)
    np.testing.assert_array_equal(reference.means(), loaded.means())
    dimension = int(np.prod(VGG[kind]))
    least = 8192 // 8 if kind != "cells" else 49 * 512 // 8
    bits = least + 4 * loaded.grid.cells
    assert loaded.bytes_per_place == bits + (4 * dimension if storage == "float32" else 0)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("matching", ["tolerant", "rigid"])
@pytest.mark.parametrize("sequence", ["filter", "none"])
def test_a_drive_by_night_is_recognised(
    model: Path, storage: str, matching: str, sequence: str
) -> None:
    options = DetectorOptions(matching=matching, sequence=sequence)
    detector = LoopClosureDetector(made_map(model, storage), options)
    found = [detector.detect(query) for query in described(model, night=True)]
    near = np.array([abs(one.candidates[0].index - place) <= 1 for place, one in enumerate(found)])
    detected = np.array([one.detected for one in found])
    assert near.mean() >= 0.9
    assert near[detected].all()
    assert detected.mean() > 0.5 or sequence == "none"


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-2, 0), (0, 1), (-1, -1)])
def test_a_map_of_cells_is_compared_with_shifts(tmp_path: Path, right: int, down: int) -> None:
    """What is a cell farther right in the image is a cell farther left in the place."""
    model = network_file(tmp_path, "cells")
    extractor, reference = create_extractor(model), made_map(model, "binary")
    detector = LoopClosureDetector(reference, SINGLE)
    for place in range(0, PLACES, 7):
        moved = np.roll(view(place), (32 * down, 32 * right), axis=(0, 1))
        best = detector.detect(extractor.describe(moved)).candidates[0]
        assert (best.index, best.shift) == (place, (-right, -down))


def test_a_global_descriptor_is_never_shifted(tmp_path: Path) -> None:
    model = network_file(tmp_path, "global")
    detector = LoopClosureDetector(made_map(model, "binary"), SINGLE)
    found = detector.detect(create_extractor(model).describe(view(5.1)))
    assert {candidate.shift for candidate in found.candidates} == {(0, 0)}


def test_a_map_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    reference = made_map(network_file(tmp_path, "global"), "binary")
    other = load_network(global_network(tmp_path / "other.onnx", 4096, seed=1))
    with pytest.raises(MapError, match=r"other weights \(global .*than those in use \(other "):
        reference.require_weights(other)
    with pytest.raises(MapError, match=r"than those in use \(floppynet "):
        reference.require_weights(load_network())


def test_the_fingerprint_is_of_model_and_description_but_not_of_its_words(tmp_path: Path) -> None:
    model = network_file(tmp_path, "short")
    before, described = load_network(model).fingerprint, model.with_suffix(".yaml")
    text = described.read_text()
    described.write_text("# a comment\n" + text.replace("Global", "Another title"))
    assert load_network(model).fingerprint == before
    described.write_text(text.replace("scale: 0.01", "scale: 0.02"))
    assert load_network(model).fingerprint != before
    described.write_text(text)
    network_file(tmp_path, "short", seed=1)
    assert load_network(model).fingerprint != before


@pytest.mark.parametrize("backend", ["packed", "packed-numpy", "onnxruntime-int8"])
def test_backends_of_the_family_are_refused(tmp_path: Path, backend: str) -> None:
    model = network_file(tmp_path, "short")
    with pytest.raises(ExtractionError, match="choose auto or onnxruntime"):
        create_extractor(model, backend)
    assert "CPU" in create_extractor(model, "onnxruntime").description


def test_weights_in_another_file_are_refused_for_no_fingerprint_tells_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    model = network_file(tmp_path, "short")
    onnx.save_model(
        onnx.load(model), str(model), save_as_external_data=True, location="short.onnx.data"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExtractionError, match="weights in another file: export it as a single"):
        create_extractor(model)


def test_a_model_that_gives_no_numbers_is_told_of(tmp_path: Path) -> None:
    model = network_file(tmp_path, "short")
    described = model.with_suffix(".yaml")
    described.write_text(described.read_text().replace("scale: 0.01", "scale: 1.0e+38"))
    with pytest.raises(VprError, match="Global gives values that are not finite"):
        create_extractor(model).describe(view(0))


def test_a_descriptor_too_long_for_a_map_is_refused(tmp_path: Path) -> None:
    model = global_network(tmp_path / "long.onnx", 70_000, hidden=1)
    with pytest.raises(VprError, match="cells of 70000 values cannot be put into a map"):
        ReferenceMap.for_weights(load_network(model))


def test_the_commands_take_it(
    model: Path, kind: str, drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, weights = tmp_path / "street.fvm", ["--weights", str(model)]
    assert build_map.main([str(drives / "day"), "--output", str(path), *weights]) == 0
    assert f"{kind}.onnx; onnxruntime" in capsys.readouterr().out
    assert map_info.main([str(path)]) == 0
    told = capsys.readouterr().out
    rows, columns, channels = VGG[kind]
    shape = f"{channels:,} values, no map" if rows == 1 else f"7 x 7 cells of {channels}"
    assert f"descriptors  {shape}" in told and f"weights      {kind} " in told
    assert map_info.main([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["descriptor"] == [rows, columns, channels]
    night = str(drives / "night")
    assert calibrate.main([str(path), night, "--precision", "0.9", *weights]) == 0
    assert ReferenceMap.load(path).calibrations
    assert calibrate.main([str(path), night]) == 1
    assert f"other weights ({kind} " in capsys.readouterr().err


def test_evaluate_answers_with_the_nodes_detector(model: Path, drives: Path) -> None:
    out = drives / f"out_{model.stem}"
    traverses = ["--query", str(drives / "night"), "--reference", str(drives / "day")]
    asked = ["--network", str(model), "--layer", "descriptor", "--tolerance", "1"]
    assert evaluate.main([*traverses, *asked, "-o", str(out)]) == 0
    (row,) = json.loads((out / "results.json").read_text())
    assert row["s_p100"] > 90 and row["detection"]["recall"] > 0.5


def test_loops_are_closed_with_it(model: Path) -> None:
    closer = LoopCloser(load_network(model))
    closed = []
    for second in range(2 * PLACES):
        lap, place = divmod(second, PLACES)
        way = Transform(float(2 * place), float(lap))
        step = closer.add(view(place, night=bool(lap)), second * 10**9, way)
        if step.closes is not None:
            closed.append(abs(step.closes.node - place) <= 2)
    assert len(closed) > 0.5 * PLACES
    assert np.mean(closed) > 0.95


def test_without_onnxruntime_a_sentence_says_what_to_install(
    model: Path, drives: Path, tmp_path: Path
) -> None:
    program = "import sys; from floppynet_vpr.commands import build_map; sys.exit(build_map.main())"
    arguments = [str(drives / "day"), "--output", str(tmp_path / "m.fvm"), "--weights", str(model)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=without(tmp_path, "onnxruntime"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"error: onnxruntime is not installed: pip install onnxruntime; {model} needs it\n"
    )
    assert not (tmp_path / "m.fvm").exists()


def test_the_node_recognises_with_it_and_refuses_another_networks_map(
    model: Path, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from node_harness import image_message

    from floppynet_vpr_msgs.srv import MapFile

    start_node, client = (request.getfixturevalue(name) for name in ("start_node", "client"))
    made_map(model, "binary").save(tmp_path / "street.fvm")
    foreign = tmp_path / "foreign.fvm"
    ReferenceMap("floppynet", "ab" * 32).save(foreign)
    node = start_node(map=tmp_path / "street.fvm", weights=model)
    publisher = client.image_publisher()
    for place in range(12):
        publisher.publish(image_message(view(place, night=True), place + 1))
        client.wait_for_answers(place + 1)
    best = [answer.candidates[0].place for answer in client.answers]
    assert sum(int(name) == place for place, name in enumerate(best)) >= 11
    assert any(answer.detected for answer in client.answers)
    refused = client.call(MapFile, "/vpr/load_map", path=str(foreign))
    assert not refused.success
    assert f"those in use ({kind} " in refused.message
    assert "descriptors of" in node.log


def test_models_are_found_beside_a_copy_of_their_description(tmp_path: Path) -> None:
    model = network_file(tmp_path, "short")
    copy = tmp_path / "elsewhere" / "renamed.onnx"
    copy.parent.mkdir()
    shutil.copy(model, copy)
    with pytest.raises(VprError, match=r"needs renamed\.yaml beside it"):
        load_network(copy)
    shutil.copy(model.with_suffix(".yaml"), copy.with_suffix(".yaml"))
    assert load_network(copy).fingerprint == load_network(model).fingerprint
