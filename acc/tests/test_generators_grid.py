"""A factor grid holds every combination equally often, with labels measured on the image."""

from __future__ import annotations

import numpy as np
import pytest

from acc.data import scans
from acc.errors import InvalidInput
from acc.tests.generators import generator, made


def test_every_cell_holds_as_many_images() -> None:
    data = made("factor_grid", "FactorGrid", 360)
    cells = np.stack([data.targets[name] for name in ("digit", "thickness_level", "slant_level")], axis=1)
    found, counts = np.unique(cells, axis=0, return_counts=True)
    assert len(found) == 90
    assert set(counts.tolist()) == {4}


def test_without_a_number_each_scan_of_the_part_is_in_each_combination() -> None:
    data = made("factor_grid", "FactorGrid", None, part="held_out", thickness_levels=1, slant_levels=2, size=16,
                thickness_min=2.0, thickness_max=3.0)  # fmt: skip
    assert len(data) == 397 * 2
    digits = scans.scans()[1][scans.rows_of("held_out")]
    for level in range(2):
        np.testing.assert_array_equal(data.targets["digit"][data.targets["slant_level"] == level], digits)


@pytest.mark.parametrize(("source", "n"), [("digits", 360), ("glyphs", 288)])
def test_levels_are_what_is_measured(source: str, n: int) -> None:
    data = made("factor_grid", "FactorGrid", n, source=source)
    for name, wanted, near in (("thickness", [4, 5, 6], 0.25), ("slant", [-0.3, 0, 0.3], 0.02)):
        level = data.targets[f"{name}_level"]
        means = [float(data.targets[name][level == k].mean()) for k in range(3)]
        np.testing.assert_allclose(means, wanted, atol=near)
    spec = {column.name: column for column in data.target_specs}
    assert spec["thickness_level"].labels == ("4 px", "5 px", "6 px")
    assert spec["slant_level"].labels == ("-0.3 rad", "0 rad", "0.3 rad")


def test_the_same_scans_are_in_every_combination_so_that_levels_do_not_change_who_wrote() -> None:
    data = made("factor_grid", "FactorGrid", 360)
    at = (data.targets["thickness_level"] == 1) & (data.targets["slant_level"] == 1)
    assert at.sum() == 40
    level = data.targets["slant_level"]
    assert [data.targets["digit"][level == k].tolist() for k in (0, 1)] == [
        data.targets["digit"][level == 2].tolist()
    ] * 2


def test_numbers_that_leave_cells_uneven_are_refused_with_those_that_do_not() -> None:
    with pytest.raises(InvalidInput, match=r"n: 1,000 is refused: 90 cells .* ask for 990 or 1,080"):
        generator("factor_grid", "FactorGrid")().generate(n=1000, seed=0)


def test_more_images_in_a_cell_than_there_are_scans_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"n: 4,500 is refused: it takes 50 scans of each digit"):
        generator("factor_grid", "FactorGrid")(part="held_out").generate(n=4500, seed=0)


def test_a_grid_beyond_the_limit_is_refused_before_anything_is_drawn() -> None:
    grid = generator("factor_grid", "ShapesGrid")(
        size=128, classes=11, position_levels=32, scale_levels=16, rotation_levels=32
    )
    with pytest.raises(InvalidInput, match=r"n: 5,767,168 images of 128 x 128 pixels are .* bytes; at most"):
        grid.generate(n=None, seed=0)
