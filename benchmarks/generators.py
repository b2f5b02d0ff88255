"""Images per second of each generator beside the same images made one at a time with scipy and PIL; peak memory.

Both draw and measure, for the labels are part of a dataset. The one-at-a-time side is given the paths and corners that
are to be drawn, so that it is charged for drawing and measuring alone. One thread each, in turns, medians compared.
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from acc.data import glyphs, scans, shapes
from acc.data.dataset import AccDataset
from acc.data.generator import DatasetGenerator
from acc.plugins.registry import PluginRegistry
from benchmarks.rows import Row, median, report

SIZE, FINER = 32, 8  # pixels; PIL's edges are smooth only where a larger picture is made smaller
ROUNDS = 3
ROOT = Path(__file__).resolve().parents[1]


def thickness_of(image: np.ndarray) -> float:
    """Measure one image (H, W) as ``acc.api.measure.thickness`` defines it, by scipy."""
    large = ndimage.zoom(
        np.pad(image, 1).astype(np.float32), 4, order=1, grid_mode=True, mode="grid-constant"
    )
    ink = np.pad(large >= 0.5 * max(large.max(), 1), 1)
    distance = ndimage.distance_transform_edt(ink)
    ridge = ink & (distance >= ndimage.maximum_filter(distance, size=3) - 1e-6) & (distance > 1)
    return 2 * float(distance[ridge].mean()) / 4


def slant_of(image: np.ndarray) -> float:
    """Measure one image (H, W) as ``acc.api.measure.slant`` defines it."""
    mass = image.astype(np.float64)
    cy, cx = ndimage.center_of_mass(mass)
    y, x = np.mgrid[: mass.shape[0], : mass.shape[1]]
    return float(np.arctan2(-(mass * (x - cx) * (y - cy)).sum(), (mass * (y - cy) ** 2).sum()))


def stroke_image(path: np.ndarray, width: float) -> np.ndarray:
    """Draw segments (K, 4) in pixels with round ends and joints, by PIL."""
    picture = Image.new("L", (SIZE * FINER, SIZE * FINER))
    pen, radius = ImageDraw.Draw(picture), width * FINER / 2
    for x0, y0, x1, y1 in ((path + 0.5) * FINER).tolist():
        pen.line((x0, y0, x1, y1), fill=255, width=round(2 * radius))
        for x, y in ((x0, y0), (x1, y1)):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX))


def strokes_one_by_one(n: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    own = [glyphs.shapes(rng, 1) for _ in range(n)]
    width, lean = rng.uniform(3, 7, n), rng.uniform(-0.3, 0.3, n)
    paths = [
        glyphs._place(
            glyphs._KINDS[k % len(glyphs.KINDS)], own[k], thickness=width[[k]], slant=lean[[k]],
            size=SIZE, softness=2.0,
        )[0]
        for k in range(n)
    ]  # fmt: skip

    def run() -> list[tuple[np.ndarray, float, float]]:
        images = [stroke_image(path, thick) for path, thick in zip(paths, width, strict=True)]
        return [(image, thickness_of(image), slant_of(image)) for image in images]

    return run


def written_one_by_one(n: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    width, lean = rng.uniform(4, 6.5, n), rng.uniform(-0.3, 0.3, n)
    pictures = scans.scans()[0][:n]

    def again(scan: np.ndarray, wanted: float, slant: float) -> tuple[np.ndarray, float, float]:
        level, shear, low, high = 0.5, 0.0, 0.1, 0.9
        large = ndimage.zoom(scan, SIZE / 8, order=3, grid_mode=True, mode="grid-constant")
        middle = (SIZE - 1) / 2
        for _ in range(5):  # as many drawings as the generator makes of each
            moved = ndimage.affine_transform(large, [[1, 0], [shear, 1]], [0, -shear * middle], order=1)
            image = (((moved - level) / 0.3 + 0.5).clip(0, 1) * 255).astype(np.uint8)
            thick, lean = thickness_of(image), slant_of(image)
            low, high = (level, high) if thick > wanted else (low, level)
            level, shear = (low + high) / 2, shear + np.tan(slant) - np.tan(lean)
        return image, thick, lean

    return lambda: [again(*each) for each in zip(pictures, width, lean, strict=True)]


def shapes_one_by_one(n: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    corners = [shapes.outline(k % 5) * rng.uniform(3.5, 6.5) + rng.uniform(12, 19, 2) for k in range(n)]

    def draw(outline: np.ndarray) -> np.ndarray:
        picture = Image.new("L", (SIZE * FINER, SIZE * FINER))
        ImageDraw.Draw(picture).polygon([tuple(p) for p in ((outline + 0.5) * FINER).tolist()], fill=255)
        return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX))

    return lambda: [draw(outline) for outline in corners]


def scans_one_by_one(n: int) -> Callable[[], object]:
    pictures = scans.scans()[0][:n]

    def enlarge(scan: np.ndarray) -> tuple[np.ndarray, float, float]:
        large = ndimage.zoom(scan, SIZE / 8, order=3, grid_mode=True, mode="grid-constant")
        image = (large.clip(0, 1) * 255).round().astype(np.uint8)
        return image, thickness_of(image), slant_of(image)

    return lambda: [enlarge(scan) for scan in pictures]


def mnist_one_by_one(n: int) -> Callable[[], object]:
    images = mnist_like(n)
    return lambda: [(image, thickness_of(image), slant_of(image)) for image in images]


def mnist_like(n: int) -> np.ndarray:
    """Return images (n, 28, 28) with the ink of MNIST: 20 x 20 pixels in the middle."""
    rows = np.arange(n) % scans.COUNT
    large = ndimage.zoom(scans.scans()[0][rows], (1, 2.5, 2.5), order=1, grid_mode=True, mode="grid-constant")
    return np.pad((large.clip(0, 1) * 255).astype(np.uint8), ((0, 0), (4, 4), (4, 4)))


def write_mnist(folder: Path, n: int) -> None:
    """Write ``n`` images and labels as MNIST's files."""
    labels = scans.scans()[1][np.arange(n) % scans.COUNT].astype(np.uint8)
    for name, array in (("images-idx3", mnist_like(n)), ("labels-idx1", labels)):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(head + array.tobytes())


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def speed(name: str, ours: Callable[[], AccDataset], theirs: Callable[[], object], theirs_n: int) -> Row:
    """Return the row of a generator: its images per second over those made one at a time."""
    n = len(ours())  # which also loads what is loaded once
    fast, slow = [], []
    for _ in range(ROUNDS):
        slow.append(theirs_n / seconds(theirs))
        fast.append(n / seconds(ours))
    told = f"{median(fast):,.0f} images/s"
    baseline = f"one at a time {median(slow):,.0f} images/s"
    return Row(f"{name}, images/s", median(fast) / median(slow), "x", 50, "higher", told, baseline)


