"""Makes an experiment that can be trained at once: with the tasks that most begin with."""

from __future__ import annotations

from typing import Any

from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.services.unit import unit_of_work
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Experiment
from accsite.apps.training.services.experiments import MAIN, create_experiment
from accsite.apps.training.services.tasks import add_task, check_model
from accsite.apps.training.specs import model_of

RECONSTRUCTION = "ReconstructionTask"
# The squared error of a pixel is small beside other losses, so it counts for more.
RECONSTRUCTION_WEIGHT, KL_WEIGHT = 30.0, 0.002
FIRST_TASKS: tuple[dict[str, Any], ...] = (
    {"name": "Reconstruction", "task_class": RECONSTRUCTION, "weight": RECONSTRUCTION_WEIGHT},
    {"name": "KL", "task_class": "KLDivergenceTask", "weight": KL_WEIGHT},
)
"""What a training of images begins with; of these, an experiment gets those that its model suits."""


@unit_of_work()
def begin_experiment(*, dataset: Dataset | None, **experiment: Any) -> Experiment:
    """Return a new experiment, as ``create_experiment`` makes it, whose branch has the first tasks on a dataset.

    Without a dataset it has none. Raises InvalidInput naming each wrong field; then nothing is made.
    """
    made = create_experiment(**experiment)
    if dataset is None:
        return made
    branch = made.branches.get(slug=MAIN)
    model = model_of(branch)
    for task in FIRST_TASKS:
        plugin = Plugin.objects.filter(kind=PluginKind.TASK, name=task["task_class"], available=True).first()
        if plugin is not None and not check_model(plugin, model):
            add_task(actor=experiment["actor"], branch=branch, dataset=dataset, **task)
    return made
