# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Any ONNX model can be evaluated, fed as its description says."""

from pathlib import Path

import numpy as np
import pytest

from floppynet_vpr.errors import VprError
from floppynet_vpr.evaluation.describers import OtherNetwork, open_network
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.imaging.network_input import network_input
from floppynet_vpr.imaging.preprocessing import Preprocessing
from floppynet_vpr.network.onnx_graph import onnx_model
from floppynet_vpr.network.weights import load_weights

INPUT = "input: {height: 227, width: 227, order: NHWC, dtype: uint8}\n"
OUTPUTS = "outputs: [{layer: last, output: pool5}, {layer: middle, output: conv2}]\n"
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 100, 3)).astype(np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The shipped network as if it were anybody's."""
    path = tmp_path / "other.onnx"
    path.write_bytes(onnx_model(load_weights(), ["conv2", "pool5"]))
    path.with_suffix(".yaml").write_text("title: Other\n" + INPUT + OUTPUTS)
    return path


def test_it_gives_what_the_model_gives(model: Path) -> None:
    network = OtherNetwork(model, None)
    maps = network.describe(IMAGE)
    assert network.layers == ("last", "middle") and network.title == "Other"
    assert np.array_equal(maps["last"], create_extractor().pool5(network_input(IMAGE)).ravel())
    assert maps["middle"].shape == (27 * 27 * 256,)
    assert network.size_kib("last") == pytest.approx(model.stat().st_size / 1024)


def test_the_colour_order_matters_and_is_part_of_the_fingerprint(model: Path) -> None:
    rgb = OtherNetwork(model, ["last"])
    model.with_suffix(".yaml").write_text(INPUT.replace("order", "colour: BGR, order") + OUTPUTS)
    bgr = OtherNetwork(model, ["last"])
    assert bgr.fingerprint != rgb.fingerprint and bgr.title == "other"
    assert np.array_equal(bgr.describe(IMAGE)["last"], rgb.describe(IMAGE[:, :, ::-1])["last"])


def test_layers_that_it_does_not_have_are_passed_over(model: Path) -> None:
    assert open_network(f"mine={model}", ["pool5", "last"]).layers == ("last",)
    assert open_network(f"mine={model}", None).label == "mine"
    with pytest.raises(VprError, match="none of the layers pool5: it has last, middle"):
        open_network(str(model), ["pool5"])


def test_the_example_in_config_is_a_valid_description(model: Path) -> None:
    example = Path(__file__).resolve().parents[1] / "config" / "external_network.yaml"
    model.with_suffix(".yaml").write_text(example.read_text())
    network = OtherNetwork(model, None)
    with pytest.raises(VprError, match=r"does not take an input of shape \(1, 3, 224, 224\)"):
        network.describe(IMAGE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OUTPUTS, "input is missing"),
        (INPUT, "no outputs"),
        (INPUT + "outputs: [{layer: a, output: b}]\n", "no output b: it has conv2, pool5"),
        (INPUT.replace("uint8", "float64") + OUTPUTS, "dtype should be one of float32, uint8"),
        (INPUT.replace("dtype", "std: 2, dtype") + OUTPUTS, "belong to float32"),
        (INPUT.replace("dtype: uint8", "mean: [1, 2]") + OUTPUTS, "mean needs 1 or 3 numbers"),
        (INPUT.replace("height: 227, ", "") + OUTPUTS, "height and width are needed"),
        (INPUT.replace("order", "oder") + OUTPUTS, "unknown key oder"),
    ],
)
def test_a_wrong_description_is_refused(text: str, said: str, model: Path) -> None:
    model.with_suffix(".yaml").write_text(text)
    with pytest.raises(VprError, match=said):
        OtherNetwork(model, None)


def test_missing_files_are_named(model: Path) -> None:
    with pytest.raises(VprError, match=r"there is no network .*nothing\.onnx"):
        OtherNetwork(model.with_name("nothing.onnx"), None)
    model.write_bytes(b"no model")
    with pytest.raises(VprError, match="onnxruntime cannot load"):
        OtherNetwork(model, None)
    model.with_suffix(".yaml").unlink()
    with pytest.raises(VprError, match=r"needs other\.yaml beside it"):
        OtherNetwork(model, None)


def test_values_are_scaled_and_normalised_channel_by_channel() -> None:
    image = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    batch = Preprocessing(2, 3, scale=0.1, mean=(0, 1, 2), std=(1, 2, 4)).apply(image)
    assert batch.shape == (1, 3, 2, 3) and batch.dtype == np.float32
    assert batch[0, :, 0, 0] == pytest.approx([1, 0.5, 0.25])
    grey = Preprocessing(2, 3, colour="grey", order="NHWC", dtype="uint8").apply(image)
    assert grey.shape == (1, 2, 3, 1) and grey[0, 0, 0, 0] == 18


def test_crop_cuts_the_middle_out() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert (Preprocessing(5, 5, resize="crop", dtype="uint8").apply(image) == 200).all()
    assert not (Preprocessing(5, 5, dtype="uint8").apply(image) == 200).all()
