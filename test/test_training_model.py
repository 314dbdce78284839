# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The torch networks: what is trained is what runs, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import create_extractor
from floppynet_vpr.network.layers import NETWORKS, filter_shapes
from floppynet_vpr.network.weights import load_weights, parse_weights
from floppynet_vpr.training.recipe import PRESETS, Views, trained_spec

torch = pytest.importorskip("torch", reason="training needs PyTorch: make test-training")

from floppynet_vpr.training.export import (
    estimate_norms,
    export_weights,
    warm_start,
)
from floppynet_vpr.training.losses import distillation, info_nce
from floppynet_vpr.training.model import Features, Network, pool5_side
from floppynet_vpr.training.quantise import (
    quantise_activations,
    quantise_weights,
    sign,
)
from floppynet_vpr.training.views import make_views, spread

SIDE = 115


def random_pixels(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures with noise, (count, side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, side // 8 + 1, side // 8 + 1, 3))
    smooth = coarse.repeat(8, 1).repeat(8, 2)[:, :side, :side]
    return np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))


def trained(name: str) -> Network:
    """A network after a few real steps with gradients, so that no BatchNorm is at its start."""
    torch.manual_seed(3)
    network = Network(NETWORKS[name], 5, SIDE)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    pixels = planes(random_pixels(8, SIDE))
    for _ in range(3):
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            _, scores = network(pixels)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(scores.float(), torch.arange(8) % 5).backward()
        optimiser.step()
        network.clip_latent()
    return network


QUANTISED = [name for name, spec in NETWORKS.items() if spec.weight_bits != 32]


def spread_of_codes(features: Features, pixels: torch.Tensor) -> np.ndarray:
    """What the last convolution reads."""
    seen = []
    last = features.convs[features.spec.convs[-1].name]
    hook = last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        features(pixels)
    hook.remove()
    return seen[0].numpy()


@pytest.mark.parametrize("name", QUANTISED)
def test_exported_integers_equal_the_torch_models_pool5(name: str) -> None:
    network = trained(name)
    with torch.no_grad():  # a scale of either sign, and none
        for norm in network.features.norms.values():
            norm.weight[::5] *= -1
            norm.weight[::17] = 0
    network.eval()
    images = random_pixels(3, 227, seed=1)
    with torch.no_grad():
        pool5 = network.features(planes(images)).permute(0, 2, 3, 1).numpy()
    weights = export_weights(network.features)
    weights = parse_weights(weights.to_bytes(), "as read from a file")
    if weights.bits > 1:
        codes = spread_of_codes(network.features, planes(images))
        assert len(np.unique(codes)) == 2**weights.bits  # each level is put to the test
    for backend in ("auto", "onnxruntime", "onnxruntime-int8"):
        extractor = create_extractor(weights, backend)
        for image, expected in zip(images, pool5, strict=True):
            np.testing.assert_array_equal(extractor.pool5(image), expected)


@pytest.mark.parametrize("name", ["floppynet-2", "floppynet-4", "floppynet-8"])
def test_training_sees_nearly_the_codes_that_the_exported_network_computes(name: str) -> None:
    features = trained(name).features
    pixels = planes(random_pixels(2, 227, seed=1))
    exact = spread_of_codes(features.eval(), pixels)
    features.train()
    for norm in features.norms.values():  # normalise as in training, with the statistics kept
        norm.forward = lambda x, n=norm: torch.nn.functional.batch_norm(
            x, n.running_mean, n.running_var, n.weight, n.bias, eps=n.eps
        )
    rounded = spread_of_codes(features, pixels)
    assert np.abs(exact - rounded).max() <= 1
    assert (exact != rounded).mean() < 1e-3


