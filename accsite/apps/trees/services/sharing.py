"""Who may see and change an experiment: everyone of the site, its owner, and those it is shared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User

from acc.errors import InvalidInput
from accsite.apps.jobs.services.unit import touch, unit_of_work
from accsite.apps.training.models import Experiment, ExperimentShare, ShareLevel, Visibility
from accsite.apps.training.services.locks import lock_experiment


@unit_of_work()
def set_sharing(
    *,
    actor: Any,
    experiment: Experiment,
    visibility: str | None = None,
    shares: Mapping[str, str | None] | None = None,
) -> Experiment:
    """Return the experiment as it is shared now; open pages of those who lost it hear no more of it.

    ``visibility``: ``site`` (everyone) or ``private`` (its owner, and those it is shared with). ``shares``: name of
    a user -> ``view``, ``change``, or None to take it back; who is not named keeps what they have. Raises
    InvalidInput (visibility, shares.<name>); then nothing is changed.
    """
    errors: dict[str, list[str]] = {}
    locked = lock_experiment(experiment.pk)
    if visibility is not None and visibility not in Visibility.values:
        errors["visibility"] = [f"{visibility!r} is not one of {', '.join(Visibility.values)}"]
    users = {user.username: user for user in User.objects.filter(username__in=list(shares or {}))}
    for name, level in (shares or {}).items():
        wrong = _wrong(locked, users.get(name), name, level)
        if wrong:
            errors[f"shares.{name}"] = [wrong]
    if errors:
        raise InvalidInput(errors)
    if visibility is not None:
        if visibility == Visibility.PRIVATE and locked.owner_id is None:
            locked.owner = actor  # else only administrators could see it
        locked.visibility = visibility
        locked.save(update_fields=["visibility", "owner"])
    for name, level in (shares or {}).items():
        mine = ExperimentShare.objects.filter(experiment=locked, user=users[name])
        if level is None:
            mine.delete()
        else:
            ExperimentShare.objects.update_or_create(
                experiment=locked, user=users[name], defaults={"level": level}
            )
    topics = [f"tasks:{branch}" for branch in locked.branches.values_list("pk", flat=True)]
    touch("experiments", f"checkpoints:{locked.pk}", *topics)
    return locked


def _wrong(experiment: Experiment, user: User | None, name: str, level: Any) -> str:
    if user is None or (not user.is_active and level is not None):
        return f"there is no active user {name!r}; give a name as they sign in with"
    if user.pk == experiment.owner_id:
        return f"{name!r} owns this experiment and needs no share"
    if level is not None and level not in ShareLevel.values:
        return f"{level!r} is not one of {', '.join(ShareLevel.values)}"
    return ""
