"""Tasks that do what a plugin should not, and one that takes its time."""

from __future__ import annotations

import hashlib
from typing import Any

from django.utils import timezone

from accsite.apps.registry.models import Plugin, PluginKind, PluginSource
from accsite.apps.training.services import tasks
from tests.stack import DATASET

PLUGIN = '''
import os, time
from acc.api import Task

class {name}(Task):
    """Does what a plugin should not."""

    def compute_loss(self, output, batch, head):
        {body}
        return output.mean.square().mean()

    def evaluate(self, output, batch, head):
        {measured}
        return {{}}
'''
PACE = {"TEST_PACE_SECONDS": "0.1"}
"""Environment of a worker in which each step of a paced job takes a tenth of a second; elsewhere it takes none."""


def odd_task(branch: Any, body: str, name: str = "Odd", *, measured: str = "pass") -> None:
    """Attach a task whose loss runs ``body`` and whose metrics run ``measured``, as if its file had been there."""
    text = PLUGIN.format(name=name, body=body, measured=measured)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    source, _ = PluginSource.objects.get_or_create(
        sha256=sha256,
        defaults={"path": f"tasks/{name.lower()}.py", "text": text, "on_disk_at": timezone.now()},
    )
    Plugin.objects.update_or_create(
        kind=PluginKind.TASK, name=name, defaults={"label": name, "source": source}
    )
    tasks.add_task(actor=None, branch=branch, task_class=name, dataset=DATASET)


def paced(branch: Any) -> Any:
    """Return ``branch`` with a task that makes its jobs last: as many tenths of a second as they have steps."""
    odd_task(branch, "time.sleep(float(os.environ.get('TEST_PACE_SECONDS', '0')))", name="Paced")
    return branch


def slow_to_measure(branch: Any) -> Any:
    """Return ``branch`` with a task whose metrics take ten minutes."""
    odd_task(branch, "pass", name="Endless", measured="time.sleep(600)")
    return branch
