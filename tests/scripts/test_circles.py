"""No module needs one that needs it."""

from __future__ import annotations

from scripts.circles import circles, complaints


def test_modules_that_import_each_other_by_way_of_others_are_a_circle():
    imported = {"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": ["e"], "e": ["d"], "f": ["a"], "g": []}
    assert circles(imported) == [["a", "b", "c"], ["d", "e"]]


def test_modules_whose_imports_lead_nowhere_back_are_none():
    assert circles({"a": ["b", "c"], "b": ["c"], "c": ["outside"]}) == []


def test_a_circle_that_is_not_known_is_told_by_its_modules():
    assert complaints([["a", "b"]], known=[]) == ["a circle of imports: a, b"]


def test_a_known_circle_may_shrink_and_not_grow():
    known = [frozenset("abc")]
    assert complaints([["a", "b", "c"]], known) == []
    assert complaints([["a", "b", "d"]], known)[0] == "a circle of imports: a, b, d"
    (said,) = complaints([["a", "b"]], known)
    assert said.endswith(": c")
