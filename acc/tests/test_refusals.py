"""What is refused is said with the value and what would be right, in words, not in a program's patterns."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput
from acc.specs import FactorGroup, Spec, TaskSpec, TrainSpec, parse


@pytest.mark.parametrize(
    ("spec", "data", "field", "sentence"),
    [
        (TrainSpec, {"steps": "abc"}, "steps", "'abc' is refused: give a whole number"),
        (TrainSpec, {"steps": 1.5}, "steps", "1.5 is refused: give a whole number"),
        (TrainSpec, {"steps": "-3"}, "steps", "'-3' is refused: the least allowed is 1"),
        (TrainSpec, {"steps": 5, "lr": "x"}, "lr", "'x' is refused: give a number"),
        (TrainSpec, {"steps": 5, "lr": "nan"}, "lr", "'nan' is refused: give a finite number"),
        (TrainSpec, {"steps": 5, "lr": "1e9"}, "lr", "'1e9' is refused: the most allowed is 10"),
        (
            TrainSpec,
            {"steps": 5, "schedule": "z"},
            "schedule",
            "'z' is refused: choose one of: joint, sampled",
        ),
        (
            TrainSpec,
            {"steps": 5, "early_stop": "A B"},
            "early_stop",
            "'A B' is refused: use 1 to 64 of a-z, 0-9, _ and -, a letter or digit first",
        ),
        (FactorGroup, {"name": "g", "start": 0}, "end", "a value is needed here; none was given"),
    ],
)
def test_a_refusal_names_the_value_and_what_would_be_right(
    spec: type[Spec], data: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(spec, data)
    assert refused.value.fields[field] == [sentence]


def test_a_long_value_is_shown_by_its_beginning() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(TaskSpec, {"key": "G" * 300, "name": "x", "task_class": "X", "dataset": "x"})
    assert refused.value.fields["key"][0].startswith(f"'{'G' * 40}…' is refused: use 1 to 64")
