# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The executable `vpr_node`: whatever keeps the node from starting is told in a sentence."""

from __future__ import annotations

import sys

from floppynet_vpr.surroundings import have_standard_streams, what_is_denied
from floppynet_vpr.text import let_streams_take_anything

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the exit status."""
    have_standard_streams()
    let_streams_take_anything()
    try:
        # Its imports take seconds, in which Ctrl-C has to end it quietly.
        from floppynet_vpr.ros.vpr_node import main as run_node

        return run_node(args)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        told = what_is_denied(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
