"""What pages may watch of training."""

from __future__ import annotations

from typing import Any

from accsite.apps.live import topics
from accsite.apps.training.models import Branch, Experiment


def register() -> None:
    topics.register("experiments")
    topics.register("tasks", may_see=sees_branch)
    topics.register("checkpoints", may_see=sees_experiment)


def sees_branch(user: Any, key: str) -> bool:
    """Return whether ``user`` may see the branch with this id."""
    experiments = Experiment.objects.visible_to(user)
    return key.isdecimal() and Branch.objects.filter(pk=int(key), experiment__in=experiments).exists()


def sees_experiment(user: Any, key: str) -> bool:
    """Return whether ``user`` may see the experiment with this id."""
    return key.isdecimal() and Experiment.objects.visible_to(user).filter(pk=int(key)).exists()
