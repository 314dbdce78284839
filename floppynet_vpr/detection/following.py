# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps up with a map that grows, a piece of work with each image."""

from __future__ import annotations

from collections.abc import Iterator

from floppynet_vpr.detection.background import Background, Needs
from floppynet_vpr.mapping import ReferenceMap


class MapFollower:
    """Knows what is usual in a map (`Background`) while it grows.

    All that at once would hold up one image for the better part of a second.
    """

    def __init__(self, reference: ReferenceMap) -> None:
        """Look at `reference`."""
        self._reference = reference
        self.background = Background(reference)
        self._next: tuple[Background, Iterator[None]] | None = None

    def follow(self, needs: Needs) -> None:
        """When the map has grown, do a piece of the work on what is usual in it now.

        `needs` are those that it has to be ready for.
        """
        if self._next is None and not self.background.fits:
            new = Background(self._reference)
            self._next = new, new.prepare(needs)
        if self._next is not None:
            background, pieces = self._next
            if not self.background.places or not _do_one(pieces):
                self.background, self._next = background, None


def _do_one(pieces: Iterator[None]) -> bool:
    """Do the next piece; False when there is none left."""
    try:
        next(pieces)
    except StopIteration:
        return False
    return True
