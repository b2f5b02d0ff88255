"""A number is written the same by the server and by the scripts, and one that was set is written whole."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from accsite.numbers import NONE, compact, exact
from accsite.tests.modules import evaluate

SPECIAL = [
    0.0, -0.0, 1.0, 0.5, 1.125, 1.135, 0.0009996, 0.00099999, 0.001, 999.5, 999.7, 1000.0, 1234.5, -1234.5, 1235.5,
    999_999.5, 1e6, 1.25e6, 5.5e7, -5.5e7, 1e-7, 1.5e-7, 1e-6, 1e21, 1.234e22, 0.0042, 0.1 + 0.2, 1e300, 5e-324,
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE),
        (math.nan, NONE),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (0.34567, "0.346"),
        (380.04, "380"),
        (1234.5, "1,235"),
        (999.7, "1,000"),
        (5.5e7, "5.5e+7"),
        (-0.00012, "-1.2e-4"),
    ],
)
def test_a_measured_number_has_three_digits_or_its_order(value: float | None, text: str) -> None:
    assert compact(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0042, "0.0042"), (1.0, "1"), (0.123456789, "0.123456789"), (1e-7, "1e-7"), (2500.5, "2500.5"), (1e21, "1e+21")],
)  # fmt: skip
def test_a_number_that_was_set_is_written_whole(value: float, text: str) -> None:
    assert exact(value) == text
    assert float(text) == value


def test_scripts_write_every_number_as_the_server_does() -> None:
    chance = random.Random(0)
    drawn = [chance.choice([-1, 1]) * 10 ** chance.uniform(-12, 12) for _ in range(2000)]
    halves = [chance.randrange(1, 20_000) / 2 ** chance.randrange(1, 12) for _ in range(2000)]
    values = [*SPECIAL, *drawn, *halves]
    found: Any = evaluate(
        "const { compact, exact } = await load('numbers'); return args[0].map((v) => [compact(v), exact(v)]);",
        values,
    )
    assert found == [[compact(value), exact(value)] for value in values]
