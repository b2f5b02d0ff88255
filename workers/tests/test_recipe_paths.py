"""A call's key depends on the program alone: not on threads, not on time, and no two calls share one."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.recipes.paths import Scope, order

# A program: a list of calls, each a plain verb (None) or a parallel of programs.
programs: Any = st.recursive(
    st.lists(st.none(), max_size=4),
    lambda inner: st.lists(st.none() | st.lists(inner, max_size=3), max_size=4),
    max_leaves=20,
)


def paths(program: list[Any], scope: Scope, shuffle: random.Random | None = None) -> list[str]:
    """Return the paths of all calls in the order of the program; callables are run in any order with ``shuffle``."""
    found = []
    for call in program:
        path = scope.next()
        found.append(path)
        if call is not None:
            scopes = [scope.inner(path, number) for number in range(1, len(call) + 1)]
            at = list(range(len(call)))
            if shuffle is not None:
                shuffle.shuffle(at)
            inner = {index: paths(call[index], scopes[index], shuffle) for index in at}
            found += [each for index in range(len(call)) for each in inner[index]]
    return found


@given(programs, st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_paths_are_unique_in_the_order_of_the_program_and_the_same_however_it_is_scheduled(program, seed):
    first = paths(program, Scope())
    assert len(set(first)) == len(first)
    assert first == sorted(first, key=order)
    assert paths(program, Scope(), random.Random(seed)) == first


@given(programs, st.lists(st.none(), min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_calls_that_are_added_at_the_end_change_no_key_before_them(program, more):
    before = paths(program, Scope())
    assert paths([*program, *more], Scope())[: len(before)] == before


def test_chance_depends_on_seed_and_place_and_not_on_the_thread():
    scopes = [Scope(seed=3).inner("2", number) for number in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda scope: scope.rng.random(), scopes))
    assert drawn == [Scope(seed=3).inner("2", number).rng.random() for number in range(1, 9)]
    assert len(set(drawn)) == 8
    assert Scope(seed=4).inner("2", 1).rng.random() != drawn[0]
