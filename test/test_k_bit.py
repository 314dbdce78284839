# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Networks of 2, 4 and 8 bits: their file, their exact integers, and every use of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from random_networks import random_weights

from floppynet_vpr.commands import build_map, evaluate, export_onnx, map_info, network_info
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import DESCRIPTOR_SIZE, ExtractionError, create_extractor
from floppynet_vpr.extraction.factory import backends_for
from floppynet_vpr.mapping import ReferenceMap
from floppynet_vpr.network.bits import highest_level, pack_signs, pack_weights, unpack_weights
from floppynet_vpr.network.layers import NETWORKS, Conv
from floppynet_vpr.network.onnx_graph import onnx_model
from floppynet_vpr.network.thresholds import conv_levels, level_thresholds
from floppynet_vpr.network.weights import (
    HEADER_BYTES,
    SHIPPED_WEIGHTS,
    ConvWeights,
    NetworkWeights,
    WeightsError,
    load_weights,
    parse_weights,
)

K_BIT = ("floppynet-2", "floppynet-4", "floppynet-8")
IMAGE_SHAPE = (227, 227, 3)


@pytest.fixture(scope="module")
def four_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "four.fnet"
    random_weights("floppynet-4", 1, seed=4).save(path)
    return path


@pytest.fixture(scope="module")
def lap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lap")
    rng = np.random.default_rng(1)
    for number in range(6):
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        picture = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(folder / f"image_{number}.png"), picture)
    return folder


