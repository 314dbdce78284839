# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The compiled extractor is exact on every kind of CPU it has code for and on any threads."""

from __future__ import annotations

import dataclasses
import gc
import platform
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_weights

from floppynet_vpr.extraction import ExtractionError
from floppynet_vpr.extraction.compiled import CompiledExtractor
from floppynet_vpr.extraction.packed import PackedExtractor
from floppynet_vpr.network.weights import load_weights

pytest.importorskip("llvmlite", reason="the compiled extractor needs llvmlite")

from floppynet_vpr.extraction.native_code import native_code
from floppynet_vpr.extraction.vector_code import VectorTarget, vector_target

IMAGE_SHAPE = (227, 227, 3)
SSSE3 = "+ssse3,+sse4.1,+sse4.2,+popcnt"
AVX2 = f"{SSSE3},+avx,+avx2"
AVX512 = f"{AVX2},+avx512f,+avx512bw,+avx512vl,+avx512dq"
LESSER_CPUS = {
    "sse2": ("x86-64", "+sse2"),
    "ssse3": ("nehalem", SSSE3),
    "avx2": ("haswell", AVX2),
    "avx512bw": ("skylake-avx512", AVX512),
    "avx512_vnni": ("cascadelake", f"{AVX512},+avx512vnni"),
}
if platform.machine() == "aarch64":
    LESSER_CPUS = {
        "asimd": ("cortex-a72", "+neon"),
        "asimddp": ("cortex-a76", "+neon,+dotprod"),
    }


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, IMAGE_SHAPE, np.uint8)


def host_flags() -> set[str]:
    return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("flag", LESSER_CPUS)
@pytest.mark.parametrize(("name", "padding"), [("floppynet", 1), ("binarynet", 0)])
def test_code_for_lesser_cpus_is_exact(name: str, padding: int, flag: str) -> None:
    if flag not in host_flags():
        pytest.skip(f"this CPU has no {flag}")
    weights = random_weights(name, padding, seed=11)
    extractor = CompiledExtractor(weights, code=native_code(*LESSER_CPUS[flag]))
    expected = PackedExtractor(weights, "numpy")
    for seed in range(3):
        image = random_image(seed)
        np.testing.assert_array_equal(extractor.pool5(image), expected.pool5(image))


@pytest.mark.parametrize(
    ("triple", "features", "expected"),
    [
        ("x86_64-linux-gnu", "+avx2,+ssse3,-avx512vl", VectorTarget(8, 2, "bytes", "pairs")),
        ("x86_64-linux-gnu", "+avx2,+avxvnni", VectorTarget(8, 2, "bytes", "vnni")),
        (
            "x86_64-linux-gnu",
            "+avx2,+avx512bw,+avx512vl,+avx512vnni,+avx512vpopcntdq",
            VectorTarget(16, 2, "words", "vnni"),
        ),
        ("aarch64-linux-gnu", "+neon", VectorTarget(4, 2, "bytes", "products")),
        ("aarch64-linux-gnu", "+neon,+dotprod", VectorTarget(4, 4, "bytes", "sdot")),
        ("riscv64-linux-gnu", "", VectorTarget(4, 2, "bytes", "products")),
    ],
)
def test_the_steps_fit_the_cpu(triple: str, features: str, expected: VectorTarget) -> None:
    assert vector_target(triple, features) == expected


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([("floppynet", 1), ("shallownet", 0), ("binarynet", 0), ("binarynet", 1)]),
    st.integers(0, 2**32 - 1),
)
def test_random_networks_give_numpys_integers(network: tuple[str, int], seed: int) -> None:
    weights = random_weights(*network, seed)
    image = random_image(seed)
    np.testing.assert_array_equal(
        CompiledExtractor(weights).pool5(image), PackedExtractor(weights, "numpy").pool5(image)
    )


def test_any_number_of_threads_gives_the_same_integers() -> None:
    weights = load_weights()
    images = [random_image(seed) for seed in range(4)]
    single = CompiledExtractor(weights)
    expected = [single.pool5(image) for image in images]
    for threads in (2, 3, 5):
        extractor = CompiledExtractor(weights, threads)
        for turn in range(100):
            which = turn % len(images)
            np.testing.assert_array_equal(extractor.pool5(images[which]), expected[which])


def test_extractors_may_go_while_their_helpers_are_on_the_way() -> None:
    weights = load_weights()
    image = random_image(0)
    expected = CompiledExtractor(weights).pool5(image)
    for _ in range(10):
        np.testing.assert_array_equal(CompiledExtractor(weights, 4).pool5(image), expected)
        gc.collect()


def test_code_that_computes_wrongly_is_refused() -> None:
    broken = dataclasses.replace(native_code(), run_tasks=lambda *arguments: None)
    with pytest.raises(ExtractionError, match="wrongly"):
        CompiledExtractor(load_weights(), code=broken)
