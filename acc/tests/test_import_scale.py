"""What pixel values mean is found, told, kept with the dataset, and asked for where it is not clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from acc.data import importers
from acc.data.importers.scale import Scale, parsed, proposed, values_of
from acc.errors import InvalidInput
from acc.tests.importing import import_file

RNG = np.random.default_rng(0)


def put(folder: Path, images: Any) -> Path:
    np.save(folder / "x.npy", images)
    return folder / "x.npy"


def spread(high: float, dtype: Any, low: float = 0, n: int = 4) -> Any:
    """Return images whose values reach from ``low`` to ``high``."""
    images = RNG.uniform(low, high, (n, 8, 8))
    images[0, 0, :2] = low, high
    return images.round().astype(dtype) if np.issubdtype(dtype, np.integer) else images.astype(dtype)


@pytest.mark.parametrize(
    ("images", "choices"),
    [
        (spread(1, np.uint8), ["0..1", "0..255"]),
        (spread(16, np.uint8), ["0..16", "0..255"]),
        (spread(16, np.float64), ["0..16", "0..255"]),
        (spread(25, np.int64), ["0..25", "0..255"]),
        (spread(255, np.uint8, 250), ["0..255", "250..255"]),
        (spread(200, np.uint16), ["0..255", "0..200", "0..1023", "0..4095", "0..16383", "0..65535"]),
        (spread(4000, np.uint16), ["0..4095", "0..4000", "0..16383", "0..65535"]),
        (spread(8000, np.uint16), ["0..8191", "0..8000", "0..16383", "0..65535"]),
        (spread(16383, np.uint16), ["0..16383", "0..65535"]),
        (spread(32767, np.uint16, 1000), ["0..32767", "0..65535"]),
        (spread(300, np.int32, 1), ["0..1023", "0..4095", "0..16383", "0..65535", "0..300"]),
        (spread(1 / 255, np.float64), [f"0..{1 / 255!r}", "0..1"]),
        (spread(30, np.float32), ["0..30", "0..255"]),
        (spread(100, np.float64), ["0..100", "0..255"]),
        (spread(200.5, np.float64), ["0..200.5", "0..255"]),
        (spread(1.5, np.float64), ["0..1.5", "0..255"]),
        (spread(0.2, np.float64, -0.01), ["-1..1", "-0.01..0.2"]),
        (spread(3.5, np.float64, -2), ["-3.5..3.5", "-2..3.5"]),
        (spread(127, np.int8, -128), ["-128..127", "-128..128"]),
    ],
)
def test_values_that_hardly_use_their_type_are_asked_for_by_name(
    tmp_path: Path, images: Any, choices: list[str]
) -> None:
    path = put(tmp_path, images)
    with pytest.raises(InvalidInput, match="Say which value is black and which is white") as refused:
        import_file(path)
    [sentence] = refused.value.fields["scale"]
    for choice in choices:
        assert f"scale={choice}" in sentence
    assert str(images.dtype) in sentence
    source = importers.look(path)
    [question] = importers.asked(source, importers.propose(source))
    assert (list(question.choices), question.proposed, question.needed) == (choices, choices[0], True)
    for choice in choices:
        data, provenance = import_file(path, scale=choice)
        assert provenance["scale"] == choice
        low, high = map(float, choice.split(".."))
        wanted = np.rint((images.astype(np.float64) - low) * 255 / (high - low))
        assert np.abs(data.images[:, 0] - wanted).max() <= (images.dtype.kind == "f")


@pytest.mark.parametrize(
    ("images", "scale"),
    [
        (spread(255, np.uint8), "0..255"),
        (spread(26, np.uint8), "0..255"),
        (spread(255, np.int64), "0..255"),
        (spread(255, np.float32), "0..255"),
        (spread(250.3, np.float32), "0..255"),
        (spread(200, np.int64).astype(np.float64), "0..255"),
        (spread(65535, np.uint16), "0..65535"),
        (spread(32768, np.uint16), "0..65535"),
        (spread(1, np.float64), "0..1"),
        (spread(1, np.float32, -1), "-1..1"),
        (np.eye(8, dtype=bool)[None], "0..1"),
        (np.zeros((2, 8, 8), np.uint8), "0..255"),
        (np.zeros((2, 8, 8)), "0..1"),
    ],
)
def test_a_scale_that_is_clear_is_told_and_kept_and_not_asked_for(
    tmp_path: Path, images: Any, scale: str
) -> None:
    path = put(tmp_path, images)
    data, provenance = import_file(path)
    assert provenance["scale"] == scale
    source = importers.look(path)
    assert importers.propose(source).scale == scale
    assert not any(each.needed for each in importers.asked(source, importers.propose(source)))
    low, high = map(float, scale.split(".."))
    wanted = np.rint((images.astype(np.float64) - low) * 255 / (high - low))
    assert np.abs(data.images[:, 0] - wanted).max() <= (images.dtype.kind == "f")


def test_black_and_white_of_zero_and_one_come_out_black_and_white(tmp_path: Path) -> None:
    images = RNG.integers(0, 2, (5, 8, 8), dtype=np.uint8)
    data, provenance = import_file(put(tmp_path, images), scale="0..1")
    np.testing.assert_array_equal(data.images[:, 0], images * 255)
    assert provenance["pixels"] == "uint8, 0 to 1, 2 different values"


def test_sixteen_bits_can_be_kept_as_floats(tmp_path: Path) -> None:
    images = spread(65535, np.uint16)
    data, _ = import_file(put(tmp_path, images), pixels="float32")
    np.testing.assert_allclose(data.images[:, 0], images / 65535, rtol=1e-6)


def test_pictures_in_files_are_asked_for_their_scale_as_arrays_are(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(RNG.integers(0, 2, (8, 8), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(InvalidInput, match="scale=0..1"):
        import_file(tmp_path)
    data, _ = import_file(tmp_path, scale="0..1")
    assert data.images.max() == 255


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ("bright", "write the black and the white value as LOW..HIGH"),
        ("1..0", "write the black and the white value as LOW..HIGH"),
        ("0..nan", "write the black and the white value as LOW..HIGH"),
        ("0..100", "which is beyond it; choose 0..255"),
        ("3..255", "which is beyond it; choose 0..255"),
    ],
)
def test_a_scale_that_is_none_or_too_narrow_is_refused(tmp_path: Path, scale: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        import_file(put(tmp_path, spread(255, np.uint8)), scale=scale)
    assert set(refused.value.fields) == {"scale"}


def test_a_dataset_of_ours_has_a_scale_already(tmp_path: Path) -> None:
    data, _ = import_file(put(tmp_path, spread(1, np.uint8)), scale="0..255")
    data.save(tmp_path / "d.safetensors")
    again, _ = import_file(tmp_path / "d.safetensors")
    assert again.content_hash == data.content_hash


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([np.uint8, np.int8, np.int16, np.uint16, np.int64, np.float32, np.float64]),
    st.integers(-300, 70_000),
    st.integers(0, 70_000),
)
def test_a_proposal_holds_all_values_and_is_asked_for_if_they_hardly_fill_it(
    dtype: Any, low: int, span: int
) -> None:
    info = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
    ends = np.clip([low, low + span], info.min, info.max) if info else np.array([low, low + span])
    images = np.resize(ends.astype(dtype), (2, 1, 8, 8))
    values = values_of(images, "x")
    found = proposed(values)
    for scale in (found.scale, *found.others):
        assert scale.low <= values.least
        assert scale.high >= values.greatest
    if not found.why and images.any():
        assert values.greatest - values.least >= 0.1 * (found.scale.high - found.scale.low)


def test_a_scale_is_written_as_it_is_read() -> None:
    for text in ("0..1", "-1..1", "0..0.1", "-0.5..1e-05", "0..65535"):
        assert str(parsed(text)) == text
    assert parsed(" 0 .. 16 ") == Scale(0, 16)


def test_the_different_values_of_many_images_are_counted(tmp_path: Path) -> None:
    images = np.zeros((300, 256, 256), np.uint8)
    images[299, 0, 0] = 200
    [found] = importers.look(put(tmp_path, images)).arrays
    assert (found.least, found.greatest, found.distinct, found.sampled) == (0, 200, 2, False)


def test_values_beyond_what_was_looked_at_are_refused_and_never_wrapped(tmp_path: Path) -> None:
    images = np.zeros((70_000, 32, 32), np.uint8)  # more than is looked at
    images[0, 0, 0] = 1
    images[-1, 0, 0] = 9
    np.savez_compressed(tmp_path / "x.npz", images=images)
    [found] = importers.look(tmp_path / "x.npz").arrays
    assert (found.greatest, found.sampled) == (1, True)
    with pytest.raises(InvalidInput, match="has pixel values from 0 to 9, which is beyond it") as refused:
        import_file(tmp_path / "x.npz", scale="0..1")
    assert set(refused.value.fields) == {"scale"}
