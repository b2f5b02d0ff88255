"""Makes an experiment that can be trained at once: with the tasks of a method, or those that most begin with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from acc.errors import InvalidInput
from acc.specs import ModelSpec
from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.registry import methods
from accsite.apps.registry.methods import MethodSetup
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Experiment
from accsite.apps.training.services.experiments import MAIN, create_experiment
from accsite.apps.training.services.tasks import add_task, check_model
from accsite.apps.training.specs import dataset_spec, model_of

RECONSTRUCTION = "ReconstructionTask"
# The squared error of a pixel is small beside other losses, so it counts for more.
RECONSTRUCTION_WEIGHT, KL_WEIGHT = 30.0, 0.002
FIRST_TASKS: tuple[dict[str, Any], ...] = (
    {"name": "Reconstruction", "task_class": RECONSTRUCTION, "weight": RECONSTRUCTION_WEIGHT},
    {"name": "KL", "task_class": "KLDivergenceTask", "weight": KL_WEIGHT},
)
"""What a training of images begins with; of these, an experiment gets those that its model suits."""


def begin_experiment(
    *,
    actor: Any,
    dataset: Dataset | None,
    model: Mapping[str, Any],
    method: str = "",
    method_params: Mapping[str, Any] | None = None,
    **experiment: Any,
) -> Experiment:
    """Return a new experiment, as ``create_experiment`` makes it, whose branch has the first tasks on a dataset.

    Without a dataset it has none. ``method``: the name of one, which gives the tasks in their place, what ``model``
    leaves out, and the settings of trainings. Raises InvalidInput naming each wrong field; then nothing is made.
    """
    found = None
    if method:
        if dataset is None:
            raise InvalidInput({"dataset": "a method makes model and tasks for a dataset; name one"})
        # The method's own code is asked, outside of a transaction: it may take a moment. Each asks for itself: of two
        # that are made at once, neither takes the place of the other, as a page's newer question does.
        found = methods.set_up(
            who=f"begin:{secrets.token_hex(8)}",
            method=method,
            params=method_params,
            data=dataset_spec(dataset),
        )
        model = model_with(found, dataset, model)
    elif method_params:
        raise InvalidInput({"method_params": "parameters of a method are given, and no method; name it"})
    return _begin(actor, dataset, found, {"model": model, **experiment})


def model_with(found: MethodSetup, dataset: Dataset, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification of a model as a method makes it, but for what ``model`` says of it."""
    setup = found.setup
    whole = {
        "architecture": setup.architecture,
        "image": dataset_spec(dataset).image.model_dump(),
        "latent_dim": setup.latent_dim,
        **model,
    }
    given = whole.get("params") or {}
    if whole["architecture"] == setup.architecture and isinstance(
        given, Mapping
    ):  # what is none is refused later
        whole["params"] = {**setup.params, **given}
    return whole


@unit_of_work()
def _begin(
    actor: Any, dataset: Dataset | None, found: MethodSetup | None, fields: Mapping[str, Any]
) -> Experiment:
    made = create_experiment(actor=actor, **fields)
    if found is not None:
        made.method = found.record()
        made.save(update_fields=["method"])
    if dataset is None:
        return made
    branch = made.branches.get(slug=MAIN)
    for task in FIRST_TASKS if found is None else found.setup.tasks:
        if found is not None or _suits(task, model_of(branch)):
            try:
                add_task(actor=actor, branch=branch, dataset=dataset, **task)
            except TypeError as error:
                raise InvalidInput(
                    {"method": f"{found and found.plugin.name} gives a wrong task: {error}"}
                ) from error
    return made


def _suits(task: Mapping[str, Any], model: ModelSpec) -> bool:
    plugin = Plugin.objects.filter(kind=PluginKind.TASK, name=task["task_class"], available=True).first()
    return plugin is not None and not check_model(plugin, model)
