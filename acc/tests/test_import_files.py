"""Files that people already have become datasets; one that is not what it says is refused with a sentence."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.errors import InvalidInput
from acc.tests.importing import import_file

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = (np.arange(20) % 10).astype(np.uint8)


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """Return an array of bytes in IDX."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def npz(**arrays: Any) -> bytes:
    """Return arrays as .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refusal(path: Path, **options: Any) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(InvalidInput) as refused:
        import_file(path, **options)
    return str(refused.value)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_images_find_the_labels_that_are_named_alike(tmp_path: Path, packed: bool) -> None:
    wrap = gzip.compress if packed else bytes
    ending = ".gz" if packed else ""
    images = put(tmp_path / f"train-images-idx3-ubyte{ending}", wrap(idx(IMAGES)))
    put(tmp_path / f"train-labels-idx1-ubyte{ending}", wrap(idx(LABELS)))
    data, provenance = import_file(images)
    np.testing.assert_array_equal(data.images[:, 0], IMAGES)
    np.testing.assert_array_equal(data.targets["label"], LABELS)
    assert (data.target_specs[0].kind, data.target_specs[0].classes) == ("class", 10)
    mapping = provenance.pop("mapping")
    assert (mapping["images"], mapping["scale"]) == ("images", "0..255")
    assert provenance == {
        "importer": "idx",
        "file": images.name,
        "labels": f"train-labels-idx1-ubyte{ending}",
        "layout": "MNIST",
        "scale": "0..255",
        "pixels": "uint8, 0 to 255, 256 different values",
    }


def test_a_gzip_file_of_several_streams_is_read_to_its_end(tmp_path: Path) -> None:
    whole = idx(np.tile(IMAGES, (150, 1, 1)))  # more than is unpacked at once
    packed = gzip.compress(whole[:1000]) + gzip.compress(whole[1000:]) + bytes(7)
    data, _ = import_file(put(tmp_path / "pictures", packed))
    np.testing.assert_array_equal(data.images[-20:, 0], IMAGES)
    altered = bytearray(gzip.compress(whole))
    altered[-6] ^= 1
    assert "damaged gzip" in refusal(put(tmp_path / "altered", bytes(altered)))


def test_idx_without_labels_is_a_dataset_without_targets(tmp_path: Path) -> None:
    data, _ = import_file(put(tmp_path / "pictures", idx(IMAGES)))
    assert (len(data), data.target_specs) == (20, ())


def test_npz_columns_become_classes_or_real_values_by_their_type(tmp_path: Path) -> None:
    path = put(
        tmp_path / "made.npz",
        npz(images=IMAGES, digit=LABELS, Slant=np.linspace(-1, 1, 20), offset=LABELS.astype(int) - 5),
    )
    data, provenance = import_file(path)
    kinds = {column.name: column.kind for column in data.target_specs}
    assert kinds == {"digit": "class", "Slant": "real", "offset": "real"}
    assert (provenance["importer"], provenance["file"]) == ("npz", "made.npz")


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((3, 9, 11), np.uint8), (3, 1, 9, 11)),
        (np.zeros((3, 9, 11, 3), np.uint8), (3, 3, 9, 11)),
        (np.zeros((3, 3, 9, 11), np.uint8), (3, 3, 9, 11)),
        (np.zeros((3, 9, 11, 1), np.float32), (3, 1, 9, 11)),
    ],
)
def test_axes_are_put_in_the_order_of_channels_first(
    tmp_path: Path, images: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> None:
    data, _ = import_file(put(tmp_path / "x.npz", npz(whatever=images)))
    assert data.images.shape == shape


def test_floats_from_0_to_1_and_truth_values_are_scaled_to_bytes(tmp_path: Path) -> None:
    grey = np.full((1, 8, 8), 0.5)
    grey[0, 0, :2] = 0, 1
    data, _ = import_file(put(tmp_path / "x.npz", npz(images=grey)))
    assert data.images[0, 0, 0, :3].tolist() == [0, 255, 128]
    data, _ = import_file(put(tmp_path / "y.npz", npz(images=np.ones((1, 8, 8), bool))))
    assert data.images.max() == data.images.min() == 255


def test_the_same_arrays_have_the_same_content_whatever_file_they_came_in(tmp_path: Path) -> None:
    one, _ = import_file(put(tmp_path / "a.npz", npz(images=IMAGES, label=LABELS)))
    put(tmp_path / "labels", idx(LABELS))
    other, _ = import_file(put(tmp_path / "images", idx(IMAGES)), labels=tmp_path / "labels")
    assert one.content_hash == other.content_hash


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"GIF89a......", "none of: IDX, .npz, .npy"),
        (b"\0\0", "is no IDX file"),
        (b"\0\0\x08\x03\0\0", "ends within its header"),
        (idx(IMAGES)[:-1], "but has only 15,679"),
        (idx(IMAGES) + b"\0", "but has more"),
        (gzip.compress(idx(IMAGES))[:-9], "damaged gzip"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31), "bytes unpacked; at most"),
        (idx(LABELS), "holds images (20,) uint8; need (N, H, W)"),
        (idx(IMAGES[:0]), "holds no image"),
        (idx(IMAGES[:, :7]), "7 pixels wide or high"),
        (npz(images=IMAGES)[:-30], "is not a whole .npz file"),
        (npz(images=IMAGES, label=LABELS[:-1]), "target 'label' has shape (19,)"),
        (npz(images=IMAGES, slant=np.where(LABELS == 3, np.nan, 0.5)), "target 'slant' nan at sample 3"),
        (npz(a=IMAGES, b=IMAGES), "name the array of images 'images'"),
        (npz(label=LABELS), "name the array of images 'images'"),
        (npz(images=np.zeros((3, 9, 11, 2))), "need (N, H, W)"),
        (npz(images=IMAGES.astype(np.int32) + 1), "pixel values from 1 to 256; need uint8"),
        (npz(images=np.full((2, 8, 8), np.nan)), "pixel values from nan to nan; need uint8"),
        (npz(images=IMAGES.astype(complex)), "holds images (20, 28, 28) complex128; need (N, H, W)"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused_in_words(tmp_path: Path, data: bytes, words: str) -> None:
    path = put(tmp_path / "upload", data)
    sentence = refusal(path)
    assert words in sentence
    assert "'upload'" in sentence


def test_a_file_larger_than_allowed_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(50_000_000))
    assert bomb.stat().st_size < 100_000
    assert "50,000,000 bytes unpacked; at most 1,000,000" in refusal(bomb, max_bytes=1_000_000)
    packed = put(tmp_path / "bomb.gz", gzip.compress(idx(np.zeros((5000, 100, 100), np.uint8))))
    assert "50,000,000 bytes unpacked" in refusal(packed, max_bytes=1_000_000)


def test_a_file_that_is_not_there_or_not_needed_is_named(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "nowhere")
    path = put(tmp_path / "a.npz", npz(images=IMAGES))
    assert "is the file of images" in refusal(path, labels=path)
    both = put(tmp_path / "b.npz", npz(images=IMAGES, label=LABELS))
    assert "holds its targets itself" in refusal(both, labels=path)
    images = put(tmp_path / "images", idx(IMAGES))
    assert "is the file of images" in refusal(images, labels=images)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_to_a_file_ends_in_anything_but_a_sentence(data: Any) -> None:
    small = IMAGES[:2, :8, :8]
    whole = data.draw(
        st.sampled_from([idx(small), gzip.compress(idx(small)), npz(images=small, label=LABELS[:2])])
    )
    place = data.draw(st.integers(0, len(whole) - 1))
    broken = data.draw(
        st.sampled_from([whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]])
    )
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "upload", broken)
        try:
            found, _ = import_file(path)
        except InvalidInput:
            return
        assert found.images.dtype == np.uint8
