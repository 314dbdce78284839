# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Layer tables, costs, bits, thresholds, the weights file and the authors' files."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from floppynet_vpr.errors import VprError
from floppynet_vpr.network.accounting import network_cost
from floppynet_vpr.network.bits import pack_signs
from floppynet_vpr.network.layers import NETWORKS, layer_shapes, network_spec, output_shape
from floppynet_vpr.network.onnx_graph import onnx_model
from floppynet_vpr.network.tflite_import import import_tflite
from floppynet_vpr.network.thresholds import sign_threshold
from floppynet_vpr.network.weights import (
    HEADER_BYTES,
    WeightsError,
    load_weights,
    parse_weights,
    shipped_weights,
    weights_path,
)

PUBLISHED = ("floppynet", "shallownet", "binarynet")


def test_feature_maps_have_the_sizes_of_the_paper() -> None:
    sizes = {s.layer.name: s.output for s in layer_shapes(NETWORKS["floppynet"])}
    assert sizes == {
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
    }
    assert all(output_shape(spec) == (6, 6, 256) for spec in NETWORKS.values())


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("baseline", 14648),
        ("binarynet", 466),
        ("shallownet", 154),
        ("floppynet", 154),
        ("floppynet-4", 608),
        ("floppynet-8", 1213),
    ],
)
def test_derived_sizes_are_those_of_tables_3_and_6(name: str, kib: int) -> None:
    assert round(network_cost(network_spec(name)).kib) == kib


def test_macs_follow_from_the_shapes() -> None:
    floppynet = network_cost(NETWORKS["floppynet"])
    assert floppynet.real_macs == 55 * 55 * 96 * 11 * 11 * 3
    assert floppynet.binary_macs == 27 * 27 * 256 * 25 * 96 + 13 * 13 * 256 * 9 * 256
    baseline = network_cost(NETWORKS["baseline"])
    assert baseline.binary_macs == 0
    assert round(baseline.macs / 1e6, 1) == 1076.6


def test_an_unknown_network_is_refused_with_the_known_names() -> None:
    with pytest.raises(VprError, match="floppynet-8"):
        network_spec("vgg")


signs = hnp.arrays(np.int8, hnp.array_shapes(max_dims=3, max_side=20)).map(
    lambda values: np.where(values >= 0, 1, -1).astype(np.int8)
)


@given(signs)
def test_packed_signs_are_bits(values: np.ndarray) -> None:
    packed = pack_signs(values)
    assert packed.shape == (*values.shape[:-1], -(-values.shape[-1] // 8))
    bits = np.unpackbits(packed, axis=-1, count=values.shape[-1], bitorder="little")
    np.testing.assert_array_equal(bits, values > 0)


@given(st.integers(1, 300), st.randoms(use_true_random=False))
def test_the_dot_product_of_signs_is_a_popcount(count: int, random: object) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    a, b = rng.choice(np.array([-1, 1], np.int8), (2, count))
    differing = np.unpackbits(pack_signs(a) ^ pack_signs(b)).sum(dtype=int)
    assert int(a.astype(int) @ b) == count - 2 * differing


finite = st.floats(-1e6, 1e6, width=32)


@given(finite, finite, st.sampled_from([1, 255]), st.integers(-5000, 5000))
def test_a_threshold_is_batch_norm_and_sign_in_exact_arithmetic(
    scale: float, shift: float, unit: int, value: int
) -> None:
    sign = sign_threshold(
        np.array([scale], np.float32), np.array([shift], np.float32), unit, bound=5000
    )
    expected = Fraction(scale) * Fraction(value, unit) + Fraction(shift) >= 0
    assert bool((value >= sign.threshold[0]) ^ sign.flip[0]) == expected


def test_the_shipped_weights_are_as_small_as_the_paper_says() -> None:
    weights = load_weights()
    content = weights.to_bytes()
    assert weights.spec.name == "floppynet"
    assert len(content) == HEADER_BYTES + 157_700
    assert len(content) <= 154.5 * 1024


def test_the_networks_that_the_package_carries_are_found_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (Path(__file__).parent.parent / "docs" / "model_card.md").read_text("utf-8")
    assert "floppynet" in shipped_weights()
    for name, file in shipped_weights().items():
        weights = load_weights(weights_path(name))
        assert weights.spec is NETWORKS[name]
        assert file.read_bytes() == weights.to_bytes()
        assert file.name in card and weights.fingerprint[:12] in card
    monkeypatch.chdir(tmp_path)
    assert weights_path("./floppynet") == Path("floppynet")
    with pytest.raises(WeightsError, match=r"No such file.* carries: .*floppynet-4"):
        load_weights(Path("floppynet"))


def test_a_weights_file_comes_back_bit_for_bit(tmp_path: Path) -> None:
    weights = load_weights()
    weights.save(tmp_path / "copy.fnet")
    copy = load_weights(tmp_path / "copy.fnet")
    assert copy.to_bytes() == weights.to_bytes()
    assert copy.fingerprint == weights.fingerprint


@pytest.mark.parametrize("position", [0, 8, 10, 12, 16, 40, HEADER_BYTES, -1])
def test_a_changed_byte_anywhere_is_refused(position: int) -> None:
    content = bytearray(load_weights().to_bytes())
    content[position] ^= 0x10
    with pytest.raises(WeightsError, match=r"here\.fnet"):
        parse_weights(bytes(content), "here.fnet")


@pytest.mark.parametrize("length", [0, 5, HEADER_BYTES - 1, HEADER_BYTES, 100_000, 157_763])
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(WeightsError, match=r"here\.fnet"):
        parse_weights(load_weights().to_bytes()[:length], "here.fnet")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.fnet"):
        load_weights(tmp_path / "nowhere.fnet")


def test_the_onnx_model_is_valid_and_its_shapes_are_inferred() -> None:
    onnx = pytest.importorskip("onnx", reason="the onnx package checks the exported graph")
    model = onnx.load_from_string(onnx_model(load_weights()))
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["fingerprint"] == load_weights().fingerprint


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_are_recognised(name: str, data_dir: Path) -> None:
    weights = import_tflite(data_dir / "weights" / f"{name}_places365.tflite")
    assert weights.spec is NETWORKS[name]
    assert parse_weights(weights.to_bytes(), name).to_bytes() == weights.to_bytes()


@pytest.mark.parametrize("length", [0, 7, 8, 1000, 200_000])
def test_a_truncated_tflite_file_is_refused(length: int, data_dir: Path, tmp_path: Path) -> None:
    content = (data_dir / "weights" / "floppynet_places365.tflite").read_bytes()
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content[:length])
    with pytest.raises(WeightsError, match=r"broken\.tflite"):
        import_tflite(broken)


def test_a_reader_that_has_seen_enough_gets_no_traceback() -> None:
    command = [sys.executable, "-m", "floppynet_vpr.commands.network_info"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
