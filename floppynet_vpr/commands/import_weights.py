# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""`import_weights`: turns a network published by the paper's authors into a weights file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from floppynet_vpr.commands.common import (
    add_force_option,
    command,
    make_parser,
    require_new,
)
from floppynet_vpr.files import user_path
from floppynet_vpr.network.tflite_import import import_tflite


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "import_weights",
        "Convert a network that the paper's authors published (FloppyNet, ShallowNet or "
        "BinaryNet, a .tflite file with Larq Compute Engine operators) into a weights file. "
        "TensorFlow is not needed; 'pip install tflite flatbuffers' is. The authors' files carry "
        "no licence, so this package does not ship them.",
        "  ros2 run floppynet_vpr import_weights floppynet_places365.tflite floppynet.fnet\n"
        "  ros2 launch floppynet_vpr vpr.launch.py weights:=floppynet.fnet map:=my.fvm",
    )
    parser.add_argument(
        "source", type=user_path, metavar="FILE.tflite", help="the published network"
    )
    parser.add_argument(
        "output", type=user_path, metavar="OUT.fnet", help="the weights file to write"
    )
    add_force_option(parser)
    return parser


@command(build_parser)
def main(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    require_new(output, arguments.force)
    weights = import_tflite(arguments.source)
    weights.save(output)
    print(
        f"wrote {output}: {weights.spec.title}, {output.stat().st_size:,} bytes, "
        f"padding {weights.padding_value:+d}, fingerprint {weights.fingerprint[:12]}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
