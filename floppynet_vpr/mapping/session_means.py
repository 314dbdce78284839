# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The mean feature map of each session: what all its images share, such as season or light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.mapping.grid import Grid
from floppynet_vpr.mapping.places import Session


@dataclass(frozen=True)
class SessionContent:
    """What a map file holds of a session beside its places.

    `added` counts all places that it ever had; `mean` is their mean turned feature map, (cells,
    bits) float32, of `weight` images.
    """

    session: Session
    added: int
    mean: NDArray[np.float32]
    weight: int


class SessionMeans:
    """The running mean of each session's turned feature maps, (cells, bits) float32."""

    def __init__(self, grid: Grid) -> None:
        """Start without sessions."""
        self._shape = grid.cells, grid.bits
        self._means: dict[int, NDArray[np.float32]] = {}
        self._weights: dict[int, int] = {}

    @classmethod
    def of_content(cls, grid: Grid, sessions: Iterable[SessionContent]) -> SessionMeans:
        """Take the means of a map file."""
        means = cls(grid)
        means._means = {one.session.uid: one.mean for one in sessions}
        means._weights = {one.session.uid: one.weight for one in sessions}
        return means

    def add(self, uid: int, turned: NDArray[np.float32]) -> None:
        """Take a place of a session into its mean, by its turned feature map."""
        weight = self._weights.get(uid, 0) + 1
        mean = self._means.get(uid, np.zeros(self._shape, np.float32))
        # A new array: the former may be being written to a file.
        self._means[uid] = mean + (turned - mean) / np.float32(weight)
        self._weights[uid] = weight

    def adopt(self, other: SessionMeans) -> None:
        """Take over the sessions of another map."""
        self._means.update(other._means)
        self._weights.update(other._weights)

    def of(self, uids: Sequence[int]) -> NDArray[np.float32]:
        """The means of sessions, (n, cells, bits) float32."""
        means = [self._means[uid] for uid in uids]
        return np.array(means, np.float32).reshape(-1, *self._shape)

    def content(
        self, sessions: Sequence[Session], added: Mapping[int, int]
    ) -> list[SessionContent]:
        """Look at what a map file holds of `sessions`."""
        return [
            SessionContent(
                session, added[session.uid], self._means[session.uid], self._weights[session.uid]
            )
            for session in sessions
        ]