def memory(makers: dict[str, Callable[[], AccDataset]]) -> Row:
    """Return the row of the generator whose peak is the largest multiple of its dataset."""
    ratios = {}
    for name, make in makers.items():
        tracemalloc.start()
        data = make()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        size = data.images.nbytes + sum(column.nbytes for column in data.targets.values())
        ratios[name] = peak / size
    worst = max(ratios, key=lambda name: ratios[name])
    told = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    return Row("peak memory over dataset", ratios[worst], "x", 2, "lower", told)


def main() -> None:
    """Measure each generator and print the rows."""
    registry = PluginRegistry(ROOT / "plugins")
    registry.scan()
    classes = registry.classes("generator")

    def make(name: str, n: int | None, **params: object) -> Callable[[], AccDataset]:
        one: DatasetGenerator = classes[name].cls(**params)
        return lambda: one.generate(n=n, seed=0)

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "benchmark").mkdir()
        os.environ["ACC_DATA_DIR"] = folder
        write_mnist(Path(folder) / "benchmark", 12_000)
        strokes, written = strokes_one_by_one(200), written_one_by_one(60)
        mnist = make("Mnist", None, folder="benchmark")
        for row in (
            speed("thickness", make("Thickness", 2000), strokes, 200),
            speed("slant", make("Slant", 2000), strokes, 200),
            speed("thickness of digits", make("Thickness", 900, source="digits"), written, 60),
            speed("factor grid of digits", make("FactorGrid", 900), written, 60),
            speed("shapes", make("Shapes", 6000), shapes_one_by_one(500), 500),
            speed("handwritten digits", make("HandwrittenDigits", None), scans_one_by_one(200), 200),
            speed("mnist from disk", mnist, mnist_one_by_one(200), 200),
        ):
            report(row)
        report(
            memory(
                {
                    "thickness": make("Thickness", 8000),
                    "slant": make("Slant", 8000),
                    "shapes": make("Shapes", 20_000),
                    "factor grid": make("FactorGrid", 10_200, thickness_levels=2, slant_levels=3),
                    "mnist": mnist,
                }
            )
        )


if __name__ == "__main__":
    main()