@pytest.mark.parametrize("name", ["floppynet", "floppynet-4", "floppynet-8"])
def test_older_weights_start_a_network_that_computes_the_same(name: str) -> None:
    weights = load_weights() if name == "floppynet" else export_weights(trained(name).features)
    network = Network(NETWORKS[name], 5, SIDE)
    warm_start(network.features, weights, 0.1, planes(random_pixels(4, SIDE)))
    back = export_weights(network.features)
    for name, conv in weights.convs.items():
        np.testing.assert_array_equal(back.convs[name].filters, conv.filters)
        if conv.scale is not None:
            np.testing.assert_allclose(back.convs[name].scale, conv.scale, rtol=1e-5)
            np.testing.assert_allclose(back.convs[name].shift, conv.shift, rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_do_not_start_one() -> None:
    network = Network(NETWORKS["binarynet"], 5, SIDE)
    with pytest.raises(VprError, match="layers or bits differ"):
        warm_start(network.features, load_weights(), 0.1, planes(random_pixels(1, SIDE)))


def test_a_network_of_full_precision_has_no_weights_file() -> None:
    with pytest.raises(VprError, match="full precision"):
        export_weights(Features(NETWORKS["baseline"]))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_of_the_family_is_built_and_learns(name: str) -> None:
    network = trained(name)
    for conv, shape in filter_shapes(NETWORKS[name]).items():
        latent = network.features.convs[conv].latent
        assert latent.shape == (shape[0], shape[3], shape[1], shape[2])
        assert float(latent.grad.abs().sum()) > 0
    network.eval()
    with torch.no_grad():
        pool5, scores = network(planes(random_pixels(2, SIDE)))
    side = pool5_side(NETWORKS[name], SIDE)
    assert pool5.shape == (2, 256, side, side) and scores.shape == (2, 5)
    assert pool5_side(NETWORKS[name], 227) == 6


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20))
def test_the_gradient_of_the_sign_is_cancelled_beyond_one(values: list[float]) -> None:
    x = torch.tensor(values, requires_grad=True)
    y = sign(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), np.where(x.detach().numpy() >= 0, 1, -1))
    np.testing.assert_array_equal(x.grad.numpy(), np.abs(np.float32(values)) <= 1)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_k_bit_values_lie_on_doref_grids(bits: int) -> None:
    levels = 2**bits - 1
    latent = torch.randn(500, generator=torch.Generator().manual_seed(bits), requires_grad=True)
    weights = quantise_weights(latent, bits)
    whole = weights.detach().numpy()
    assert (whole % 2 == 1).all() and np.abs(whole).max() == levels
    squashed = np.tanh(latent.detach().numpy())
    ideal = squashed / np.abs(squashed).max() * levels
    assert np.abs(whole - ideal).max() <= 1 + 1e-4
    weights.sum().backward()
    assert float(latent.grad.abs().min()) > 0
    x = torch.linspace(-1, 2, 1000, requires_grad=True)
    codes = quantise_activations(x, bits)
    assert np.unique(codes.detach()).tolist() == list(range(levels + 1))
    codes.sum().backward()
    inside = (x >= 0) & (x <= 1)
    assert torch.equal(x.grad, inside * float(levels))


