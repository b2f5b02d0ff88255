"""Datasets: importing MNIST's size from IDX and dSprites' from .npz, the first page of a million images, memory.

python -m benchmarks.datasets
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from benchmarks.rows import Row, median, report

N, SIDE = 60_000, 28
MANY = 1_000_000
REPEATS = 3

SPRITES, SPRITE_SIDE = 737_280, 64

IMPORT = """
import sys, time
from pathlib import Path
from acc.data.importers import look, propose, read
from acc.data.importers.mapping import changed
def peak_bytes():
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

path, out = Path(sys.argv[1]), Path(sys.argv[2])
before = peak_bytes()
began = time.perf_counter()
mapping = propose(look(path))
read(path, changed(mapping, scale=mapping.scale or "0..1"), out)
seconds = time.perf_counter() - began
print(seconds, peak_bytes() - before)
"""


def write_idx(folder: Path, *, packed: bool) -> Path:
    """Write images and labels as MNIST names them; return the file of images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, SIDE, SIDE), dtype=np.uint8)
    images[:, :, ::2] = 0  # half of it packs well, as in real digits
    labels = rng.integers(0, 10, N).astype(np.uint8)
    ending = ".gz" if packed else ""
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        data = head + array.tobytes()
        (folder / f"{name}-ubyte{ending}").write_bytes(gzip.compress(data, 1) if packed else data)
    return folder / f"images-idx3-ubyte{ending}"


def imported(path: Path, out: Path) -> tuple[float, float]:
    """Return seconds and peak memory, in bytes, of one import in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(path), str(out)], capture_output=True, text=True, check=True
    )
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def copied(path: Path, out: Path) -> float:
    """Return the seconds that a copy of a file takes, synced: the least that an import can."""
    began = time.perf_counter()
    with path.open("rb") as source, out.open("wb") as file:
        while piece := source.read(1 << 22):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began


def write_sprites(path: Path, n: int) -> None:
    """Write images of 0 and 1 and their factors as dSprites has them; the file is not packed."""
    rng = np.random.default_rng(0)
    block = (rng.random((4_096, SPRITE_SIDE, SPRITE_SIDE)) < 0.1).astype(np.uint8)
    shape = {"descr": "|u1", "fortran_order": False, "shape": (n, SPRITE_SIDE, SPRITE_SIDE)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("imgs.npy", "w", force_zip64=True) as file:
            header = io.BytesIO()
            npy_format.write_array_header_1_0(header, shape)
            file.write(header.getvalue())
            for start in range(0, n, len(block)):
                file.write(block[: n - start].tobytes())
        with archive.open("latents_values.npy", "w") as file:
            values = io.BytesIO()
            np.save(values, rng.random((n, 6)))
            file.write(values.getvalue())


def sprites_rows(folder: Path) -> list[Row]:
    """Return the rows of the import of 3 GB, beside a copy of the file in the same run."""
    path, out = folder / "dsprites.npz", folder / "sprites.safetensors"
    write_sprites(path, SPRITES)
    floor = copied(path, out)
    seconds, peak = imported(path, out)
    for each in (path, out):
        each.unlink()
    what = f"{SPRITES:,} x {SPRITE_SIDE} x {SPRITE_SIDE} from .npz"
    return [
        Row(
            f"import of {what}, against a synced copy",
            seconds / floor,
            "x",
            3.0,
            "lower",
            f"{seconds:.1f} s, looked at and read",
            f"the copy {floor:.1f} s",
        ),
        Row("memory of that import", peak / 2**20, "MiB", 256, "lower", "whatever the size of the file"),
    ]


def first_pages(home: Path) -> tuple[float, float]:
    """Return the seconds of a new process's first page of a million images, and those of hashing their file."""
    os.environ["ACC_LOG_LEVEL"] = "ERROR"  # there is no Redis to tell of it
    os.environ |= {"ACC_HOME": str(home), "DATABASE_URL": f"sqlite:///{home / 'acc.sqlite3'}"}
    os.environ["DJANGO_SETTINGS_MODULE"] = "accsite.settings.embedded"
    import django

    django.setup()
    from django.core.management import call_command

    from acc.data import AccDataset
    from acc.hashes import file_sha256
    from acc.specs import TargetSpec
    from accsite import blobs
    from accsite.apps.datasets import selectors, services

    call_command("migrate", interactive=False, verbosity=0)
    rng = np.random.default_rng(0)
    images = np.tile(rng.integers(0, 256, (10_000, 1, SIDE, SIDE), dtype=np.uint8), (MANY // 10_000, 1, 1, 1))
    labels = rng.integers(0, 10, MANY)
    path = home / "many.safetensors"
    spec = TargetSpec(name="digit", kind="class", classes=10)
    AccDataset(images, {"digit": labels}, (spec,)).save(path)
    del images
    row = services.create_dataset(actor=None, name="Many", dataset_path=path, provenance={})
    blobs._verified.clear()  # as in a process that has just begun
    began = time.perf_counter()
    page = selectors.samples(row, {}, offset=0, limit=60)
    selectors.picture(row, np.array(page["indices"]), columns=12)
    shown = time.perf_counter() - began
    began = time.perf_counter()
    file_sha256(selectors.local_path(row))
    return shown, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datasets", description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        for packed in (False, True):
            path = write_idx(folder, packed=packed)
            runs = [imported(path, folder / "out.safetensors") for _ in range(REPEATS)]
            floor = median([copied(folder / "out.safetensors", folder / "copy") for _ in range(REPEATS)])
            what = "gzipped IDX" if packed else "IDX"
            seconds = median([run[0] for run in runs])
            rows.append(
                Row(
                    f"import {N:,} x {SIDE} x {SIDE} from {what}",
                    seconds,
                    "s",
                    2.0,
                    "lower",
                    f"{N / seconds:,.0f} images/s",
                    f"a synced copy of the file {floor:.2f} s",
                )
            )
            peak = max(run[1] for run in runs) / (N * SIDE * SIDE)
            rows.append(
                Row(
                    f"peak memory of an import from {what}",
                    peak,
                    "datasets",
                    2.0,
                    "lower",
                    f"{peak * N * SIDE * SIDE / 2**20:.0f} MiB",
                )
            )
        rows += sprites_rows(folder)
        home = folder / "home"
        home.mkdir()
        shown, hashed = first_pages(home)
        rows.append(
            Row(
                f"first page of {MANY:,} images",
                shown * 1000,
                "ms",
                100,
                "lower",
                "60 images and their targets",
                f"hashing the file {hashed * 1000:.0f} ms",
            )
        )
        report(*rows)


if __name__ == "__main__":
    main()
