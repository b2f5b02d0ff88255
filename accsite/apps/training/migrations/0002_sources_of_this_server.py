"""Records which of the kept plugin sources this server's own disk has provided: those alone may run from now on.

The watcher writes the rows of plugins, and jobs freeze the sources that these name. A source that is named by neither
came with an imported checkpoint; an administrator may approve it.
"""

from django.db import migrations
from django.db.models import F


def record(apps, _schema_editor):
    """Mark the sources that plugins, jobs and recipe runs name."""
    sources = apps.get_model("registry", "PluginSource")
    found = set(apps.get_model("registry", "Plugin").objects.values_list("source_id", flat=True))
    found |= set(apps.get_model("training", "RecipeRun").objects.values_list("source_id", flat=True))
    for spec in apps.get_model("training", "Job").objects.values_list("spec", flat=True).iterator(500):
        found |= of_spec(spec)
    added = apps.get_model("training", "JobEvent").objects.filter(kind="add_task")
    for payload in added.values_list("payload", flat=True).iterator(500):
        found |= of_spec({"tasks": [payload.get("task")]})
    found = sorted(each for each in found if isinstance(each, str) and each)
    for first in range(0, len(found), 500):
        some = sources.objects.filter(on_disk_at=None, pk__in=found[first : first + 500])
        some.update(on_disk_at=F("first_seen_at"))


def of_spec(spec):
    """Return the hashes of the sources that the specification of a job names."""
    if not isinstance(spec, dict):
        return set()
    tasks = [task for task in spec.get("tasks") or () if isinstance(task, dict)]
    named = [spec.get("source_sha256"), *(task.get("source_sha256") for task in tasks)]
    return {*(spec.get("plugins") or {}).values(), *named}


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0002_source_approval"),
        ("training", "0001_initial"),
    ]

    operations = [migrations.RunPython(record, migrations.RunPython.noop)]
