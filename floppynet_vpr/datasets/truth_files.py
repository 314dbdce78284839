# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth that authors publish as a file: which references show a query's place.

Three forms are told apart by looking: a matrix of 0 and 1, a line for each query and a column for
each reference (text, .npy, .npz, .mat or an image); a table whose first line names the columns
`query` and `ref` (with `ref_last`: a range); and bare lines of a query and one or more references.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from floppynet_vpr.errors import VprError

_SEPARATORS: Final = re.compile(r"[\s,;]+")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.0*)?")
_PREVIEW: Final = 60


def read_truth(
    path: Path,
    queries: Sequence[int],
    references: Sequence[int],
    tolerance: int = 0,
    query_column: str = "query",
    named: bool = True,
) -> NDArray[np.bool_]:
    """Read a ground-truth file for frames with these numbers, (queries, references) bool.

    By its number a frame goes in the file: its index, or that in its name. A reference that is
    named stands for its neighbours up to `tolerance` frames, too. `query_column` is how the header
    of the column of queries begins; a first line of words must name the columns only if `named`.
    Raises VprError where the file is of no known form, or speaks of other frames.
    """
    shape = len(queries), len(references)
    if path.suffix.lower() in _MATRIX_FILES:
        truth = _checked_matrix(path, _MATRIX_FILES[path.suffix.lower()](path, shape), *shape)
    else:
        lines = _read_lines(path)
        numbers = [_numbers(line) for line in lines]
        if len(lines) == len(queries) and all(
            row is not None and len(row) == len(references) and set(row) <= {0, 1}
            for row in numbers
        ):
            truth = np.array(numbers, bool)
        else:
            if not named and numbers[0] is None and query_column not in lines[0].casefold():
                lines, numbers = lines[1:], numbers[1:]
            pairs = _pairs(path, lines, numbers, query_column) if lines else []
            truth = _from_pairs(path, pairs, queries, references)
    return _widened(truth, tolerance)


def read_loops(path: Path, frames: int, tolerance: int = 0) -> NDArray[np.bool_]:
    """Read which frames of one traverse show the same place, (frames, frames) bool, symmetric.

    The file has the forms of `read_truth`, frames being numbered from 0; of a pair either may come
    first, and a table needs no names for its columns. What a frame is matched to may be up to
    `tolerance` frames off. Raises VprError as `read_truth`.
    """
    numbers = range(frames)
    truth = read_truth(path, numbers, numbers, query_column="query", named=False)
    return _widened(truth | truth.T, tolerance)


