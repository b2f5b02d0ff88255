"""An experiment begins with a whole, valid model; a branch begins at a checkpoint with its tasks."""

from __future__ import annotations

from typing import Any

import pytest

from acc.errors import InvalidInput
from acc.specs import ModelSpec, TaskSpec
from accsite.apps.datasets.models import Dataset
from accsite.apps.training.models import Branch, Experiment, Task
from accsite.apps.training.services import experiments
from accsite.apps.training.tests import rows

pytestmark = pytest.mark.both_databases


def create(user: Any, name: str = "Digits one", **model: Any) -> Experiment:
    return experiments.create_experiment(actor=user, name=name, model={**rows.MODEL, **model})


def test_an_experiment_has_a_branch_main_and_a_complete_model(user: Any, plugins: Any) -> None:
    made = create(user, params={})
    assert (made.slug, made.owner) == ("digits-one", user)
    assert [branch.slug for branch in made.branches.all()] == ["main"]
    spec = ModelSpec.model_validate(made.model_spec)
    assert spec.params == {"base_channels": 8}
    assert [group.name for group in spec.ordered_groups] == ["digit", "free"]


OVERLAP = [{"name": "a", "start": 0, "end": 6}, {"name": "b", "start": 4, "end": 8}]


@pytest.mark.parametrize(
    ("name", "model", "field", "sentence"),
    [
        ("", {}, "name", "a name is needed"),
        ("a\nb", {}, "name", "cannot be shown"),
        ("digits", {}, "name", "'digits' is already the name of an experiment"),
        ("x", {"architecture": "Magic"}, "model.architecture", "Magic"),
        ("x", {"latent_dim": 0}, "model.latent_dim", "0 is refused"),
        ("x", {"factor_groups": OVERLAP}, "model.factor_groups", "factor groups 'a' 0:6 and 'b' 4:8 overlap"),
        ("x", {"latent_dim": 8}, "model.factor_groups", "'free' 6:16 goes beyond latent_dim 8"),
        ("x", {"params": {"base_channels": 0}}, "model.params.base_channels", "below the least allowed, 1"),
        ("x", {"params": 3}, "model.params", "3 is not an object"),
        ("x", {"image": {"channels": 0}}, "model.image.channels", "0 is refused"),
    ],
)
def test_bad_input_names_its_field_and_makes_nothing(*, user, branch, name, model, field, sentence) -> None:
    with pytest.raises(InvalidInput) as caught:
        create(user, name, **model)
    assert list(caught.value.fields) == [field]
    assert sentence in caught.value.fields[field][0]
    assert list(Experiment.objects.all()) == [branch.experiment]
    assert list(Branch.objects.all()) == [branch]


def test_a_fork_takes_the_tasks_as_they_were_at_the_checkpoint(
    user, branch: Branch, dataset: Dataset
) -> None:
    kept = rows.make_task(branch, dataset, "kept", weight=5, colour_slot=3)
    rows.make_task(branch, dataset, "later")
    checkpoint = rows.make_checkpoint(branch)
    spec = TaskSpec(
        key="kept", name="Kept", task_class="ReconstructionTask", dataset=dataset.slug, weight=0.5
    )
    checkpoint.spec["tasks"] = [spec.model_dump(mode="json")]
    checkpoint.save()
    fork = experiments.create_branch(
        actor=user, experiment=branch.experiment, name="side", from_checkpoint=checkpoint
    )
    assert (fork.head, fork.forked_from) == (checkpoint, checkpoint)
    (copy,) = fork.tasks.all()
    assert (copy.key, copy.weight, copy.colour_slot) == ("kept", 0.5, 3)
    kept.refresh_from_db()
    assert kept.weight == 5


def test_a_new_line_from_the_seed_takes_the_tasks_of_the_first(
    user, branch: Branch, dataset: Dataset
) -> None:
    rows.make_task(branch, dataset)
    fork = experiments.create_branch(actor=user, experiment=branch.experiment, name="again")
    bare = experiments.create_branch(actor=user, experiment=branch.experiment, name="bare", tasks="none")
    assert (fork.head, fork.tasks.count(), bare.tasks.count()) == (None, 1, 0)


@pytest.mark.parametrize("name", ["main", "MAIN", ""])
def test_a_branch_needs_a_free_name(user, branch: Branch, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        experiments.create_branch(actor=user, experiment=branch.experiment, name=name)
    assert list(caught.value.fields) == ["name"]
    assert Branch.objects.count() == 1


def test_a_branch_begins_only_at_a_checkpoint_of_its_experiment(user, branch: Branch) -> None:
    foreign = rows.make_checkpoint(rows.make_branch(user, "other"))
    with pytest.raises(InvalidInput, match="belongs to another experiment"):
        experiments.create_branch(actor=user, experiment=branch.experiment, name="x", from_checkpoint=foreign)
    assert not Task.objects.exists()
