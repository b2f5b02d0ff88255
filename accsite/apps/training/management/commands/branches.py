"""``manage.py branches duplicate EXPERIMENT/BRANCH``: what can be done to branches, from a shell."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import Model

from accsite.actions.commands import ActionCommand
from accsite.apps.training.models import Branch


class Command(ActionCommand):
    """Act on branches."""

    help = "Act on a branch. Exit status: 0 done, 1 not allowed, 2 bad input."
    on: ClassVar[type[Model]] = Branch
    called: ClassVar[str] = "slugs or names of its experiment and of itself, such as digits/main"