def write_truth(path: Path, truth: NDArray[np.bool_]) -> None:
    """Write a truth, (queries, references) bool, as a table of index ranges `read_truth` reads."""
    lines = ["query,ref,ref_last"]
    for query, row in enumerate(truth):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        lines += [f"{query},{a},{b - 1}" for a, b in zip(edges[::2], edges[1::2], strict=True)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _load_array(path: Path, shape: tuple[int, int]) -> NDArray[np.generic]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise VprError(
            f"cannot read the ground truth {path}: {error}; it should be a plain array of 0 and 1"
        ) from error
    if isinstance(loaded, np.ndarray):
        return loaded
    arrays = [loaded[name] for name in loaded.files]
    loaded.close()
    return _only_matrix(path, arrays, shape)


def _load_mat(path: Path, shape: tuple[int, int]) -> NDArray[np.generic]:
    from scipy.io import loadmat
    from scipy.sparse import issparse

    try:
        variables = loadmat(path)
    except Exception as error:  # of a damaged file scipy raises whatever it stumbles over
        raise VprError(
            f"cannot read the ground truth {path}: {error}; save it in Matlab with -v7"
        ) from error
    values = [value for name, value in variables.items() if not name.startswith("__")]
    matrices = [value.toarray() if issparse(value) else value for value in values]
    return _only_matrix(path, matrices, shape)


def _load_image(path: Path, shape: tuple[int, int]) -> NDArray[np.generic]:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise VprError(f"cannot read the ground truth {path} as an image")
    # Whether white is 1 or 255; a lossy format blurs black.
    return np.asarray(image > image.max() // 2)


def _only_matrix(
    path: Path, arrays: Sequence[NDArray[np.generic]], shape: tuple[int, int]
) -> NDArray[np.generic]:
    """The one matrix of a file that may hold several: the only one, or the only one that fits."""
    matrices = [array for array in arrays if array.ndim == 2]
    fitting = [matrix for matrix in matrices if matrix.shape == shape]
    chosen = fitting if len(fitting) == 1 else matrices
    if len(chosen) != 1:
        raise VprError(f"{path} should hold one array, not {len(arrays)}")
    return np.asarray(chosen[0])


_MATRIX_FILES: Final = {
    ".npy": _load_array,
    ".npz": _load_array,
    ".mat": _load_mat,
    **dict.fromkeys((".png", ".pgm", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg"), _load_image),
}


def _checked_matrix(
    path: Path, matrix: NDArray[np.generic], queries: int, references: int
) -> NDArray[np.bool_]:
    if matrix.shape != (queries, references):
        turned = (
            " (it is turned: queries belong in rows)"
            if matrix.shape == (references, queries)
            else ""
        )
        raise VprError(
            f"the ground truth {path} is of shape {matrix.shape}, but there are {queries} queries "
            f"and {references} references{turned}"
        )
    return np.asarray(matrix != 0)


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VprError(f"cannot read the ground truth {path}: {error}") from error
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise VprError(f"the ground truth {path} is empty")
    return lines


def _numbers(line: str) -> list[int] | None:
    """The whole numbers of a line, None if it has anything else."""
    words = [word for word in _SEPARATORS.split(line) if word]
    if not all(_NUMBER.fullmatch(word) for word in words):
        return None
    return [int(float(word)) for word in words]


def _pairs(
    path: Path, lines: list[str], numbers: list[list[int] | None], query_column: str
) -> list[tuple[int, list[int]]]:
    """Each line as a query and its references."""
    columns: list[int] | None = None
    if numbers[0] is None:
        columns = _named_columns(path, lines[0], query_column)
        lines, numbers = lines[1:], numbers[1:]
    pairs = []
    for line, row in zip(lines, numbers, strict=True):
        if row is None or len(row) < 2 or (columns and len(row) <= max(columns)):
            raise VprError(
                f"the ground truth {path} has a line that is no query with its references: "
                f"{line[:_PREVIEW]}"
            )
        if columns is None:
            pairs.append((row[0], row[1:]))
        elif len(columns) == 2:
            pairs.append((row[columns[0]], [row[columns[1]]]))
        else:
            pairs.append((row[columns[0]], list(range(row[columns[1]], row[columns[2]] + 1))))
    return pairs


def _named_columns(path: Path, header: str, query_column: str) -> list[int]:
    """Where the columns of queries, references and, if there is one, ref_last are."""
    # Words in brackets explain; they name nothing.
    cells = [re.sub(r"\(.*\)", "", cell).strip().casefold() for cell in re.split("[,;\t]", header)]
    query = [index for index, cell in enumerate(cells) if cell.startswith(query_column)]
    reference = [index for index, cell in enumerate(cells) if cell.startswith("ref")]
    if len(query) != 1 or len(reference) not in (1, 2):
        raise VprError(
            f"the ground truth {path} should name the columns {query_column} and ref in its first "
            f"line, or have numbers only: {header[:_PREVIEW]}"
        )
    return [*query, *reference]


def _from_pairs(
    path: Path,
    pairs: list[tuple[int, list[int]]],
    queries: Sequence[int],
    references: Sequence[int],
) -> NDArray[np.bool_]:
    row_of = {number: index for index, number in enumerate(queries)}
    column_of = {number: index for index, number in enumerate(references)}
    truth = np.zeros((len(queries), len(references)), bool)
    for query, shown in pairs:
        for kind, number, known in [
            ("query", query, row_of),
            *(("reference", reference, column_of) for reference in shown),
        ]:
            if number not in known:
                raise VprError(
                    f"the ground truth {path} speaks of {kind} {number}, but there is no such "
                    f"frame ({len(known)} frames, {min(known)} to {max(known)}): another copy of "
                    "the dataset, or another numbering?"
                )
        truth[row_of[query], [column_of[reference] for reference in shown]] = True
    return truth


def _widened(truth: NDArray[np.bool_], tolerance: int) -> NDArray[np.bool_]:
    """Every true cell with its neighbours along the references."""
    wide = truth.copy()
    for step in range(1, min(tolerance, truth.shape[1] - 1) + 1):
        wide[:, step:] |= truth[:, :-step]
        wide[:, :-step] |= truth[:, step:]
    return wide
