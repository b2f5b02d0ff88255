"""What columns and names mean is never taken for something else in silence: splits, numbers, texts, sides."""

from __future__ import annotations

import io
import struct
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from acc.data import importers
from acc.data.importers import reading
from acc.data.importers.found import BLOCK_BYTES
from acc.data.importers.mapping import ImportMapping, changed
from acc.data.importers.opening import Limits, opened
from acc.errors import InvalidInput
from acc.tests.importing import import_file

IMAGES_40 = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)


@pytest.mark.parametrize(
    ("words", "parts"), [(("train", "valid"), (0, 1)), (("Training", "testing"), (0, 2))]
)
def test_a_table_tells_a_split_in_any_of_its_words(
    tmp_path: Path, words: tuple[str, str], parts: tuple[int, int]
) -> None:
    np.save(tmp_path / "images.npy", IMAGES_40)
    table = tmp_path / "table.csv"
    table.write_text("digit,split\n" + "".join(f"{i % 3},{words[i % 2]}\n" for i in range(40)))
    data, _ = import_file(tmp_path / "images.npy", labels=table)
    assert data.split is not None
    assert data.split.tolist() == [*parts] * 20


def test_a_column_that_is_no_split_is_not_dropped_in_silence(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES_40)
    table = tmp_path / "table.csv"
    table.write_text("digit,fold\n" + "".join(f"{i % 3},{i % 4}\n" for i in range(40)))
    with pytest.raises(InvalidInput) as refused:
        import_file(tmp_path / "images.npy", labels=table, changes={"split": "fold"})
    assert "'fold' says '0', '1', '2', '3', which is no split" in refused.value.fields["split"][0]


def test_words_that_python_takes_for_numbers_are_classes(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES_40)
    table = tmp_path / "table.csv"
    cells = ["1_12", "11_2", "2_2", "112"]  # to Python, three of them are 112
    table.write_text("cell,units\n" + "".join(f"{cells[i % 3]},{cells[i % 4]}\n" for i in range(40)))
    data, _ = import_file(tmp_path / "images.npy", labels=table)
    assert data.target_specs[0].labels == ("1_12", "2_2", "11_2")
    assert data.unit_count == 4


def test_a_text_that_no_database_keeps_is_not_a_class(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES_40)
    table = tmp_path / "table.csv"
    table.write_text("digit,word\n" + "".join(f"{i % 3},a\0{i % 2}\n" for i in range(40)))
    with pytest.raises(InvalidInput, match="which is no text"):
        import_file(tmp_path / "images.npy", labels=table)
    data, _ = import_file(tmp_path / "images.npy", labels=table, changes={"left_out": ["word"]})
    assert list(data.targets) == ["digit"]


def test_a_preview_shows_a_part_that_lies_far_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SAMPLE_BYTES", 1 << 12)
    path = tmp_path / "parts.npz"
    np.savez_compressed(path, x_train=np.tile(IMAGES_40, (5, 1, 1)), x_test=IMAGES_40)
    mapping = changed(importers.propose(importers.look(path)), parts=["test"])
    np.testing.assert_array_equal(importers.preview(path, mapping, 40).images[:, 0], IMAGES_40)


@pytest.mark.parametrize(
    ("name", "turned"), [("emnist-letters", True), ("my_emnist", True), ("noisemnist", False)]
)
def test_only_emnist_lies_on_its_side(tmp_path: Path, name: str, turned: bool) -> None:
    path = tmp_path / f"{name}-images-idx3-ubyte"
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, *IMAGES_40.shape) + IMAGES_40.tobytes())
    assert importers.look(path).transposed is turned


def test_a_column_of_texts_that_are_no_classes_is_left_out_and_the_rest_taken(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, images=IMAGES_40, digit=np.arange(40) % 3, note=np.array(["", "a"] * 20))
    with pytest.raises(InvalidInput, match="has nothing in column 'note'"):
        import_file(path)
    data, _ = import_file(path, changes={"left_out": ["note"]})
    assert list(data.targets) == ["digit"]


def test_the_period_of_an_angle_is_a_number() -> None:
    target = {"source": "a", "name": "a", "kind": "circular", "period": float("inf")}
    with pytest.raises(InvalidInput, match="inf is refused"):
        ImportMapping.parse({"images": "images", "targets": [target]})


