# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth: geodesics and the forms in which authors publish it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from floppynet_vpr.datasets.gps import geodesic_metres, read_positions, within_metres
from floppynet_vpr.datasets.truth_files import read_loops, read_truth, write_truth
from floppynet_vpr.errors import VprError

BERLIN = (52.5, 13.3)


def truth_of(text: str, folder: Path, queries: int = 3, references: int = 4, **more: object) -> str:
    file = folder / "truth.txt"
    file.write_text(text)
    truth = read_truth(file, range(queries), range(references), **more)  # type: ignore[arg-type]
    return " ".join("".join(map(str, row)) for row in truth.astype(int))


@pytest.mark.parametrize(
    "text",
    [
        "1 1 0 0\n0 0 1 0\n0 0 0 1\n",
        "1,1,0,0\n0,0,1,0\n0,0,0,1\n",
        "1.0 1.0 0.0 0.0\n0 0 1 0\n0 0 0 1\n",
        "query,ref,ref_last\n0,0,1\n1,2,2\n2,3,3\n",
        "# by hand\n0 0 1\n1 2\n2 3\n",
        "Query frame;Reference frame\n0;0\n0;1\n1;2\n2;3\n",
    ],
)
def test_every_form_of_a_file_says_the_same(text: str, tmp_path: Path) -> None:
    assert truth_of(text, tmp_path) == "1100 0010 0001"


def test_neighbours_count_up_to_the_tolerance(tmp_path: Path) -> None:
    assert truth_of("query,ref\n0,0\n2,2\n", tmp_path, tolerance=1) == "1100 0000 0111"


def test_the_column_of_queries_can_be_named(tmp_path: Path) -> None:
    text = "Serial No,Query,Ref (Apply Range -2 to 2)\n0,64,2\n1,65,3\n"
    assert truth_of(text, tmp_path, query_column="serial") == "0010 0001 0000"
    with pytest.raises(VprError, match="query 64, but there is no such frame"):
        truth_of(text, tmp_path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_are_matrices(suffix: str, tmp_path: Path) -> None:
    matrix = np.eye(3, 4, dtype=np.uint8)
    file = tmp_path / f"truth{suffix}"
    with file.open("wb") as out:
        np.save(out, matrix) if suffix == ".npy" else np.savez(out, matrix)
    assert np.array_equal(read_truth(file, range(3), range(4)), matrix.astype(bool))
    with pytest.raises(VprError, match="is turned"):
        read_truth(file, range(4), range(3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("0 9\n", "reference 9, but there is no such frame"),
        ("place,time\n0,1\n", "should name the columns query and ref"),
        ("0 1\nnight 2\n", "no query with its references: night 2"),
        ("0\n", "no query with its references: 0"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_a_reason(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(VprError, match=said):
        truth_of(text, tmp_path)


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n),
                                                    min_size=1, max_size=8)))  # fmt: skip
def test_a_written_truth_is_read_back(rows: list[list[bool]]) -> None:
    import tempfile

    truth = np.array(rows, bool)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "truth.csv")
        write_truth(file, truth)
        assert np.array_equal(read_truth(file, *map(range, truth.shape)), truth)


def test_a_geodesic_is_that_of_the_ellipsoid() -> None:
    # A degree of longitude at the equator is a / 180 * pi, a = 6378137 m; the polar quadrant of
    # WGS 84 is 10 001 965.729 m long.
    assert geodesic_metres(np.zeros(2), np.array([0.0, 1.0])) == pytest.approx(
        111319.4908, abs=1e-3
    )
    assert geodesic_metres(np.zeros(2), np.array([90.0, 0.0])) == pytest.approx(10001965.729, abs=1)


def scattered(count: int, seed: int, metres: float) -> NDArray[np.float64]:
    spread = metres / 111_000
    return BERLIN + np.random.default_rng(seed).uniform(-spread, spread, (count, 2))


def test_within_metres_agrees_with_the_geodesic_for_every_pair() -> None:
    queries, references = scattered(30, 1, 60), scattered(40, 2, 60)
    exact = [[geodesic_metres(q, r) <= 50 for r in references] for q in queries]
    found = within_metres(queries, references, 50)
    assert 0 < found.sum() < found.size
    assert np.array_equal(found, exact)


def test_a_place_is_within_no_metres_of_itself() -> None:
    assert within_metres(scattered(5, 3, 10), scattered(5, 3, 10), 0).tolist() == np.eye(5).tolist()


def test_positions_are_found_by_name_or_by_order(tmp_path: Path) -> None:
    file = tmp_path / "gps.csv"
    file.write_text("Image,Lon,Lat\nb.jpg,13.2,52.2\na.jpg,13.1,52.1\n")
    assert read_positions(file, ["a.png", "b.png"]).tolist() == [[52.1, 13.1], [52.2, 13.2]]
    file.write_text("latitude,longitude\n52.2,13.2\n52.1,13.1\n")
    assert read_positions(file, ["a.png", "b.png"])[0].tolist() == [52.2, 13.2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("52.2,13.2\n", "first line that names"),
        ("lat,lon\n52.2,13.2\n", "1 positions for 2 frames"),
        ("name,lat,lon\na,52.2,13.2\nc,52.2,13.2\n", "no position for 1 of 2 frames, such as b"),
        ("lat,lon\n52.2,13.2\nnorth,13\n", "line 3: no latitude"),
        ("lat,lon\n152.2,13.2\n52,13\n", "line 2: .* is no latitude"),
    ],
)
def test_positions_that_do_not_fit_are_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "gps.csv"
    file.write_text(text)
    with pytest.raises(VprError, match=said):
        read_positions(file, ["a.png", "b.png"])


def test_a_matrix_of_matlab_or_an_image_is_one_of_0_and_1(tmp_path: Path) -> None:
    from scipy.io import savemat

    matrix = np.eye(3, 4, dtype=np.uint8)
    savemat(tmp_path / "truth.mat", {"GT": matrix, "names": np.ones((2, 2)), "fps": 1.0})
    for level in (1, 255):
        assert cv2.imwrite(str(tmp_path / f"truth_{level}.png"), level * matrix)
    for name in ("truth.mat", "truth_1.png", "truth_255.png"):
        assert np.array_equal(read_truth(tmp_path / name, range(3), range(4)), matrix)
    for name in ("truth.mat", "truth_1.png"):
        content = (tmp_path / name).read_bytes()
        for part in (b"", content[:40]):
            (tmp_path / name).write_bytes(part)
            with pytest.raises(VprError, match="cannot read the ground truth"):
                read_truth(tmp_path / name, range(3), range(4))


def test_loops_are_symmetric_whichever_frame_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "loops.csv"
    file.write_text("earlier,later\n0,4\n5,1\n")
    loops = read_loops(file, 6)
    assert sorted(zip(*np.nonzero(loops), strict=True)) == [(0, 4), (1, 5), (4, 0), (5, 1)]
    wide = read_loops(file, 6, tolerance=1)
    assert np.flatnonzero(wide[4]).tolist() == [0, 1]
    assert np.flatnonzero(wide[0]).tolist() == [3, 4, 5]
    file.write_text("0,9\n")
    with pytest.raises(VprError, match="speaks of reference 9"):
        read_loops(file, 6)
    file.write_text("frame a,frame b\n")
    assert not read_loops(file, 6).any()
