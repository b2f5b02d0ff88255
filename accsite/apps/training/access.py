"""Who may change what of training: everything hangs on an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.http import Http404

from accsite.apps.access import permissions
from accsite.apps.jobs.models import ON_BRANCHES, PRIVATE_KINDS, Job
from accsite.apps.training.models import (
    Branch,
    Checkpoint,
    Experiment,
    ExperimentShare,
    Task,
)


def register() -> None:
    permissions.register(Experiment, may_change_experiment)
    permissions.register(ExperimentShare, lambda user, share: may_manage(user, share.experiment))
    permissions.register(Branch, lambda user, branch: may_change_experiment(user, branch.experiment))
    permissions.register(Checkpoint, lambda user, node: may_change_experiment(user, node.experiment))
    permissions.register(Task, lambda user, task: may_change_experiment(user, task.branch.experiment))
    ON_BRANCHES.append(_jobs_of_visible_experiments)
    # It tells a path and the names of all that is there; the runs are seen as their experiments are.
    PRIVATE_KINDS["import_runs"] = lambda user: Q(created_by=user)
    permissions.register_pages("training", page_object)


def may_change_experiment(user: Any, experiment: Experiment) -> bool:
    """Return whether a user may train, fork and label in an experiment."""
    return Experiment.objects.changeable_by(user).filter(pk=experiment.pk).exists()


def may_manage(user: Any, experiment: Experiment) -> bool:
    mine = experiment.owner_id is not None and experiment.owner_id == user.pk
    return permissions.is_administrator(user) or (mine and permissions.may_write(user))


def _jobs_of_visible_experiments(user: Any) -> Q:
    return Q(branch__experiment__in=Experiment.objects.visible_to(user))


def experiments_of(names: set[str]) -> set[str]:
    """Return ``experiment:<id>`` for each experiment that topics such as ``tasks:7`` and ``job:41`` belong to."""
    keys: dict[str, list[int]] = {"checkpoints": [], "tasks": [], "job": [], "log": []}
    for name in names:
        prefix, _, key = name.partition(":")
        if prefix in keys and key.isdecimal():
            keys[prefix].append(int(key))
    branches = Branch.objects.filter(Q(pk__in=keys["tasks"]) | Q(jobs__in=keys["job"] + keys["log"]))
    found = {*keys["checkpoints"], *branches.values_list("experiment", flat=True)}
    return {f"experiment:{pk}" for pk in found}


def page_object(user: Any, name: str, arguments: Mapping[str, Any]) -> Model | None:
    """Return what a page is about, found in its address; None where it is about nothing in particular.

    Raises Http404 for what the user may not see, so that nothing tells them that it exists.
    """
    rows = _named(user, name, arguments)
    if rows is None:
        return None
    found: Model | None = rows.first()
    if found is None:
        raise Http404(f"there is nothing at this address, or you may not see it: {dict(arguments)}")
    return found


def _named(user: Any, name: str, arguments: Mapping[str, Any]) -> QuerySet[Any] | None:
    experiments = Experiment.objects.visible_to(user)
    slug = arguments.get("experiment", arguments.get("slug") if name.startswith("experiment") else None)
    if isinstance(slug, str) and isinstance(arguments.get("branch"), str):
        rows = Branch.objects.filter(experiment__in=experiments, experiment__slug=slug)
        return rows.filter(slug=arguments["branch"]).select_related("experiment")
    if isinstance(slug, str):
        return experiments.filter(slug=slug)
    number = arguments.get("pk")
    rows_of = NUMBERED.get(name.partition("-")[0])
    return rows_of(user).filter(pk=number) if rows_of is not None and number is not None else None


# Of pages whose address holds a number: what the name of the address begins with -> what is numbered.
NUMBERED: dict[str, Callable[[Any], QuerySet[Any]]] = {
    "branch": lambda user: Branch.objects.filter(experiment__in=Experiment.objects.visible_to(user)),
    "checkpoint": lambda user: Checkpoint.everything.filter(
        experiment__in=Experiment.objects.visible_to(user)
    ),
    "job": Job.objects.visible_to,
}
