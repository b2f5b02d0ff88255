"""Arrays that NumPy stored column by column are read in blocks of rows, as those stored row by row are."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.data.importers import npy, npz
from acc.data.importers.found import BLOCK_BYTES, Lazy
from acc.errors import InvalidInput

KINDS = ("file", "stored", "packed")


def lazy(folder: Path, kind: str, array: np.ndarray[Any, Any]) -> Lazy:
    if kind == "file":
        np.save(folder / "x.npy", array)
        return npy.lazy(folder / "x.npy", "x")
    (np.savez if kind == "stored" else np.savez_compressed)(folder / "x.npz", x=array)
    return npz.arrays(folder / "x.npz")[0]["x"]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    stored_as=st.tuples(st.sampled_from(["u1", "<i2", ">i4", ">f8"]), st.sampled_from(["C", "F"])),
    kind=st.sampled_from(KINDS),
    rows=st.integers(1, 6),
    data=st.data(),
)
def test_every_row_comes_once_and_as_it_is(
    shape: list[int], stored_as: tuple[str, Any], kind: str, rows: int, data: Any
) -> None:
    array = np.arange(np.prod(shape)).astype(stored_as[0]).reshape(shape, order=stored_as[1])
    with tempfile.TemporaryDirectory() as folder:
        found = lazy(Path(folder), kind, array)
        np.testing.assert_array_equal(np.concatenate(list(found.read(rows))), array)
        if found.pick is not None:
            some = np.array(sorted(data.draw(st.sets(st.integers(0, len(array) - 1)))), np.int64)
            picked = found.pick(some)
            np.testing.assert_array_equal(picked, array[some])
            assert picked.dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_one_is_never_in_memory_whole(kind: str, tmp_path: Path) -> None:
    array = np.asfortranarray(
        np.arange(40_000 * 32 * 32, dtype=np.uint32).astype(np.uint8).reshape(-1, 32, 32)
    )
    found = lazy(tmp_path, kind, array)
    tracemalloc.start()
    try:
        start = 0
        for block in found.blocks():
            np.testing.assert_array_equal(block[0], array[start])
            start += len(block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert start == len(array)
    assert peak < 4 * BLOCK_BYTES < array.nbytes / 2


@pytest.mark.parametrize("fortran", [False, True])
def test_a_file_that_is_shorter_than_when_it_was_looked_at_is_refused(tmp_path: Path, fortran: bool) -> None:
    found = lazy(tmp_path, "file", np.zeros((9, 40, 3), np.uint8, order="F" if fortran else "C"))
    os.truncate(tmp_path / "x.npy", (tmp_path / "x.npy").stat().st_size - 50)
    assert found.pick is not None
    for read in (lambda: found.pick(np.array([0, 8])), lambda: list(found.blocks())):
        with pytest.raises(InvalidInput, match=r"'x\.npy' is not a whole \.npy file: it ends .* too early"):
            read()
