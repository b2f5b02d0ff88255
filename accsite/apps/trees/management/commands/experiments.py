"""``manage.py experiments VERB EXPERIMENT``: what can be done to experiments, from a shell."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import Model

from accsite.actions.commands import ActionCommand
from accsite.apps.training.models import Experiment


class Command(ActionCommand):
    """Act on experiments."""

    help = "Act on an experiment. Exit status: 0 done, 1 not allowed, 2 bad input."
    on: ClassVar[type[Model]] = Experiment
    called: ClassVar[str] = "slug or name"
