"""What must not change any score: order of samples, order of dimensions in a slot, scale, dead dimensions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acc.evaluation.metrics import Factor, Groups
from acc.tests.metrics import worlds
from acc.tests.metrics.worlds import World

BASE = worlds.mixed(0.2, 400, classes=2, reals=1)
BEFORE = BASE.measure(permutations=2, resamples=5)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=5, deadline=None)


def same(world: World, *, tolerance: float = 1e-6) -> None:
    before, after = BEFORE.headline(), world.measure(permutations=2, resamples=5).headline()
    for name, value in before.items():
        if name in ("effective_rank", "participation_ratio"):
            continue  # of raw latents: meant to see the scale
        assert after[name].value == pytest.approx(value.value, abs=tolerance, nan_ok=True), name
        assert (after[name].low or 0) == pytest.approx(value.low or 0, abs=1e-4), name


@few
@given(seeds)
def test_the_order_of_samples_changes_nothing(seed):
    order = np.random.default_rng(seed).permutation(len(BASE.z))
    factors = [Factor(f.name, f.values[order], f.kind) for f in BASE.factors]
    same(World(BASE.z[order], factors, BASE.groups, None))


@few
@given(seeds)
def test_the_order_of_dimensions_within_groups_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(dims) for dims in BASE.groups.dims])
    same(BASE.with_latents(BASE.z[:, order]))


@few
@given(seeds)
def test_scattering_the_groups_over_the_latent_changes_nothing(seed):
    order = np.random.default_rng(seed).permutation(BASE.z.shape[1])
    place = np.argsort(order)
    groups = Groups.indices(
        {
            name: [place[d] for d in dims]
            for name, dims in zip(BASE.groups.names, BASE.groups.dims, strict=True)
        }
    )
    same(World(BASE.z[:, order], BASE.factors, groups, None))


@few
@given(seeds)
def test_positive_scales_and_shifts_of_dimensions_change_nothing(seed):
    rng = np.random.default_rng(seed)
    width = BASE.z.shape[1]
    same(BASE.with_latents(BASE.z * np.exp(rng.uniform(-1.5, 1.5, width)) + rng.uniform(-2, 2, width)))


@few
@given(seeds, st.sampled_from([0.0, 1e-4]))
def test_an_inactive_dimension_changes_nothing(seed, spread):
    rng = np.random.default_rng(seed)
    dead = spread * rng.normal(size=(len(BASE.z), 2)) + rng.normal()
    ranges = {name: list(dims) for name, dims in zip(BASE.groups.names, BASE.groups.dims, strict=True)}
    ranges["free"] += [13, 14]
    same(World(np.hstack([BASE.z, dead]), BASE.factors, Groups.indices(ranges), None))


@few
@given(seeds)
def test_the_names_of_classes_change_nothing(seed):
    names = np.array(["fox", "owl", "cat", "elk", "ant"])
    rng = np.random.default_rng(seed)
    factors = [
        Factor.cat(f.name, rng.permutation(names)[f.values]) if f.kind == "cat" else f for f in BASE.factors
    ]
    # Classes sort otherwise, so samples are dealt to other folds: as near as another seed, not the same digits.
    after = World(BASE.z, factors, BASE.groups, None).measure()
    assert after.ufr.value.value == pytest.approx(BEFORE.ufr.value.value, abs=0.1)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    again = BASE.measure(permutations=2, resamples=5)
    assert again.as_dict() == BEFORE.as_dict()
    assert BASE.measure(seed=1).ufr.value.value != BEFORE.ufr.value.value


def test_tensors_are_made_on_the_device_of_the_latents():
    """Were one made on the default device instead, it would be a meta tensor here, and fail."""
    with torch.device("meta"):
        same(BASE.with_latents(torch.from_numpy(BASE.z)), tolerance=0)


def test_float32_and_torch_latents_give_the_same_scores():
    same(BASE.with_latents(torch.from_numpy(BASE.z)), tolerance=0)
    same(BASE.with_latents(BASE.z.astype(np.float32)), tolerance=2e-3)