@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_packing_and_unpacking_give_the_weights_back(bits: int, data: st.DataObject) -> None:
    highest = highest_level(bits)
    codes = data.draw(hnp.arrays(np.int32, st.integers(1, 99), elements=st.integers(0, highest)))
    weights = 2 * codes - highest
    packed = pack_weights(weights, bits)
    assert len(packed) == -(-len(weights) * bits // 8)
    np.testing.assert_array_equal(unpack_weights(packed, bits, len(weights)), weights)
    if bits == 1:
        np.testing.assert_array_equal(packed, pack_signs(weights.astype(np.int8)))


@pytest.mark.parametrize(
    ("name", "table_6"), [("floppynet-2", 305.3), ("floppynet-4", 608), ("floppynet-8", 1213)]
)
def test_files_are_as_small_as_table_6_says_and_come_back(
    name: str, table_6: float, tmp_path: Path
) -> None:
    weights = random_weights(name, 1, seed=2)
    file = tmp_path / "k.fnet"
    weights.save(file)
    assert (file.stat().st_size - HEADER_BYTES) / 1024 == pytest.approx(table_6, abs=0.5)
    back = load_weights(file)
    assert back.spec is NETWORKS[name] and back.fingerprint == weights.fingerprint
    for conv, values in weights.convs.items():
        np.testing.assert_array_equal(back.convs[conv].filters, values.filters)


def test_the_binary_file_is_byte_for_byte_what_it_was() -> None:
    assert load_weights().to_bytes() == SHIPPED_WEIGHTS.read_bytes()


@pytest.mark.parametrize("position", [10, 16, 40, HEADER_BYTES, -1])
def test_a_changed_byte_is_refused(position: int, four_bits: Path) -> None:
    content = bytearray(four_bits.read_bytes())
    content[position] ^= 0x04
    with pytest.raises(WeightsError, match=r"here\.fnet"):
        parse_weights(bytes(content), "here.fnet")


def test_values_off_the_grid_are_refused() -> None:
    good = random_weights("floppynet-4", 1, seed=4)

    def with_first(first: ConvWeights) -> NetworkWeights:
        return NetworkWeights(good.spec, 1, {**good.convs, "conv5": first})

    conv = good.convs["conv5"]
    for filters in (conv.filters * np.int8(2), conv.filters.astype(np.int16)):
        with pytest.raises(WeightsError, match="odd numbers within"):
            with_first(ConvWeights(filters, conv.scale, conv.shift))
    with pytest.raises(WeightsError, match="conv5: BatchNorm"):
        with_first(ConvWeights(conv.filters, conv.scale, conv.shift * np.float32(1e9)))


finite = st.floats(-(2**20), 2**20, width=32)


@given(
    finite | st.floats(-1, 1, width=32),
    finite | st.floats(-2, 2, width=32),
    st.sampled_from([2, 4, 8]),
    st.booleans(),
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=9),
)
def test_codes_are_batch_norm_and_rounding_in_exact_arithmetic(
    scale: float, shift: float, bits: int, first: bool, sums: list[int]
) -> None:
    highest = highest_level(bits)
    unit = highest * (255 if first else highest)
    arrays = (np.array([value], np.float32) for value in (scale, shift))
    levels = level_thresholds(*arrays, unit, 10**6, highest)
    # The sums around every level, too, where rounding decides.
    nearby = {int(t) + step for t in levels.threshold[0, :: highest // 3] for step in (-1, 0, 1)}
    sums += [value for value in nearby if abs(value) <= 10**6]
    codes = levels.codes(np.array(sums, np.int32)[:, np.newaxis])[:, 0]
    for value, code in zip(sums, codes.tolist(), strict=True):
        y = Fraction(scale) * Fraction(value, unit) + Fraction(shift)
        expected = min(max(y * highest + Fraction(1, 2), 0), highest) // 1
        assert code == expected
        reached = (value >= levels.threshold[0]) ^ levels.flip[0]
        assert reached.sum() == code


def plain_pool5(weights: NetworkWeights, image: np.ndarray) -> np.ndarray:
    """The network written down once more, in float64, whose sums here are exact."""
    value = image.astype(np.float64)
    for layer in weights.spec.layers:
        if not isinstance(layer, Conv):
            rows, columns = (side // 2 * 2 for side in value.shape[:2])
            blocks = value[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2, -1)
            value = blocks.max((1, 3))
            continue
        filters = weights.convs[layer.name].filters.astype(np.float64)
        if layer is not weights.spec.convs[0]:
            levels = conv_levels(weights, layer)
            reached = (value[..., np.newaxis] >= levels.threshold) ^ levels.flip[:, np.newaxis]
            padding = weights.padding_value * levels.highest
            sides = ((layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0))
            value = np.pad(reached.sum(-1).astype(float), sides, constant_values=padding)
        size = (layer.kernel, layer.kernel)
        windows = np.lib.stride_tricks.sliding_window_view(value, size, (0, 1))
        windows = windows[:: layer.stride, :: layer.stride].transpose(0, 1, 3, 4, 2)
        patches = windows.reshape(*windows.shape[:2], -1)
        value = patches @ filters.reshape(len(filters), -1).T
    return value


@pytest.mark.parametrize("padding_value", [0, 1])
@pytest.mark.parametrize("name", K_BIT)
def test_every_backend_gives_the_integers_of_the_plain_definition(
    name: str, padding_value: int
) -> None:
    weights = random_weights(name, padding_value, seed=padding_value)
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, IMAGE_SHAPE, np.uint8), np.full(IMAGE_SHAPE, 255, np.uint8)]
    expected = [plain_pool5(weights, image) for image in images]
    assert backends_for(weights) == ("onnxruntime-int8", "onnxruntime")
    for backend in backends_for(weights):
        extractor = create_extractor(weights, backend)
        for image, pool5 in zip(images, expected, strict=True):
            found = extractor.pool5(image)
            assert found.dtype == np.int32
            np.testing.assert_array_equal(found, pool5)


def test_auto_takes_a_backend_that_computes_several_bits(four_bits: Path) -> None:
    extractor = create_extractor(four_bits)
    assert extractor.description == create_extractor(four_bits, "onnxruntime-int8").description
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    descriptor = extractor.describe(image)
    assert descriptor.shape == (DESCRIPTOR_SIZE,)
    assert np.linalg.norm(descriptor.astype(np.float64)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("backend", ["packed", "packed-llvm", "packed-faiss", "packed-numpy"])
def test_backends_of_bits_refuse_a_network_of_four(backend: str, four_bits: Path) -> None:
    with pytest.raises(ExtractionError, match=r"FloppyNet-4 has 4: choose auto or one of onnx"):
        create_extractor(four_bits, backend)


@pytest.mark.parametrize("name", K_BIT)
def test_the_onnx_model_is_valid_and_its_shapes_are_inferred(name: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx package checks the exported graph")
    model = onnx.load_from_string(onnx_model(random_weights(name, 1, seed=1)))
    onnx.checker.check_model(model, full_check=True)


def test_a_map_is_made_and_belongs_to_these_weights(
    four_bits: Path, lap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "home.fvm"
    words = [str(lap), "--output", str(file), "--weights", str(four_bits)]
    assert build_map.main(words) == 0, capsys.readouterr().err
    assert map_info.main([str(file)]) == 0
    weights = load_weights(four_bits)
    home = ReferenceMap.load(file)
    assert len(home) == 6 and home.network == "floppynet-4"
    home.require_weights(weights)
    with pytest.raises(VprError, match="built with other weights"):
        home.require_weights(load_weights())
    rgb = cv2.cvtColor(cv2.imread(str(lap / "image_3.png")), cv2.COLOR_BGR2RGB)
    assert home.search(create_extractor(weights).describe(rgb), 1).indices[0, 0] == 3


def test_evaluate_measures_all_layers_of_such_a_file(
    four_bits: Path, lap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--query", str(lap), "--reference", str(lap), "--tolerance", "0"]
    words += ["--network", str(four_bits)]
    for layer in ("pool5", "all"):
        assert evaluate.main([*words, "--layer", layer, "-o", str(tmp_path / layer)]) == 0
        assert "100.0" in capsys.readouterr().out


def test_information_and_onnx_of_such_a_file(
    four_bits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert network_info.main([str(four_bits)]) == 0
    printed = capsys.readouterr().out
    assert "4x4 bits" in printed and "607.8 KiB" in printed
    assert load_weights(four_bits).fingerprint in printed
    assert export_onnx.main(["--weights", str(four_bits), str(tmp_path / "k.onnx")]) == 0
    assert network_info.main([str(tmp_path / "absent.fnet")]) == 1
