"""A traversal moves one axis of the latent over the range of the data and leaves all else where it is."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

from acc.errors import InvalidInput
from acc.evaluation.metrics.directions import Direction
from acc.evaluation.traversals import moved_latents
from acc.models import build
from acc.results import LatentAxis
from acc.specs import FactorGroup
from acc.tests import evaluated, helpers
from acc.training.checkpoints.files import Checkpoint


def test_every_group_has_five_seeds_and_nine_steps_over_the_range_of_the_data() -> None:
    evaluator = evaluated.evaluator()
    found = evaluator.traversals()
    assert [each.axis.name for each in found] == ["digit", "size", "free"]
    size = found[1]
    assert size.images.shape == (5, 9, 1, 16, 16)
    assert size.images.dtype == np.uint8
    z = evaluator.encoded().z[:, 3:5]
    covariance = np.cov(z, rowvar=False)
    along = (z - z.mean(axis=0)) @ np.linalg.eigh(covariance)[1][:, -1]
    expected = np.quantile(along, [0.02, 0.98])
    np.testing.assert_allclose(sorted(np.abs(size.values[[0, -1]])), sorted(np.abs(expected)), rtol=1e-6)
    np.testing.assert_allclose(np.diff(size.values), np.ptp(size.values) / 8)
    np.testing.assert_array_equal(size.seeds, evaluated.data().images[list(size.indices)])


def test_a_dimension_is_set_to_each_value_and_the_image_is_what_the_decoder_makes_of_it() -> None:
    evaluator = evaluated.evaluator()
    found = evaluator.traversals(direction="dimensions", seeds=2, steps=3)
    assert [each.axis.name for each in found] == [
        *(f"digit[{d}]" for d in range(3)), *(f"size[{d}]" for d in range(3, 5)), *(f"free[{d}]" for d in range(5, 8)),
    ]  # fmt: skip
    each, encoded = found[4], evaluator.encoded()
    with torch.no_grad():
        z = encoded.posterior(np.array(each.indices))
        np.testing.assert_allclose(each.starts, z[:, 4].double(), rtol=1e-6)
        z[:, 4] = float(each.values[2])
        drawn = (evaluator.model.decode(z) * 255).round().numpy()
    assert np.abs(each.images[:, 2].astype(int) - drawn.astype(int)).max() <= 1


def test_the_seeds_are_the_same_for_every_checkpoint_of_an_experiment() -> None:
    model = helpers.model_spec()
    early, late = evaluated.trained(model, steps=1), evaluated.trained(model, steps=5)
    shown = [evaluated.evaluator(made, rows="held_out").traversals()[0].indices for made in (early, late)]
    assert shown[0] == shown[1]


def test_along_the_pattern_of_its_concept_the_size_of_what_is_drawn_grows() -> None:
    found = {each.axis.name: each for each in evaluated.evaluator().traversals(direction="pattern")}
    ink = found["size"].images.astype(float).mean(axis=(0, 2, 3, 4))
    assert np.all(np.diff(ink) > 0)
    assert found["size"].axis.concept == "size"
    assert found["digit"].images.shape == (5, 9, 1, 16, 16)
    assert found["free"].images.size == 0
    assert "no concept is declared to be held by 'free'" in found["free"].reason


def test_a_concept_may_be_held_by_a_group_of_another_name() -> None:
    [found] = evaluated.evaluator().traversals(direction="pattern", own={"size": "free"}, groups=["free"])
    assert (found.axis.group, found.axis.concept) == ("free", "size")
    assert len(found.values) == 9


def test_a_spatial_latent_moves_by_the_same_amount_at_all_its_places() -> None:
    start = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    line = Direction(np.array([0.6, 0.8]), np.zeros(2), np.array([-1.0, 2.0]))
    moved = moved_latents(start, LatentAxis("size", 1, 3, "principal"), line).unflatten(0, (2, 2))
    along = moved.mean(dim=(3, 4))[..., 1:3] @ torch.tensor([0.6, 0.8])
    torch.testing.assert_close(along, torch.tensor([[-1.0, 2.0], [-1.0, 2.0]]))
    change = moved - start[:, None]
    assert torch.allclose(change, change[..., :1, :1].expand_as(change), atol=1e-6)
    torch.testing.assert_close(moved[:, :, [0, 3]], start[:, None, [0, 3]].expand(2, 2, 2, 3, 3))


def test_a_spatial_model_is_traversed_too() -> None:
    found = evaluated.evaluator(evaluated.checkpoint(bottleneck="spatial")).traversals(seeds=2, steps=3)
    assert [each.images.shape for each in found] == [(2, 3, 1, 16, 16)] * 3
    assert all(np.ptp(each.images.astype(int), axis=1).max() > 0 for each in found)


def test_a_dimension_that_does_not_vary_says_so_and_the_others_are_drawn() -> None:
    made = evaluated.checkpoint()
    head = build(made.header.spec.model).state_dict()["heads.1.weight"]
    dead = evaluated.with_weights(made, **{"heads.1.weight": torch.zeros_like(head)})
    found = {each.axis.name: each for each in evaluated.evaluator(dead).traversals()}
    assert found["size"].reason == "size is the same for all 1000 images"
    assert found["size"].images.size == 0
    assert found["digit"].images.shape == (5, 9, 1, 16, 16)


def test_a_model_without_groups_is_traversed_by_dimensions_and_says_why_not_by_groups() -> None:
    evaluator = evaluated.evaluator(evaluated.trained(helpers.model_spec(factor_groups=()), steps=2))
    found = evaluator.traversals(direction="dimensions")
    assert [each.axis.name for each in found] == [f"[{d}]" for d in range(8)]
    with pytest.raises(InvalidInput, match="no factor groups"):
        evaluator.traversals()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"direction": "sideways"}, "direction"),
        ({"groups": ["colour"]}, "groups"),
        ({"direction": "pattern", "own": {"colour": "free"}}, "own"),
        ({"direction": "pattern", "own": {"size": "colour"}}, "own"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(
    options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        evaluated.evaluator().traversals(**options)
    assert list(refused.value.fields) == [field]


def test_eight_groups_are_drawn_in_under_a_second() -> None:
    groups = tuple(FactorGroup(name=f"g{n}", start=2 * n, end=2 * n + 2) for n in range(8))
    model = helpers.model_spec(
        latent_dim=16, factor_groups=groups, side=16, params={"channels": 32, "grid": 8}
    )
    made: Checkpoint = evaluated.trained(model, steps=1)
    evaluator = evaluated.evaluator(made)
    evaluator.encoded()
    started = time.process_time()
    assert len(evaluator.traversals()) == 8
    assert time.process_time() - started < 1
