"""The layouts of the field are known by name: their columns, kinds, splits and order, whichever file they came in."""

from __future__ import annotations

import importlib
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from PIL import Image

from acc.data import importers
from acc.data.importers import assembling, hdf
from acc.data.importers.found import Opened, of_array
from acc.data.importers.mapping import changed
from acc.errors import InvalidInput
from acc.tests.importing import asked_of, idx, import_file, norb, pixels, png, tarred

RNG = np.random.default_rng(0)
SPRITES = (1, 3, 2, 4, 2, 2)


def grid(*sizes: int) -> Any:
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, len(sizes))


def sprites() -> dict[str, Any]:
    classes = grid(*SPRITES)
    images = np.zeros((len(classes), 64, 64), np.uint8)
    for place, (_, shape, scale, _, x, y) in enumerate(classes):
        images[place, 8 + 8 * y : 20 + 8 * y + scale, 8 + 8 * x : 20 + 8 * x + shape] = 1
    values = classes.astype(np.float64) / 7
    return {"imgs": images, "latents_classes": classes, "latents_values": values}


def kinds(path: Path, **options: Any) -> dict[str, str]:
    mapping = importers.propose(importers.look(path, **options))
    return {target.name: target.kind for target in mapping.targets}


@pytest.mark.parametrize("metadata", [True, False])
def test_dsprites_is_read_and_its_pickled_metadata_passed_over(tmp_path: Path, metadata: bool) -> None:
    arrays = sprites()
    if metadata:
        arrays["metadata"] = np.array({b"latents_names": (b"color",)}, dtype=object)
    np.savez_compressed(tmp_path / "any name.npz", **arrays)
    source = importers.look(tmp_path / "any name.npz")
    assert source.layout == "dSprites"
    assert [each.name for each in source.passed_over] == ["metadata"] * metadata
    assert kinds(tmp_path / "any name.npz") == {
        "shape": "class",
        "scale": "real",
        "orientation": "real",
        "posX": "real",
        "posY": "real",
    }
    assert "scale=0..1 (proposed)" in asked_of(tmp_path / "any name.npz")["scale"]
    data, provenance = import_file(tmp_path / "any name.npz", scale="0..1")
    np.testing.assert_array_equal(data.images[:, 0], arrays["imgs"] * 255)
    assert data.target_specs[0].labels == ("square", "ellipse", "heart")
    np.testing.assert_array_equal(data.targets["shape"], arrays["latents_classes"][:, 1])
    np.testing.assert_allclose(data.targets["posY"], arrays["latents_values"][:, 5], rtol=1e-6)
    assert provenance["layout"] == "dSprites"


def test_a_grid_without_labels_has_its_factors_where_its_size_is_known_or_told(tmp_path: Path) -> None:
    name = "dsprites_ndarray_co1sh3sc2or4x2y2_64x64.npz"
    np.savez_compressed(tmp_path / name, imgs=sprites()["imgs"])
    data, provenance = import_file(tmp_path / name, scale="0..1")
    np.testing.assert_array_equal(data.targets["shape"], grid(*SPRITES)[:, 1])
    assert provenance["mapping"]["grid"][1] == {"name": "shape", "size": 3}
    np.savez_compressed(tmp_path / "mpi3d_toy.npz", images=pixels(24, 64, 64, 3))
    source = importers.look(tmp_path / "mpi3d_toy.npz")
    assert source.layout == "MPI3D"
    [note] = source.notes
    assert "24 images are none of its released sizes (1,036,800 or 460,800)" in note
    factors = [{"name": "colour", "size": 4}, {"name": "angle", "size": 6}]
    targets = [{"source": "grid", "index": 1, "name": "angle", "kind": "circular", "period": 6}]
    changes = {"grid": factors, "targets": targets}
    data, _ = import_file(tmp_path / "mpi3d_toy.npz", changes=changes)
    np.testing.assert_allclose(
        data.targets["angle_sin"], np.sin(np.tile(np.arange(6), 4) * np.pi / 3), atol=1e-6
    )
    with pytest.raises(
        InvalidInput, match=r"5 x 6 is a grid of 30, and 'mpi3d_toy.npz' has 24 images"
    ) as refused:
        import_file(
            tmp_path / "mpi3d_toy.npz",
            changes=changes | {"grid": [{"name": "colour", "size": 5}, {"name": "angle", "size": 6}]},
        )
    assert set(refused.value.fields) == {"grid"}


