"""Images in folders and zip archives become datasets; whatever is wrong with them is told with the image's name."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acc.data.importers import columns
from acc.errors import InvalidInput
from acc.tests.importing import import_file

RNG = np.random.default_rng(0)


def encoded(pixels: np.ndarray[Any, Any] | None = None, kind: str = "PNG", *, side: int = 8) -> bytes:
    """Return an image file; grey noise unless pixels are given."""
    pixels = RNG.integers(0, 256, (side, side), dtype=np.uint8) if pixels is None else pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def laid_out(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        import_file(path, **options)
    return str(refused.value)


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_subfolders_are_classes_and_files_come_in_natural_order(tmp_path: Path, place: str) -> None:
    pictures = {name: RNG.integers(0, 256, (8, 9), dtype=np.uint8) for name in ("b/2", "b/10", "a/1")}
    files = {f"set/{name}.png": encoded(pixels) for name, pixels in pictures.items()}
    files |= {"set/.DS_Store": b"x", "__MACOSX/set/a/1.png": b"x", "set/README.md": b"x"}
    path = laid_out(tmp_path / "in", files) if place == "folder" else zipped(tmp_path / "in.zip", files)
    data, provenance = import_file(path)
    assert provenance["importer"] == "images"
    for number, name in enumerate(("a/1", "b/2", "b/10")):
        np.testing.assert_array_equal(data.images[number, 0], pictures[name])
    assert data.targets["label"].tolist() == [0, 1, 1]
    assert data.target_specs[0].labels == ("a", "b")


def test_a_table_tells_numbers_and_classes_by_name_of_file(tmp_path: Path) -> None:
    table = b"file,digit,slant,kind\nb.png,3,0.5,loop\na.png,1,-0.25,bar\n"
    path = zipped(tmp_path / "in.zip", {"a.png": encoded(), "b.png": encoded(), "targets.csv": table})
    data, _ = import_file(path)
    assert data.targets["digit"].tolist() == [1, 3]
    assert data.targets["slant"].tolist() == [-0.25, 0.5]
    assert data.targets["kind"].tolist() == [0, 1]
    assert {spec.name: (spec.kind, spec.labels) for spec in data.target_specs} == {
        "digit": ("class", None),
        "slant": ("real", None),
        "kind": ("class", ("bar", "loop")),
    }


def test_colour_stays_colour_and_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    data, _ = import_file(zipped(tmp_path / "in.zip", {"a.png": encoded(rgba)}))
    np.testing.assert_array_equal(data.images[0], np.moveaxis(rgba[..., :3], -1, 0))


CLEAR = np.zeros((8, 8, 4), np.uint8)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"../a.png": encoded()}, "holds the path '../a.png', which leads out of the archive"),
        ({"/etc/a.png": encoded()}, "leads out of the archive"),
        ({"..\\a.png": encoded()}, "leads out of the archive"),
        (
            {"a.png": encoded(), "b.png": encoded(side=9)},
            "different sizes, height x width: 8 x 8 (1), 9 x 9 (1); say to which they are scaled",
        ),
        ({"a.png": b"no image at all"}, "'a.png', which is not PNG as its name says"),
        ({"a.png": encoded(kind="JPEG")}, "'a.png', which is JPEG and not PNG as its name says"),
        ({"a.png": encoded()[:-40]}, "'a.png', which is damaged"),
        ({"a.png": encoded(), "b.exe": b"MZ"}, "holds 'b.exe' among the images"),
        ({"README.txt": b"nothing"}, "holds no image"),
        ({"a.png": encoded(CLEAR)}, "'a.png', which is transparent in places"),
        ({"a.png": encoded(side=7)}, "7 pixels wide or high"),
        ({"x/a.png": encoded(), "b.png": encoded()}, "'b.png' beside the folders of classes"),
        ({"a.png": encoded(), "t.csv": b"file,n\na.png,1\nb.png,2\n"}, "tells of 'b.png' in row 3"),
        (
            {"a.png": encoded(), "b.png": encoded(), "t.csv": b"file,n\na.png,1\n"},
            "1 rows for 2 images; 'b.png' has none",
        ),
        ({"a.png": encoded(), "t.csv": b"file,n\na.png,1\na.png,2\n"}, "two rows for 'a.png': 2 and 3"),
        ({"a.png": encoded(), "t.csv": b"file,slant\na.png,nan\n"}, "target 'slant' nan at sample 0"),
        ({"a.png": encoded(), "t.csv": b"file,n\na.png\n"}, "1 cells in row 2 and 2 in its header"),
        ({"a.png": encoded(), "t.csv": b"file,n\na.png,\n"}, "nothing in column 'n' of row 2"),
        ({"a.png": encoded(), "t.csv": b"\xff\xfe\x00"}, "is not a CSV file in UTF-8"),
        (
            {"a.png": encoded(), "t.csv": b"file,n\n", "u.csv": b"file,n\n"},
            "one of them is to tell the targets",
        ),
    ],
)
def test_what_is_wrong_is_told_in_words(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    assert words in refusal(zipped(tmp_path / "in.zip", files))


def test_links_are_refused_in_archives_and_folders(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded())
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(link, "../secret.png")
    assert "holds the link 'a.png'" in refusal(tmp_path / "in.zip")
    folder = laid_out(tmp_path / "in", {"b.png": encoded()})
    (folder / "a.png").symlink_to(secret)
    assert "holds the link 'a.png'" in refusal(folder)
    os.mkfifo(laid_out(tmp_path / "pipes", {"b.png": encoded()}) / "c.png")
    assert "'c.png', which is no plain file" in refusal(tmp_path / "pipes")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "in.zip", {"a.png": encoded(), "b.png": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    assert "bytes unpacked; at most 1,000,000" in refusal(path, max_bytes=1_000_000)


def test_an_image_of_a_trillion_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    whole = bytearray(encoded())
    whole[16:24] = struct.pack(">II", 1_000_000, 1_000_000)
    head = zlib_crc(bytes(whole[12:29]))
    whole[29:33] = head
    assert "'a.png'" in refusal(zipped(tmp_path / "in.zip", {"a.png": bytes(whole)}))


def zlib_crc(data: bytes) -> bytes:
    import zlib

    return struct.pack(">I", zlib.crc32(data))


def test_many_small_images_of_a_large_set_count_unpacked(tmp_path: Path) -> None:
    flat = encoded(np.zeros((1000, 1000), np.uint8))
    path = zipped(tmp_path / "in.zip", {f"{number}.png": flat for number in range(20)})
    assert "holds 20,000,000 bytes unpacked; at most 10,000,000" in refusal(path, max_bytes=10_000_000)


def archive_of(*files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files:
            archive.writestr(name, encoded())
    return buffer.getvalue()


WHOLE = archive_of("a/1.png", "b/2.png")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_to_an_archive_ends_in_anything_but_a_sentence(data: Any) -> None:
    place = data.draw(st.integers(0, len(WHOLE) - 1))
    broken = data.draw(
        st.sampled_from([WHOLE[:place], WHOLE[:place] + bytes([WHOLE[place] ^ 0xFF]) + WHOLE[place + 1 :]])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload.zip"
        path.write_bytes(broken)
        try:
            found, _ = import_file(path)
        except InvalidInput:
            return
        assert found.images.shape[1:] == (1, 8, 8)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_as_a_table_end_in_columns_or_a_sentence(data: bytes, by_file: bool) -> None:
    try:
        found = columns.read(data, "t.csv", by_file=by_file)
    except InvalidInput:
        return
    assert len({len(values) for values in found.values.values()}) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=20))
def test_a_table_that_was_written_is_read_back(rows: list[tuple[int, float]]) -> None:
    text = "a,b\n" + "".join(f"{a},{b!r}\n" for a, b in rows)
    found = columns.read(text.encode(), "t.csv", by_file=False)
    assert found.values["a"].tolist() == [a for a, _ in rows]
    assert found.values["b"].tolist() == [b for _, b in rows]
