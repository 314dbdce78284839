# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The executable `vpr_node`: its imports take seconds, in which Ctrl-C has to end it quietly."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the exit status."""
    try:
        from floppynet_vpr.ros.vpr_node import main as run_node

        return run_node(args)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