def test_the_released_grids_are_known_by_their_number_of_images() -> None:
    for n, layout, first in (
        (737_280, "dSprites", "shape"),
        (1_036_800, "MPI3D", "object_color"),
        (460_800, "MPI3D", "object_color"),
        (480_000, "3D Shapes", "floor_hue"),
    ):
        channels = () if layout == "dSprites" else (3,)
        images = np.broadcast_to(np.uint8(0), (n, 64, 64, *channels))
        found = Opened("x.npy", "npy")
        assembling.assemble({"images": of_array("images", images, "x.npy")}, found, [])
        assert found.layout == layout
        assert first in [column.name for column in found.columns]
        assert len(found.columns[0].values) == n


def test_3d_shapes_is_read_from_hdf5_and_nothing_outside_of_the_file_is(tmp_path: Path) -> None:
    images, labels = pixels(40, 64, 64, 3), RNG.random((40, 6))
    labels[:, 4] = np.arange(40) % 4
    np.save(tmp_path / "secret.npy", labels)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["images"] = images
    with h5py.File(tmp_path / "any.h5", "w") as file:
        file.create_dataset("images", data=images, chunks=(7, 64, 64, 3), compression="gzip")
        file["labels"] = labels
        file["elsewhere"] = h5py.ExternalLink("other.h5", "images")
        file.create_dataset("raw", (40,), "u1", external=[(str(tmp_path / "secret.npy"), 0, 40)])
    data, provenance = import_file(tmp_path / "any.h5")
    assert provenance["layout"] == "3D Shapes"
    np.testing.assert_array_equal(data.images, images.transpose(0, 3, 1, 2))
    assert data.spec("x").target("shape").labels == ("cube", "cylinder", "sphere", "capsule")  # type: ignore[union-attr]
    assert provenance["mapping"]["left_out"] == ["raw"]


def test_a_library_that_is_not_installed_is_a_sentence_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    (tmp_path / "x.h5").write_bytes(hdf.MAGIC + bytes(100))
    with pytest.raises(InvalidInput, match=r'read by h5py; install it by: pip install "acc\[data\]"'):
        importers.look(tmp_path / "x.h5")


def test_cars3d_is_read_car_by_car(tmp_path: Path) -> None:
    cars = [pixels(16, 16, 3, 24, 4) for _ in range(3)]
    for number, car in enumerate(cars, start=1):
        scipy.io.savemat(tmp_path / f"car_{number:03d}_mesh.mat", {"im": car}, do_compression=True)
    data, provenance = import_file(tmp_path)
    assert (len(data), provenance["layout"]) == (288, "Cars3D")
    place = 96 * 1 + 4 * 5 + 2  # the second car, the sixth azimuth, the third elevation
    np.testing.assert_array_equal(data.images[place], cars[1][:, :, :, 5, 2].transpose(2, 0, 1))
    assert [data.targets[name][place] for name in ("car", "azimuth", "elevation")] == [1, 75, 2]
    one, _ = import_file(tmp_path / "car_002_mesh.mat")
    np.testing.assert_array_equal(one.images, data.images[96:192])


