"""Recipes that are under way: what ``fork`` was asked for is written as it is asked for now."""

from __future__ import annotations

from typing import Any

from django.db import migrations

WORDS = {True: "all", False: "none"}


def in_words(apps: Any, _editor: Any) -> None:
    """Write ``tasks`` of a fork as ``all`` or ``none``, where it was true or false."""
    for step in apps.get_model("training", "RecipeStep").objects.filter(verb="fork"):
        if isinstance(step.args.get("tasks"), bool):
            step.args = {**step.args, "tasks": WORDS[step.args["tasks"]]}
            step.save(update_fields=["args"])


class Migration(migrations.Migration):

    dependencies = [("training", "0003_log_of_a_job")]

    operations = [migrations.RunPython(in_words, migrations.RunPython.noop)]
