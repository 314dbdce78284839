# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The fast extractor: the packed network in code compiled by LLVM for the CPU at hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.extraction.compiled_plan import STATE_SIZE, Blocking, make_plan
from floppynet_vpr.extraction.extractor import ExtractionError, FamilyExtractor, check_input
from floppynet_vpr.extraction.helpers import Helpers
from floppynet_vpr.extraction.packed import PackedExtractor
from floppynet_vpr.extraction.products import FloatProduct
from floppynet_vpr.extraction.stages import network_stages
from floppynet_vpr.libraries import require
from floppynet_vpr.network.layers import INPUT_SHAPE, output_shape
from floppynet_vpr.network.weights import NetworkWeights

if TYPE_CHECKING:
    from floppynet_vpr.extraction.native_code import NativeCode

_HELP, _LEAD = 0, 1


class CompiledExtractor(FamilyExtractor):
    """Extracts with xnor and popcount on packed bits, compiled for this CPU, on 1 to n threads."""

    def __init__(
        self, weights: NetworkWeights, threads: int = 1, code: NativeCode | None = None
    ) -> None:
        """Lay out the network and compile, `code` being for this CPU unless given.

        The result is compared with numpy's once. Raises ImportError where llvmlite is absent, and
        ExtractionError where it cannot compile or its code computes wrongly.
        """
        self._code = code or _native_code()
        target = self._code.target
        plural = "" if threads == 1 else f", {threads} threads"
        super().__init__(
            weights, f"packed bits, compiled kernels ({target.bits}, {target.pixels}){plural}"
        )
        blocking = Blocking(target.filters, target.signed_pixels)
        self._plan = plan = make_plan(network_stages(weights), blocking)
        self._state = np.zeros(STATE_SIZE, np.int64)
        arrays = (plan.maps, plan.filters, plan.tables, plan.pool5, self._state)
        self._arguments = (
            plan.stages.ctypes.data,
            len(plan.stages),
            *(array.ctypes.data for array in arrays),
        )
        self._sign_bit = np.uint8(0x80 if target.signed_pixels else 0)
        self._output_shape = output_shape(weights.spec)
        self._helpers = Helpers(threads - 1, "extractor")
        self._check()

    def pool5(self, image: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Extract the last feature map: (227, 227, 3) uint8 RGB -> (6, 6, 256) int16."""
        check_input(image)
        np.bitwise_xor(image.reshape(self._plan.image.shape), self._sign_bit, out=self._plan.image)
        self._code.begin(self._state.ctypes.data)
        # A bound method: whoever comes late finds the arrays still there.
        self._helpers.call(self._help)
        self._code.run_tasks(*self._arguments, _LEAD)
        return self._plan.pool5.reshape(self._output_shape).copy()

    def stage_calls(self, image: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
        """See `Extractor`; on one thread."""
        self.pool5(image)
        return {
            conv.name: partial(self._run_stage, index)
            for index, conv in enumerate(self.weights.spec.convs)
        }

    def _help(self) -> None:
        self._code.run_tasks(*self._arguments, _HELP)

    def _run_stage(self, index: int) -> None:
        # As if all stages before it were done, and it were the last.
        self._state[:] = self._plan.stages[index]["first_task"]
        stages, _, *arrays = self._arguments
        self._code.run_tasks(stages, index + 1, *arrays, _LEAD)

    def _check(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, INPUT_SHAPE, np.uint8)
        expected = PackedExtractor(self.weights, "numpy", product=FloatProduct).pool5(image)
        if not np.array_equal(self.pool5(image), expected):
            raise ExtractionError(
                "LLVM's code computes wrongly on this CPU: choose another backend, and please "
                "report it with your CPU and the version of llvmlite"
            )


def _native_code() -> NativeCode:
    require("llvmlite")
    try:
        from floppynet_vpr.extraction.native_code import native_code

        return native_code()
    except Exception as error:
        # Of a compiler anything may come, and any of it means the same here.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ExtractionError(f"LLVM's compiler fails here: {reason}") from error