def test_smallnorb_is_put_together_of_its_files(tmp_path: Path) -> None:
    images = {part: pixels(10, 2, 32, 32) for part in ("training", "testing")}
    for part, array in images.items():
        base = f"smallnorb-5x01235x9x18x6x2x96x96-{part}"
        norb(tmp_path / f"{base}-dat.mat", array, 0x1E3D4C55)
        norb(tmp_path / f"{base}-cat.mat", (np.arange(10) % 5).astype("<i4"), 0x1E3D4C54)
        facts = np.stack([np.arange(10)] * 3 + [np.arange(10) % 6], axis=1).astype("<i4")
        norb(tmp_path / f"{base}-info.mat", facts, 0x1E3D4C54)
    data, provenance = import_file(tmp_path)
    assert provenance["layout"] == "smallNORB"
    np.testing.assert_array_equal(data.images[:10, 0], images["training"][:, 0])
    assert data.split is not None
    assert np.bincount(data.split).tolist() == [10, 0, 10]
    assert data.targets["azimuth"][3] == 30
    assert data.target_specs[0].labels == ("animal", "human", "airplane", "truck", "car")
    alone, _ = import_file(
        tmp_path / "smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat", changes={"images": "right"}
    )
    np.testing.assert_array_equal(alone.images[:, 0], images["testing"][:, 1])
    with pytest.raises(InvalidInput, match="they are in the file that ends in -dat.mat"):
        importers.look(tmp_path / "smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat")


def test_the_binary_version_of_cifar_is_read_and_the_pickled_one_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    images, labels = pixels(20, 3, 32, 32), (np.arange(20) % 10).astype(np.uint8)
    rows = np.concatenate([labels[:, None], images.reshape(20, -1)], axis=1)
    for name, part in (("data_batch_1", rows[:8]), ("data_batch_2", rows[8:16]), ("test_batch", rows[16:])):
        (folder / f"{name}.bin").write_bytes(part.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n")
    data, provenance = import_file(folder)
    np.testing.assert_array_equal(data.images, images)
    assert (provenance["layout"], data.target_specs[0].labels) == ("CIFAR-10", tuple("abcdefghij"))
    assert data.split is not None
    assert data.split.tolist() == [0] * 16 + [2] * 4
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname="cifar-10-batches-bin")
    packed, _ = import_file(tmp_path / "cifar-10-binary.tar.gz")
    assert packed.content_hash == data.content_hash
    hundred = np.concatenate([labels[:, None], labels[:, None], images.reshape(20, -1)], axis=1)
    (tmp_path / "train.bin").write_bytes(hundred.tobytes())
    assert [spec.name for spec in import_file(tmp_path / "train.bin")[0].target_specs] == ["coarse"]
    python = tmp_path / "cifar-10-batches-py"
    python.mkdir()
    (python / "data_batch_1").write_bytes(pickle.dumps({b"data": images}, protocol=2))
    for path in (python, python / "data_batch_1"):
        with pytest.raises(InvalidInput, match="take the binary version instead: cifar-10-binary.tar.gz"):
            importers.look(path)


def test_mnist_like_folders_have_their_parts_as_a_split(tmp_path: Path) -> None:
    images, labels = pixels(30, 28, 28), (np.arange(30) % 10).astype(np.uint8)
    for part, rows in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        idx(tmp_path / f"fashion/{part}-images-idx3-ubyte.gz", images[rows])
        idx(tmp_path / f"fashion/{part}-labels-idx1-ubyte.gz", labels[rows])
    data, provenance = import_file(tmp_path / "fashion")
    assert provenance["layout"] == "Fashion-MNIST"
    assert data.target_specs[0].labels is not None
    assert data.target_specs[0].labels[9] == "Ankle boot"
    np.testing.assert_array_equal(data.images[:, 0], images)
    assert data.split is not None
    assert data.split.tolist() == [0] * 20 + [2] * 10
    tested, _ = import_file(tmp_path / "fashion", part="test")
    np.testing.assert_array_equal(tested.images[:, 0], images[20:])