def test_latent_weights_of_quantised_layers_stay_within_one() -> None:
    network = Network(NETWORKS["floppynet"], 5, SIDE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(3)
    network.clip_latent()
    assert float(network.features.convs["conv2"].latent.max()) == 1
    assert float(network.classifier.latent.max()) == 3


def test_norms_estimated_anew_standardise_what_they_see() -> None:
    network = Network(NETWORKS["floppynet"], 5, SIDE)
    pixels = planes(random_pixels(8, SIDE))
    estimate_norms(network.features, [pixels[:4], pixels[4:]])
    norm = network.features.norms["conv2"]
    with torch.no_grad():
        sums = torch.nn.functional.max_pool2d(network.features.convs["conv1"](pixels), 2) / 255
    np.testing.assert_allclose(norm.running_mean, sums.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)


def test_views_are_plain_images_without_a_recipe_and_repeatable_with_one() -> None:
    images = planes(random_pixels(3, 128))
    chance = torch.Generator().manual_seed(0)
    (plain,) = make_views(images, Views(side=128), 1, chance)
    torch.testing.assert_close(plain, images, atol=1, rtol=0)
    views = PRESETS["vpr"].views
    first = make_views(images, views, 2, torch.Generator().manual_seed(5))
    again = make_views(images, views, 2, torch.Generator().manual_seed(5))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
        assert one.shape == (3, 3, views.side, views.side)
        assert torch.equal(one, one.round()) and one.min() >= 0 and one.max() <= 255
    assert not torch.equal(first[0], first[1])


def test_coarse_fields_are_spread_as_torch_interpolates() -> None:
    nodes = torch.randn(5, 3, 4, 9, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(
        nodes, (115, 67), mode="bilinear", align_corners=True
    )
    torch.testing.assert_close(spread(nodes, 115, 67), expected, atol=1e-5, rtol=0)


def test_two_views_share_no_noise() -> None:
    grey = torch.full((64, 3, 67, 67), 128.0)
    first, second = make_views(grey, Views(67, light=1.0), 2, torch.Generator().manual_seed(2))
    # What a pixel has beyond its right neighbour: noise, since the rest is smooth.
    fine = [(view[..., 1:] - view[..., :-1]).flatten() for view in (first, second)]
    assert min(float(values.std()) for values in fine) > 1
    assert abs(float(torch.corrcoef(torch.stack(fine))[0, 1])) < 0.02


def test_parallax_moves_parts_of_a_picture_against_each_other() -> None:
    side = 128
    across = torch.arange(side).float()
    images = torch.stack([across.expand(side, side), across[:, None].expand(side, side)])
    # Each pixel tells where it was: x in the first channel, y in the second.
    image = torch.cat([images, torch.zeros(1, side, side)])[None].expand(8, -1, -1, -1)

    def moved(parallax: float) -> torch.Tensor:
        chance = torch.Generator().manual_seed(1)
        recipe = Views(side=side, zoom=(0.5, 0.5), parallax=parallax)
        near, far = make_views(image, recipe, 2, chance)
        return (near - far)[:, :2]

    torch.testing.assert_close(moved(0), torch.zeros(8, 2, side, side))
    field = moved(0.05)
    assert float(field.std((2, 3)).mean()) > 1  # pixels, differently from place to place
    steps = (field[..., 1:] - field[..., :-1]).abs()
    assert float(steps.max()) <= 3  # smoothly
    x, y = field.std((0, 2, 3))
    assert x > y  # a robot moves sideways more than up and down


def test_a_further_region_is_ahead_of_the_one_before_and_its_views_beside_each_other() -> None:
    side = 128
    across = torch.arange(side).float()
    planes = [across.expand(side, side), across[:, None].expand(side, side)]
    image = torch.stack([*planes, torch.zeros(side, side)])[None].expand(8, -1, -1, -1)
    recipe = Views(side, zoom=(0.6, 0.6), shift=(0.1, 0.0), advance=0.4)
    chance = torch.Generator().manual_seed(4)
    one, other = (view.unflatten(0, (3, 8)) for view in make_views(image, recipe, 2, chance, 3))
    # Each pixel tells where it was, so the difference of the edges tells how much is seen.
    seen = one[:, :, 0, 64, 96] - one[:, :, 0, 64, 32]
    shares = (seen[1:] / seen[:-1]).flatten()
    assert shares.min() > 0.55 and shares.max() < 0.85
    difference = (one - other)[:, :, :2].unflatten(1, (8,))
    sideways, upwards = difference[..., 64, 64].unbind(-1)
    assert sideways.abs().max() > 3 and upwards.abs().max() <= 1


def test_some_views_lose_detail_and_the_others_do_not_change() -> None:
    images = planes(random_pixels(32, 128))
    (plain,) = make_views(images, Views(128), 1, torch.Generator().manual_seed(3))
    (blurred,) = make_views(images, Views(128, blur=0.5), 1, torch.Generator().manual_seed(3))
    same = (plain == blurred).flatten(1).all(1)
    assert int(same.sum()) == 16
    fine = [(view[..., 1:] - view[..., :-1])[~same].abs().mean() for view in (plain, blurred)]
    assert fine[1] < fine[0] / 2
    means = [view[~same].mean((2, 3)) for view in (plain, blurred)]
    torch.testing.assert_close(*means, atol=12, rtol=0)


def test_info_nce_is_smallest_when_each_view_finds_its_own() -> None:
    maps = torch.randn(6, 256, 2, 2, generator=torch.Generator().manual_seed(0))
    alike = info_nce(maps, 3 * maps, 0.1)
    assert float(alike) < 0.01 < float(info_nce(maps, maps.roll(1, 0), 0.1))


def test_distillation_is_the_divergence_from_what_the_teacher_finds_alike() -> None:
    chance = torch.Generator().manual_seed(3)
    maps, wanted = (torch.randn(5, c, 2, 2, generator=chance) for c in (4, 7))
    assert float(distillation(maps, 5 * maps, 0.1)) == pytest.approx(0, abs=1e-6)
    shares = []
    for values in (maps, wanted):
        rows = values.flatten(1).double().numpy()
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        odds = np.exp(rows @ rows.T / 0.5)
        np.fill_diagonal(odds, 0)
        shares.append(odds / odds.sum(1, keepdims=True))
    own, teacher = (share[~np.eye(5, dtype=bool)] for share in shares)
    expected = float((teacher * np.log(teacher / own)).sum() / 5)
    assert float(distillation(maps, wanted, 0.5)) == pytest.approx(expected, rel=1e-4)


def test_the_switches_of_figure_8_give_the_networks_between() -> None:
    assert trained_spec("baseline") is NETWORKS["baseline"]
    binary = trained_spec("baseline", binarise=True)
    assert (binary.name, binary.weight_bits, binary.head_bits) == ("binarynet", 1, 32)
    shallow = trained_spec("baseline", binarise=True, shallow=True, head_width=256)
    assert (shallow.name, shallow.head_units) == ("floppynet", (256, 256))
    real = trained_spec("baseline", shallow=True, head_bits=1)
    assert (real.weight_bits, len(real.convs), real.head_bits) == (32, 3, 1)
    assert Path(real.name).name == "baseline-shallow"
