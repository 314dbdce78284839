# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The base of every error this package raises on purpose."""


class VprError(Exception):
    """Something a user can put right.

    The text is one clear sentence: what was wrong, with which file or topic, and what to do.
    Commands print it without a traceback and exit with status 1.
    """
