# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What all commands share: how they end, how numbers are checked, the extractor's options."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import require_new as require_new
from floppynet_vpr.files import user_path
from floppynet_vpr.signals import ended_as_by_ctrl_c
from floppynet_vpr.surroundings import have_standard_streams, what_is_denied
from floppynet_vpr.text import let_streams_take_anything

if TYPE_CHECKING:
    from tqdm import tqdm

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_NAMED_FRAMES = 5


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are some and leaves the examples' line breaks alone."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "", slice(None)):
            return action.help
        return super()._get_help_string(action)


def make_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Start a command's parser; `examples` is shown below the options as it stands."""
    return argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=_HelpFormatter,
    )


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line, without what `ros2 run` and launch files add for ROS.

    All of its words are in `words`.
    """
    have_standard_streams()
    let_streams_take_anything()
    words = list(sys.argv[1:] if argv is None else argv)
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    try:
        return parser.parse_args(own, argparse.Namespace(words=words))
    except VprError as error:  # an argument's own, such as a path of an unknown user
        parser.error(str(error))


def run(body: Callable[[], int]) -> int:
    """Run a command's body and return its exit status.

    A `VprError`, and what the machine denies (memory, disk), is printed as one line and gives 1;
    Ctrl-C, SIGTERM or a closed terminal gives 130, and a reader that went away, such as `head`,
    141.
    """
    try:
        with ended_as_by_ctrl_c():
            status = body()
        sys.stdout.flush()
        return status
    except VprError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        # Of an interruption in the middle of another exec, which some libraries are fond of, Python
        # would remember at its end that nobody had handled it, and die of SIGINT instead.
        exec("")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return EXIT_BROKEN_PIPE
    except Exception as error:
        denied = what_is_denied(error)
        if denied is None:
            raise
        print(f"error: {denied}", file=sys.stderr)
        _drop_output()
        return EXIT_ERROR


def command(
    build_parser: Callable[[], argparse.ArgumentParser],
) -> Callable[[Callable[[argparse.Namespace], int]], Callable[..., int]]:
    """Make a function of its arguments a command: `main(argv)`, of the process's own words if None.

    Returns the exit status; see `run`.
    """

    def decorate(body: Callable[[argparse.Namespace], int]) -> Callable[..., int]:
        @wraps(body)
        def main(argv: Sequence[str] | None = None) -> int:
            arguments = parse(build_parser(), argv)
            return run(lambda: body(arguments))

        return main

    return decorate


def _drop_output() -> None:
    """Let what Python still holds back for stdout go nowhere, where it cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def at_least(minimum: float, kind: type[int] | type[float] = int) -> Callable[[str], float]:
    """Make an argument type that takes numbers of `kind` from `minimum` on."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{text} is no finite number")
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text} is too small: at least {minimum}")
        return value

    return convert


def progress(
    items: Iterable[Any] | None = None,
    total: int | None = None,
    label: str | None = None,
    *,
    unit: str = "frame",
    leave: bool = True,
) -> tqdm[Any]:
    """Show on a terminal how far a command has come along `items`, or by `update`, of `total`."""
    from tqdm import tqdm

    return tqdm(items, total=total, desc=label, unit=unit, disable=None, leave=leave)


class UnusableFrames:
    """Counts the frames that cannot be decoded or are not there, and names the first of them."""

    def __init__(self) -> None:
        self._damaged = 0
        self._missing = 0

    def __call__(self, error: VprError) -> None:
        """Take one in, or as many as a source that ended early lacks."""
        from tqdm import tqdm

        from floppynet_vpr.datasets.frames import FramesMissing

        if isinstance(error, FramesMissing):
            self._missing += error.frames
            tqdm.write(f"warning: {error}", file=sys.stderr)
            return
        self._damaged += 1
        if self._damaged <= _NAMED_FRAMES:
            tqdm.write(f"warning: frame skipped: {error}", file=sys.stderr)

    def tell(self) -> None:
        """Say how many there were, if any."""
        told = []
        if self._damaged:
            told.append(f"frames skipped because they could not be used: {self._damaged}")
        if self._missing:
            told.append(f"frames that should be there and are not: {self._missing}")
        if told:
            print(
                f"warning: {'; '.join(told)} (--strict ends at the first instead)", file=sys.stderr
            )


def add_strict_option(parser: argparse._ActionsContainer) -> None:
    """Add --strict, for commands that leave out frames that cannot be decoded or are missing."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="end at the first frame that cannot be decoded, or where frames are missing; without "
        "it such frames are skipped and counted",
    )


