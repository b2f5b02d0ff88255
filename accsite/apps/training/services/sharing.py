"""Who may see and change an experiment: everyone of the site, its owner, and those it is shared with."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from acc.errors import InvalidInput
from accsite.apps.training.models import Experiment, ExperimentShare, ShareLevel, Visibility
from accsite.apps.training.services.unit import lock_experiment, touch, unit_of_work


@unit_of_work()
def set_visibility(*, actor: Any, experiment: Experiment, visibility: str) -> Experiment:
    """Return the experiment, seen by everyone (``site``) or by its owner and those it is shared with (``private``)."""
    if visibility not in Visibility.values:
        right = ", ".join(Visibility.values)
        raise InvalidInput({"visibility": f"{visibility!r} is not one of {right}"})
    locked = lock_experiment(experiment.pk)
    if visibility == Visibility.PRIVATE and locked.owner_id is None:
        locked.owner = actor  # else nobody but administrators could see it
    locked.visibility = visibility
    locked.save(update_fields=["visibility", "owner"])
    _tell(locked)
    return locked


@unit_of_work()
def share(*, experiment: Experiment, user: str, level: str = ShareLevel.VIEW) -> ExperimentShare:
    """Return the share by which a user sees an experiment, or changes it; sharing again changes the level.

    ``user``: the name of an active user. Raises InvalidInput (user, level).
    """
    errors: dict[str, list[str]] = {}
    lock_experiment(experiment.pk)
    found = User.objects.filter(username=user, is_active=True).first() if isinstance(user, str) else None
    if found is None:
        errors["user"] = [f"there is no active user {user!r}; give a name as they sign in with"]
    elif found.pk == experiment.owner_id:
        errors["user"] = [f"{user!r} owns this experiment and needs no share"]
    if level not in ShareLevel.values:
        errors["level"] = [f"{level!r} is not one of {', '.join(ShareLevel.values)}"]
    if errors or found is None:
        raise InvalidInput(errors)
    made, _ = ExperimentShare.objects.update_or_create(
        experiment=experiment, user=found, defaults={"level": level}
    )
    _tell(experiment)
    return made


@unit_of_work()
def unshare(*, share: ExperimentShare) -> None:
    """Take a share back; open pages of that user stop hearing of the experiment at once."""
    share.delete()
    _tell(share.experiment)


def _tell(experiment: Experiment) -> None:
    topics = [f"tasks:{branch}" for branch in experiment.branches.values_list("pk", flat=True)]
    touch("experiments", f"checkpoints:{experiment.pk}", *topics)
