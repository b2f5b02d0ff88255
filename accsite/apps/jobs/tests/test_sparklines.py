"""A line shows the values that there are, in their places, and a gap where nobody looked."""

from __future__ import annotations

from accsite.apps.jobs.templatetags.sparklines import KEPT, path, sparkline


def test_a_line_ends_at_the_right_and_is_broken_where_there_is_no_value() -> None:
    assert list(path([0.0, 100.0], 0, 100)) == ["M58.5 98.0", "h0.01 M58.5 98.0", "L59.5 2.0"]
    broken = list(path([50.0, None, 50.0], 0, 100))
    assert [each for each in broken if each.startswith("L")] == []
    assert list(path([None] * KEPT, 0, 100)) == []
    assert len(list(path([1.0] * (KEPT + 5), 0, 100))) == KEPT + 1


def test_what_lies_beyond_the_scale_stays_within_the_line() -> None:
    assert next(path([400.0], 0, 100)) == "M59.5 2.0"
    shown = sparkline("temperature_celsius", [20.0, None])
    assert 'data-low="20" data-high="100" data-values="20 -"' in shown