def add_every_option(parser: argparse._ActionsContainer) -> None:
    """Add --every: how many frames of a source are taken."""
    parser.add_argument(
        "--every", type=at_least(1), default=1, metavar="N", help="use every N-th frame"
    )


def add_rate_option(parser: argparse._ActionsContainer, told: str) -> None:
    """Add --rate, of folders; `told` says what for."""
    parser.add_argument(
        "--rate", type=at_least(0.001, float), default=10.0, metavar="HZ", help=told
    )


def add_frame_options(parser: argparse._ActionsContainer) -> None:
    """Add --topic, --every and --strict: which frames of a source are taken."""
    parser.add_argument(
        "--topic",
        help="image topic of the bag, or base topic of a compressed one; found by itself when it "
        "is the only one",
    )
    add_every_option(parser)
    add_strict_option(parser)


def add_depth_options(parser: argparse._ActionsContainer, told: str) -> None:
    """Add --depth and --camera-info; `told` says what comes of it."""
    parser.add_argument(
        "--depth",
        metavar="TOPIC",
        help="images of depth of the bag, aligned to the colour images: 16UC1 (millimetres) or "
        f"32FC1 (metres){told}",
    )
    parser.add_argument(
        "--camera-info",
        metavar="TOPIC",
        help="CameraInfo of the images, for --depth; without it camera_info beside them",
    )


def add_force_option(parser: argparse.ArgumentParser) -> None:
    """Add --force, for `require_new`."""
    parser.add_argument("--force", action="store_true", help="replace what is there")


def add_results_option(parser: argparse.ArgumentParser) -> None:
    """Add --output: the folder that all results of a command go into."""
    parser.add_argument(
        "-o",
        "--output",
        type=user_path,
        required=True,
        metavar="DIR",
        help="folder for all results",
    )


def add_map_output(parser: argparse.ArgumentParser) -> None:
    """Add --output: the `StoredMap` that a command writes."""
    from floppynet_vpr.fleet.stored_map import stored_map

    parser.add_argument(
        "-o",
        "--output",
        type=stored_map,
        required=True,
        metavar="MAP.fvm",
        help="the map to write, or postgresql://user@host/database?map=NAME, to which places are "
        "added",
    )


def add_weights_option(parser: argparse._ActionsContainer, others: bool = True) -> None:
    """Add --weights: a Path, or None for the default network that the package carries.

    `others`: networks of other kinds are taken as well.
    """
    from floppynet_vpr.network.weights import shipped_weights, weights_path

    more = ", or the .onnx of another network with its description beside it" if others else ""
    parser.add_argument(
        "--weights",
        type=weights_path,
        metavar="FILE",
        help=f"weights file (.fnet{more}), or one that the package carries: "
        f"{', '.join(shipped_weights())} (default: floppynet)",
    )


def add_extractor_options(
    parser: argparse.ArgumentParser, threads: int | None = 1, threads_help: str = "CPU threads"
) -> None:
    """Add --weights, --backend and --threads, whose default is `threads`; None leaves it open."""
    group = parser.add_argument_group("network")
    add_weights_option(group)
    add_computing_options(group, threads, threads_help)


def add_computing_options(
    parser: argparse._ActionsContainer, threads: int | None, threads_help: str
) -> None:
    """Add --backend and --threads."""
    from floppynet_vpr.extraction import BACKENDS

    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="how to compute; auto takes the fastest that works here",
    )
    parser.add_argument(
        "--threads", type=at_least(1), default=threads, metavar="N", help=threads_help
    )