def test_emnist_is_set_upright_and_qmnist_has_its_writers_as_units(tmp_path: Path) -> None:
    images = pixels(20, 28, 28)
    path = idx(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz", images)
    idx(tmp_path / "emnist-letters-train-labels-idx1-ubyte.gz", (1 + np.arange(20) % 3).astype(np.uint8))
    data, provenance = import_file(path)
    np.testing.assert_array_equal(data.images[:, 0], images.swapaxes(1, 2))
    assert provenance["mapping"]["steps"] == {"transpose": True}
    path = idx(tmp_path / "qmnist-train-images-idx3-ubyte.gz", images)
    facts = np.zeros((20, 8), np.int32)
    facts[:, 0], facts[:, 2], facts[:, 5] = np.arange(20) % 10, np.arange(20) // 4, np.arange(20)
    idx(tmp_path / "qmnist-train-labels-idx2-int.gz", facts)
    data, provenance = import_file(path)
    assert provenance["layout"] == "QMNIST"
    assert data.units is not None
    assert data.units.tolist() == (np.arange(20) // 4).tolist()
    assert list(data.targets) == ["label"]


def test_kmnist_and_arrays_of_train_and_test_are_joined(tmp_path: Path) -> None:
    images, labels = pixels(30, 28, 28), (np.arange(30) % 10).astype(np.uint8)
    kana = tmp_path / "kmnist"
    kana.mkdir()
    for part, rows in (("train", slice(0, 20)), ("test", slice(20, 30))):
        np.savez_compressed(kana / f"kmnist-{part}-imgs.npz", images[rows])
        np.savez_compressed(kana / f"kmnist-{part}-labels.npz", labels[rows])
    named: dict[str, Any] = {f"{axis}_{part}": array[rows] for axis, array in (("x", images), ("y", labels))
             for part, rows in (("train", slice(0, 20)), ("test", slice(20, 30)))}  # fmt: skip
    np.savez(tmp_path / "mnist.npz", **named)
    med: dict[str, Any] = {}
    for part, rows in (("train", slice(0, 20)), ("val", slice(20, 24)), ("test", slice(24, 30))):
        med |= {f"{part}_images": images[rows], f"{part}_labels": labels[rows, None]}
    np.savez(tmp_path / "pathmnist.npz", **med)
    for path, counts in (
        (kana, [20, 0, 10]),
        (tmp_path / "mnist.npz", [20, 0, 10]),
        (tmp_path / "pathmnist.npz", [20, 4, 6]),
    ):
        data, _ = import_file(path)
        np.testing.assert_array_equal(data.images[:, 0], images)
        np.testing.assert_array_equal(next(iter(data.targets.values())), labels)
        assert data.split is not None
        assert np.bincount(data.split, minlength=3).tolist() == counts
    alone, _ = import_file(kana / "kmnist-test-imgs.npz", labels=kana / "kmnist-test-labels.npz")
    assert alone.target_specs[0].labels == tuple("おきすつなはまやれを")


def test_a_folder_of_arrays_is_read_as_one_file_of_them(tmp_path: Path) -> None:
    images, labels = pixels(12, 16, 16), np.arange(12) % 4
    for name, array in (("images", images), ("labels", labels)):
        np.save(tmp_path / f"{name}.npy", array)
    data, _ = import_file(tmp_path)
    np.testing.assert_array_equal(data.images[:, 0], images)
    assert data.targets["label"].tolist() == labels.tolist()
    pictures = tmp_path / "one each"
    pictures.mkdir()
    for number, image in enumerate(images):
        np.save(pictures / f"{number}.npy", image)
    each, _ = import_file(pictures)
    np.testing.assert_array_equal(each.images[:, 0], images)


def test_one_part_alone_is_no_split(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "train" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / "ab"[number % 2] / f"{number}.png").write_bytes(png(8, 8))
    data, _ = import_file(tmp_path)
    assert data.split is None
    assert data.targets["label"].tolist() == [0, 0, 1, 1]


def test_a_mapping_that_does_not_fit_names_its_field(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "x.npz", images=pixels(12, 16, 16), kind=np.arange(12) % 3, name=np.array(["a", "b"] * 6)
    )
    target = {"source": "kind", "name": "kind", "kind": "class"}
    for changes, field, words in (
        ({"images": "imgs"}, "images", "is no array of images in 'x.npz'; there are: 'images'"),
        ({"channels": "last"}, "channels", "choose none"),
        ({"targets": [target | {"source": "sort"}]}, "targets.0.source", "its columns are: 'kind', 'name'"),
        ({"targets": [target | {"labels": ["a", "b"]}]}, "targets.0.labels", "2 labels name 3 classes"),
        ({"targets": [target | {"source": "name", "kind": "real"}]}, "targets.0.kind", "choose class"),
        ({"targets": [target | {"kind": "circular"}]}, "targets.0.period", "say the period"),
        ({"targets": [target, target]}, "targets.1.name", "two targets called 'kind'"),
        ({"units": "name2"}, "units", "is no column of 'x.npz'"),
        ({"split": "nowhere"}, "split", "is no column of 'x.npz'"),
        ({"steps": {"crop": [20, 20]}}, "steps.crop", "which is 16 x 16 pixels high and wide"),
        ({"steps": {"resize": [4, 4]}}, "steps.resize", "each side may be 8 to 1024 pixels"),
        ({"grid": [{"name": "a", "size": 5}]}, "grid", "has 12 images"),
    ):
        with pytest.raises(InvalidInput, match=words) as refused:
            import_file(tmp_path / "x.npz", changes=changes)
        assert set(refused.value.fields) == {field}


def test_steps_are_done_to_each_image_and_kept_with_the_dataset(tmp_path: Path) -> None:
    images = pixels(5, 20, 24, 3)
    np.save(tmp_path / "x.npy", images)
    steps = {"transpose": True, "grey": True, "crop": [20, 16], "resize": [10, 8]}
    data, provenance = import_file(tmp_path / "x.npy", changes={"steps": steps})
    assert data.images.shape == (5, 1, 10, 8)
    assert provenance["mapping"]["steps"] == steps
    grey = np.rint(images.transpose(0, 2, 1, 3) @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    cut = Image.fromarray(grey[2, 2:22, 2:18])
    wanted = np.asarray(cut.resize((8, 10), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(data.images[2, 0].astype(int) - wanted).max() <= 1
    told = provenance["mapping"]
    again, _ = import_file(tmp_path / "x.npy", scale=told.pop("scale"), changes=told)
    assert again.content_hash == data.content_hash


def test_a_preview_shows_what_will_be_stored(tmp_path: Path) -> None:
    images, labels = pixels(30, 12, 12), np.arange(30) % 3
    np.savez_compressed(tmp_path / "x.npz", images=images, label=labels, angle=np.linspace(0, 350, 30))
    targets = [
        {"source": "label", "name": "label", "kind": "class", "labels": ["a", "b", "c"]},
        {"source": "angle", "name": "angle", "kind": "circular", "period": 360},
    ]
    mapping = changed(importers.propose(importers.look(tmp_path / "x.npz")), targets=targets)
    shown = importers.preview(tmp_path / "x.npz", mapping, 4)
    np.testing.assert_array_equal(shown.images[[0, -1], 0], images[[0, -1]])
    assert (len(shown.images), shown.captions[1][:7]) == (4, "label a")
    assert [(each.kind, sum(each.counts)) for each in shown.histograms] == [("class", 30), ("circular", 30)]
    assert shown.histograms[0].labels == ("a", "b", "c")


def test_the_measures_of_morpho_mnist_lie_beside_its_images(tmp_path: Path) -> None:
    path = idx(tmp_path / "train-images-idx3-ubyte.gz", pixels(12, 28, 28))
    idx(tmp_path / "train-labels-idx1-ubyte.gz", (np.arange(12) % 10).astype(np.uint8))
    rows = "".join(f"{n};{50 + n},5;{n / 7:.3f}\n".replace(".", ",") for n in range(12))
    (tmp_path / "train-morpho.csv").write_bytes(("index;area;slant\n" + rows).encode("utf-8-sig"))
    for source in (path, tmp_path):
        data, provenance = import_file(source)
        assert provenance["layout"] == "Morpho-MNIST"
        assert {spec.name: spec.kind for spec in data.target_specs} == {
            "label": "class",
            "area": "real",
            "slant": "real",
        }
        assert data.targets["area"][3] == 53.5


def test_celeba_has_landmarks_as_real_targets_and_persons_as_units(tmp_path: Path) -> None:
    names = [f"{n:06d}.png" for n in range(1, 7)]
    (tmp_path / "img_align_celeba").mkdir()
    for name in names:
        (tmp_path / "img_align_celeba" / name).write_bytes(png(12, 10, 3))
    for file, head, row in (
        ("list_attr_celeba.txt", "6\nBald Smiling\n", lambda n: f"{names[n]}  1 -1"),
        ("list_landmarks_align_celeba.txt", "6\nnose_x nose_y\n", lambda n: f"{names[n]} {n} {2 * n}"),
        ("identity_CelebA.txt", "", lambda n: f"{names[n]} {n // 2}"),
    ):
        (tmp_path / file).write_text(head + "\n".join(map(row, range(6))) + "\n")
    data, _ = import_file(tmp_path)
    assert data.units is not None
    assert data.units.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.targets["nose_y"].tolist() == [0, 2, 4, 6, 8, 10]
    assert "Bald" not in data.targets  # the same in each row


def test_a_hubs_parquet_files_have_pictures_and_the_names_of_their_classes(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    told = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    made: list[int] = []
    for name, n in (("train-00000-of-00002", 100), ("train-00001-of-00002", 30), ("test-00000-of-00001", 20)):
        labels = [int(RNG.integers(2)) for _ in range(n)]
        pictures = [{"bytes": png(9, 8), "path": f"{k}.png"} for k in range(n)]
        table = pa.table({"image": pictures, "label": labels, "url": [["a"]] * n}).replace_schema_metadata(
            told
        )
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=40)
        made += labels
    data, provenance = import_file(tmp_path)
    assert data.images.shape == (150, 1, 9, 8)
    assert (data.targets["label"].tolist(), data.target_specs[0].labels) == (made, ("cat", "dog"))
    assert data.split is not None
    assert np.bincount(data.split).tolist() == [130, 0, 20]
    assert provenance["mapping"]["left_out"] == ["url"]
    one, _ = import_file(tmp_path / "test-00000-of-00001.parquet")
    np.testing.assert_array_equal(one.images, data.images[130:])


def test_webdataset_tars_have_a_picture_and_its_files_for_each_sample(tmp_path: Path) -> None:
    for shard in range(2):
        files: dict[str, bytes] = {}
        for n in range(5 * shard, 5 * shard + 5):
            files |= {
                f"{n:05d}.png": png(8, 8, 3),
                f"{n:05d}.cls": str(n % 3).encode(),
                f"{n:05d}.json": json.dumps({"label": n % 3, "slant": n / 7, "tags": []}).encode(),
            }
        tarred(tmp_path / f"shard-{shard:06d}.tar", files)
    data, provenance = import_file(tmp_path)
    assert (provenance["layout"], len(data)) == ("WebDataset", 10)
    assert data.targets["label"].tolist() == [n % 3 for n in range(10)]
    np.testing.assert_allclose(data.targets["slant"], np.arange(10) / 7, rtol=1e-6)
    assert set(provenance["mapping"]["left_out"]) == {"json.label", "json.tags"}


def test_archives_of_folders_are_read_as_the_folders_are(tmp_path: Path) -> None:
    files = {
        f"data/{part}/{kind}/{n}.png": png(8, 8, 3)
        for part in ("train", "val")
        for kind in "ab"
        for n in range(2)
    }
    for name, mode in (("a.tar", "w"), ("b.tar.gz", "w:gz"), ("c.tar.xz", "w:xz"), ("d.tgz", "w:gz")):
        data, _ = import_file(tarred(tmp_path / name, files, mode))
        assert data.targets["label"].tolist() == [0, 0, 1, 1] * 2
        assert data.split is not None
        assert data.split.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png"])
def test_nothing_leads_out_of_a_tar(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="leads out of the archive"):
        importers.look(tarred(tmp_path / "x.tar", {name: png(8, 8)}))


def test_links_and_bombs_in_a_tar_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InvalidInput, match=r"holds the link 'a\.png'"):
        importers.look(tmp_path / "x.tar")
    bomb = tarred(tmp_path / "bomb.tar.gz", {"a.png": bytes(20_000_000)}, "w:gz")
    assert bomb.stat().st_size < 100_000
    with pytest.raises(InvalidInput, match="bytes unpacked; at most"):
        importers.look(bomb, max_bytes=1_000_000)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bomb.tar.gz", "x.tar"]
