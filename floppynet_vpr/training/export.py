# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""From the torch network to the weights file and back.

Only what a weights file holds crosses over: quantised weights and folded BatchNorms. On the way
back the latent weights are these at one small size, and BatchNorm takes its statistics from images
such that it starts as the same scale and shift. A network of full precision has no weights file; it
becomes an ONNX model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from floppynet_vpr.files import write_atomically
from floppynet_vpr.network.accounting import network_cost
from floppynet_vpr.network.bits import highest_level, weight_dtype
from floppynet_vpr.network.layers import NETWORKS, Conv
from floppynet_vpr.network.onnx_float import FloatConv, description, float_model
from floppynet_vpr.network.onnx_graph import onnx_model
from floppynet_vpr.network.thresholds import PIXEL_UNIT, sum_unit
from floppynet_vpr.network.weights import ConvWeights, NetworkWeights
from floppynet_vpr.training.model import Features, FoldableNorm, LatentConv
from floppynet_vpr.training.quantise import FULL_PRECISION, quantise_weights
from floppynet_vpr.training.recipe import TrainingError


def export_weights(features: Features) -> NetworkWeights:
    """Turn a quantised network into what the extractors run; raises TrainingError for others."""
    spec = features.spec
    if spec.weight_bits == FULL_PRECISION:
        raise TrainingError(
            f"{spec.title} has weights of full precision: a .fnet file holds 1 to 8 bits"
        )
    convs = {}
    for conv in spec.convs:
        weights = quantise_weights(features.convs[conv.name].latent.detach(), spec.weight_bits)
        planes = weights.permute(0, 2, 3, 1).contiguous().numpy()
        filters = planes.astype(weight_dtype(spec.weight_bits))
        if conv.name in features.norms:
            norm = features.norms[conv.name]
            assert isinstance(norm, FoldableNorm)
            scale, shift = norm.folded()
            convs[conv.name] = ConvWeights(filters, scale.numpy(), shift.numpy())
        else:
            convs[conv.name] = ConvWeights(filters)
    return NetworkWeights(NETWORKS[spec.name], spec.padding_value, convs)


def export_float(features: Features) -> bytes:
    """Write a full-precision network as an ONNX model, BatchNorm folded into it."""
    spec = features.spec
    convs = {}
    for conv in spec.convs:
        layer, norm = features.convs[conv.name], features.norms[conv.name]
        assert isinstance(layer, LatentConv) and layer.bias is not None
        assert isinstance(norm, FoldableNorm)
        scale, shift = (values.double() for values in norm.folded())
        unit = PIXEL_UNIT if conv is spec.convs[0] else 1
        filters = layer.latent.detach().double() * scale.reshape(-1, 1, 1, 1) / unit
        bias = layer.bias.detach().double() * scale + shift
        convs[conv.name] = FloatConv(filters.float().numpy(), bias.float().numpy())
    return float_model(spec, convs)


def write_network(features: Features, folder: Path, name: str) -> tuple[Path, ...]:
    """Write NAME.fnet and NAME.onnx into `folder`; returns the files.

    A network of full precision has no .fnet file, but a NAME.yaml, with which `evaluate` takes the
    ONNX model.
    """
    spec = features.spec
    fnet, onnx, yaml = (folder / f"{name}{ending}" for ending in (".fnet", ".onnx", ".yaml"))
    if spec.weight_bits == FULL_PRECISION:
        write_atomically(onnx, (export_float(features),))
        write_atomically(yaml, (description(spec, network_cost(spec).kib).encode(),))
        return onnx, yaml
    weights = export_weights(features)
    weights.save(fnet)
    write_atomically(onnx, (onnx_model(weights),))
    return fnet, onnx


def warm_start(features: Features, weights: NetworkWeights, size: float, pixels: Tensor) -> None:
    """Make the network compute what `weights` do, with latent weights within +-`size`.

    `pixels`: (batch, 3, H, W) of 0 to 255 from the training set, for BatchNorm's statistics.
    """
    spec = features.spec
    if (weights.spec.layers, weights.bits) != (spec.layers, spec.weight_bits):
        raise TrainingError(
            f"weights of {weights.spec.title} cannot start {spec.title}: layers or bits differ"
        )
    if weights.padding_value != spec.padding_value:
        raise TrainingError(
            f"these weights of {weights.spec.title} pad with {weights.padding_value}, the network "
            f"to be trained with {spec.padding_value}"
        )
    with torch.no_grad():
        for conv in spec.convs:
            filters = torch.from_numpy(weights.convs[conv.name].filters.astype(np.float32))
            shares = filters.permute(0, 3, 1, 2) / highest_level(spec.weight_bits)
            # tanh, which k-bit weights are taken through, undone.
            latent = torch.atanh(shares * math.tanh(size)) if weights.bits > 1 else size * shares
            features.convs[conv.name].latent.copy_(latent)
        x = pixels
        for layer in spec.layers:
            if not isinstance(layer, Conv):
                x = functional.max_pool2d(x, 2)
                continue
            if layer.name in features.norms:
                norm = features.norms[layer.name]
                assert isinstance(norm, FoldableNorm)
                unit = sum_unit(spec, spec.convs[spec.convs.index(layer) - 1])
                values = weights.convs[layer.name]
                assert values.scale is not None and values.shift is not None
                _adopt(
                    norm, x / unit, torch.from_numpy(values.scale), torch.from_numpy(values.shift)
                )
                x = features.exact(x, layer)
            x = features.convs[layer.name](x)


def _adopt(norm: FoldableNorm, x: Tensor, scale: Tensor, shift: Tensor) -> None:
    """Set statistics from x, (batch, channels, H, W), and gamma and beta to fold to these."""
    assert norm.running_mean is not None and norm.running_var is not None
    variance, mean = torch.var_mean(x.double(), (0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(scale.double() * torch.sqrt(norm.running_var.double() + norm.eps))
    norm.bias.copy_(shift.double() + scale.double() * norm.running_mean.double())


def estimate_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Take all BatchNorm statistics anew, as the mean over `batches` of pixels.

    Averaged latent weights are a network that was never run: its statistics are not the average
    of those seen in training.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
    was_training = network.training
    network.train()
    with torch.no_grad():
        for pixels in batches:
            network(pixels)
    network.train(was_training)
