# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""How many of their 16 bits a camera's pixels use, which no message and no file says.

Thermal and industrial cameras put 10 to 14 bits into 16. Scaled as if they used all of them, such
pictures are all but black. How many it are is told by the largest value: 8, 10, 12, 14 or 16 bits,
whichever holds it. A picture alone would not do, for the scale must not jump where a dark one comes
after a bright one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from numpy.typing import NDArray

PROBED: Final = 16
"""Frames, evenly spread over a recording, that tell how many bits it uses."""

_COMMON: Final = (8, 10, 12, 14, 16)


class BitDepth:
    """Finds the bits that the images of one camera use; may be asked by any thread.

    Of a live camera it is the widest seen so far, so that the scale changes a few times at most,
    and soon after the start. Of a recording it is the widest of the images that are probed, and an
    image that needs more takes more: that depends on the recording alone, and not on which of its
    images are read, in what order and by how many threads.
    """

    def __init__(self, probe: Callable[[BitDepth], None] | None = None) -> None:
        """`probe` decodes images of a recording with the depth it is given; None: live.

        It is called when it is first needed, which is never where all images have 8 bits.
        """
        self._probe = probe
        self._lock = threading.Lock()
        self._bits = 0

    def bits(self, pixels: NDArray[Any]) -> int:
        """Tell how many bits to take for a uint16 image: 8, 10, 12, 14 or 16."""
        needed = int(pixels.max()).bit_length()
        own = next(bits for bits in _COMMON if bits >= needed)
        with self._lock:
            if self._probe is None:
                self._bits = max(self._bits, own)
            elif not self._bits:
                probed = BitDepth()
                self._probe(probed)
                self._bits = max(probed._bits, _COMMON[0])
            return max(self._bits, own)


def probed(frames: int) -> list[int]:
    """Choose the numbers of the frames to probe, ascending, of a recording of so many."""
    count = min(frames, PROBED)
    return [index * (frames - 1) // max(count - 1, 1) for index in range(count)]
