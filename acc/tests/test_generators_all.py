"""What every generator keeps to: the same bytes from the same seed, a word of progress, targets that are true."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from acc.data import AccDataset
from acc.errors import InvalidInput
from acc.tests.generators import generator, made

CASES: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "thickness": ("thickness", "Thickness", 300, {}),
    "thickness of digits": ("thickness", "Thickness", 300, {"source": "digits"}),
    "slant": ("slant", "Slant", 300, {}),
    "shapes": ("shapes", "Shapes", 300, {}),
    "grid of digits": ("factor_grid", "FactorGrid", 270, {}),
    "grid of glyphs": ("factor_grid", "FactorGrid", 288, {"source": "glyphs"}),
    "grid of shapes": ("factor_grid", "ShapesGrid", 324, {"position_levels": 3}),
}
DRAWN_BY_CHANCE = sorted(set(CASES) - {"grid of shapes"})


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> tuple[str, str, int, dict[str, Any]]:
    return CASES[request.param]


def data_of(case: tuple[str, str, int, dict[str, Any]], seed: int = 0) -> AccDataset:
    file, name, n, params = case
    return made(file, name, n, seed, **params)


def test_the_same_parameters_number_and_seed_give_the_same_bytes(
    case: tuple[str, str, int, dict[str, Any]],
) -> None:
    file, name, n, params = case
    again = generator(file, name)(**params).generate(n=n, seed=0)
    first = data_of(case)
    np.testing.assert_array_equal(again.images, first.images)
    assert again.content_hash == first.content_hash


@pytest.mark.parametrize("name", DRAWN_BY_CHANCE)
def test_another_seed_gives_other_images(name: str) -> None:
    assert data_of(CASES[name], seed=1).content_hash != data_of(CASES[name]).content_hash


def test_columns_are_named_with_unit_and_true_range(case: tuple[str, str, int, dict[str, Any]]) -> None:
    data = data_of(case)
    assert len(data) == case[2]
    for column in data.target_specs:
        values = data.targets[column.name]
        if column.kind == "real":
            assert column.unit in ("px", "rad")
            assert (column.min, column.max) == (values.min(), values.max())
        else:
            assert column.labels is not None
            assert set(values.tolist()) == set(range(len(column.labels)))


def test_classes_are_balanced(case: tuple[str, str, int, dict[str, Any]]) -> None:
    data = data_of(case)
    for column in data.target_specs:
        if column.kind == "class":
            counts = np.bincount(data.targets[column.name])
            assert counts.max() - counts.min() <= 1


def test_progress_is_told_and_can_stop_the_work(case: tuple[str, str, int, dict[str, Any]]) -> None:
    file, name, n, params = case
    told: list[float] = []
    generator(file, name)(**params).generate(n=n, seed=0, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 2

    def stop(fraction: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        generator(file, name)(**params).generate(n=n, seed=0, progress=stop)


@pytest.mark.parametrize("n", [0, -1, 10**9])
def test_a_number_of_images_that_cannot_be_is_refused(
    case: tuple[str, str, int, dict[str, Any]], n: int
) -> None:
    file, name, _, params = case
    with pytest.raises(InvalidInput) as refused:
        generator(file, name)(**params).generate(n=n, seed=0)
    assert list(refused.value.fields) == ["n"]


@pytest.mark.parametrize(("file", "name"), [("shapes", "Shapes"), ("slant", "Slant")])
def test_memory_stays_under_twice_the_dataset(file: str, name: str) -> None:
    n, size = 1200, 96
    one = generator(file, name)(size=size)
    tracemalloc.start()
    data = one.generate(n=n, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.images.nbytes == n * size * size
    assert peak < 2 * data.images.nbytes


def test_a_range_the_wrong_way_round_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"params.slant_max: -0.4 is below slant_min, -0.3"):
        generator("thickness", "Thickness")(slant_max=-0.4)
    with pytest.raises(InvalidInput, match=r"params.scale_max: 2 is below scale_min, 3.5"):
        generator("shapes", "Shapes")(scale_max=2.0)


def test_strokes_that_leave_no_shape_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"params.thickness_max: 7 px leave no shape in 16 x 16 pixels"):
        generator("thickness", "Thickness")(size=16)
