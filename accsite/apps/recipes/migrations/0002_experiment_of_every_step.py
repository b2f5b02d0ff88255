"""Each step that touched a branch or a checkpoint says of which experiment: those of older releases may not."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def fill(apps: Any, schema_editor: Any) -> None:
    """Take the experiment of what a step touched."""
    steps = apps.get_model("recipes", "RecipeStep").objects.using(schema_editor.connection.alias)
    for name, model in (("branch", "Branch"), ("checkpoint", "Checkpoint")):
        touched = apps.get_model("training", model)._base_manager.filter(pk=OuterRef(f"{name}_id"))
        rows = steps.filter(**{"experiment": None, f"{name}__isnull": False})
        rows.update(experiment=Subquery(touched.values("experiment")[:1]))


class Migration(migrations.Migration):
    dependencies = [("recipes", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="recipestep",
            name="experiment",
            field=models.ForeignKey(
                help_text="also of a step that touched a branch or a checkpoint: it says who may see the run",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="training.experiment",
            ),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
