# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`export_onnx`: writes a network as an ONNX file for any other runtime."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from floppynet_vpr.commands.common import (
    add_force_option,
    add_weights_option,
    command,
    make_parser,
    require_new,
)
from floppynet_vpr.files import user_path, write_atomically
from floppynet_vpr.network.onnx_graph import onnx_model
from floppynet_vpr.network.weights import load_weights


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "export_onnx",
        "Write a network as an ONNX model of ordinary operators. Input 'image': "
        "(batch, 227, 227, 3) uint8 RGB. Output 'pool5': (batch, 6, 6, 256) int16 (int32 for "
        "networks of several bits), the exact integers of every backend here, not normalised.",
        "  ros2 run floppynet_vpr export_onnx floppynet.onnx\n"
        "  ros2 run floppynet_vpr export_onnx --weights binarynet.fnet binarynet.onnx",
    )
    parser.add_argument("output", type=user_path, metavar="OUT.onnx", help="the model to write")
    add_force_option(parser)
    add_weights_option(parser, others=False)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    require_new(output, arguments.force)
    weights = load_weights(arguments.weights)
    write_atomically(output, (onnx_model(weights),))
    print(f"wrote {output}: {weights.spec.title}, {output.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
