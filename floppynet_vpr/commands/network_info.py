# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`network_info`: the layers, sizes and MACs of the network family beside the paper's figures."""

from __future__ import annotations

import argparse
import sys

from floppynet_vpr.commands.common import command, make_parser
from floppynet_vpr.files import user_path
from floppynet_vpr.network.accounting import network_cost
from floppynet_vpr.network.layers import NETWORKS, Conv, Layer, NetworkSpec, network_spec
from floppynet_vpr.network.paper import ERRATA, MEGA_MACS, SIZES_KIB
from floppynet_vpr.network.weights import load_weights


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "network_info",
        "Print the layers (Table II), sizes and multiply-accumulates (Table III) of the networks, "
        "worked out from their layer tables, beside the paper's figures.",
        "  ros2 run floppynet_vpr network_info\n  ros2 run floppynet_vpr network_info floppynet\n"
        "  ros2 run floppynet_vpr network_info trained.fnet",
    )
    parser.add_argument(
        "network",
        nargs="?",
        metavar="NAME",
        help=f"show this one layer by layer: {', '.join(NETWORKS)}, or that of a weights file "
        "(.fnet)",
    )
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    name: str | None = arguments.network
    if name is None:
        _print_family()
    elif name.endswith(".fnet"):
        weights = load_weights(user_path(name))
        _print_network(weights.spec)
        print(f"file   {user_path(name).stat().st_size:,} bytes, weights {weights.fingerprint}")
    else:
        _print_network(network_spec(name))
    return 0


def _print_family() -> None:
    print("Table II: layers. C(kernel, stride, filters), P = 2x2 max-pool; W x A = bits\n")
    print(f"{'network':<12} {'W x A':>7}  {'FC in training':<24} layers")
    for spec in NETWORKS.values():
        layers = " ".join(_short(layer) for layer in spec.layers)
        print(f"{spec.title:<12} {_bits(spec):>7}  {_head(spec):<24} {layers}")

    print("\nTable III: size and work for one 227x227 image; 'paper' is what it prints\n")
    print(f"{'network':<12} {'weights':>10} {'KiB':>9} {'paper':>7}", end=" ")
    print(f"{'MMACs':>8} {'paper':>6} {'real':>8} {'binary':>8}")
    for spec in NETWORKS.values():
        cost = network_cost(spec)
        paper_kib, paper_macs = SIZES_KIB.get(spec.name), MEGA_MACS.get(spec.name)
        print(
            f"{spec.title:<12} {cost.parameters:>10,} {cost.kib:>9,.1f} {paper_kib or '-':>7} "
            f"{cost.macs / 1e6:>8,.1f} {paper_macs or '-':>6} {cost.real_macs / 1e6:>8,.1f} "
            f"{cost.binary_macs / 1e6:>8,.1f}"
        )
    print("\nWhere the paper disagrees with itself:")
    for erratum in ERRATA:
        print(f"  - {erratum}")


def _print_network(spec: NetworkSpec) -> None:
    cost = network_cost(spec)
    print(f"{spec.title}: weights x activations {_bits(spec)} bits, input 227x227x3 RGB")
    print(f"fully connected stage, in training only: {_head(spec)}\n")
    print(f"{'layer':<7} {'':<13} {'output':>11} {'weights':>10} {'extra floats':>13} {'MMACs':>8}")
    for layer, line in zip(spec.layers, cost.layers, strict=True):
        output = "x".join(map(str, line.output))
        print(
            f"{line.name:<7} {_short(layer):<13} {output:>11} {line.parameters:>10,} "
            f"{line.extra_floats:>13,} {line.macs / 1e6:>8.1f}"
        )
    print(f"\nsize   {cost.kib:,.1f} KiB ({cost.size_bytes:,} bytes); paper: ", end="")
    print(f"{SIZES_KIB[spec.name]:,} KiB")
    print(f"MMACs  {cost.macs / 1e6:,.1f}, of them with real-valued input ", end="")
    print(f"{cost.real_macs / 1e6:,.1f}, binary or k-bit {cost.binary_macs / 1e6:,.1f}")


def _short(layer: Layer) -> str:
    if isinstance(layer, Conv):
        return f"C({layer.kernel},{layer.stride},{layer.filters})"
    return "P"


def _bits(spec: NetworkSpec) -> str:
    return f"{spec.weight_bits}x{spec.activation_bits}"


def _head(spec: NetworkSpec) -> str:
    return "-".join(map(str, spec.head_units)) + (
        " binary" if spec.head_bits == 1 else " full precision"
    )


if __name__ == "__main__":
    sys.exit(main())