def test_captions_of_a_table_are_passed_over_and_take_no_memory(tmp_path: Path) -> None:
    def picture() -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(IMAGES_40[0]).save(buffer, "PNG")
        return buffer.getvalue()

    n = 1_500
    captions = ["x" * 100_000, *(f"caption {i}" for i in range(n - 1))]
    columns = {"image": [{"bytes": picture(), "path": None}] * n, "label": [i % 2 for i in range(n)]}
    pq.write_table(pa.table({**columns, "caption": captions}), tmp_path / "train.parquet")
    tracemalloc.start()
    try:
        source = importers.look(tmp_path / "train.parquet")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each.name for each in source.passed_over] == ["caption"]
    assert peak < 100 * 2**20  # as texts of one width they were 600 MB


def test_the_chunks_of_an_hdf5_file_are_handed_on_in_small_blocks(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    images = np.tile(IMAGES_40, (500, 2, 2))
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, chunks=(20_000, 8, 8))
    with opened(path, None, Limits()) as found:
        blocks = list(found.arrays["images"].blocks())
    assert max(block.nbytes for block in blocks) <= BLOCK_BYTES
    np.testing.assert_array_equal(np.concatenate(blocks), images)


def test_columns_with_the_word_of_a_part_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    scores = np.linspace(0, 1, 40)
    np.savez(path, imgs=IMAGES_40, test=np.arange(40) % 2, train_loss=scores, test_loss=scores[::-1])
    data, _ = import_file(path)
    assert sorted(data.targets) == ["test", "test_loss", "train_loss"]
    np.testing.assert_allclose(data.targets["train_loss"], scores, rtol=1e-6)


def test_a_column_that_is_called_a_whole_question_gets_a_shorter_name(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES_40)
    table = tmp_path / "table.csv"
    asked = [f"{'How much do you agree with this: ' * 4}{end}" for end in ("round", "red")]
    table.write_text(",".join(asked) + "\n" + "".join(f"{i % 3},{i % 2}\n" for i in range(40)))
    data, provenance = import_file(tmp_path / "images.npy", labels=table)
    assert [(len(name), name.split()[-1]) for name in data.targets] == [(80, "round"), (80, "red")]
    assert [target["source"] for target in provenance["mapping"]["targets"]] == asked


def test_labels_in_bytes_that_are_not_utf_8_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, images=IMAGES_40, label=np.array([b"caf\xe9", b"caf\xe8"] * 20))
    data, _ = import_file(path)
    assert data.target_specs[0].labels == ("caf\\xe8", "caf\\xe9")


def test_two_factors_of_a_grid_are_not_called_alike() -> None:
    grid = [{"name": "x", "size": 8}, {"name": "x", "size": 5}]
    with pytest.raises(InvalidInput) as refused:
        ImportMapping.parse({"images": "images", "grid": grid})
    assert "two factors are called 'x'" in refused.value.fields["grid"][0]


@pytest.mark.parametrize("shape", [(0, 16, 16), (10, 0, 16), (10, 16, 0)])
def test_images_without_a_pixel_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "images.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InvalidInput, match="holds no image"):
        importers.look(tmp_path / "images.npy")


def test_a_scale_that_no_number_spans_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES_40)
    with pytest.raises(InvalidInput, match="is refused; write the black and the white value"):
        import_file(tmp_path / "images.npy", scale="-1e308..1e308")


def test_two_classes_of_one_label_are_refused_and_say_which(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, images=IMAGES_40, kind=np.arange(40) % 3)
    target = {"source": "kind", "name": "kind", "kind": "class", "labels": ["cat", "dog", "cat"]}
    with pytest.raises(InvalidInput) as refused:
        import_file(path, changes={"targets": [target]})
    assert "'cat' names two classes of 'kind'" in refused.value.fields["targets.0.labels"][0]
    close = np.where(np.arange(40) % 2, 0.12345678, 0.12345679)  # which read alike in six digits
    np.savez(path, images=IMAGES_40, angle=close)
    target = {"source": "angle", "name": "angle", "kind": "class"}
    data, _ = import_file(path, changes={"targets": [target]})
    assert data.target_specs[0].labels == ("0.12345678", "0.12345679")
