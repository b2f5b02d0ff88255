"""``manage.py tasks list | add | weight | enable | ...``: the tasks of a branch from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import Model

from accsite.actions.commands import ActionCommand
from accsite.apps.jobs.models import Job, JobKind
from accsite.apps.registry import params
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training import selectors
from accsite.apps.training.api.serializers import TaskSerializer
from accsite.apps.training.models import Branch, Task
from accsite.apps.training.pages.jobs import reads
from accsite.apps.training.services import tasks
from accsite.cli import SUCCEEDED, parse_params
from accsite.numbers import exact


class Command(ActionCommand):
    """List and change the tasks of a branch; a running job applies each change between two steps."""

    help = "List, add and change the tasks of a branch, also while they are trained. Exit status 2 for bad input."
    on: ClassVar[type[Model]] = Task
    called: ClassVar[str] = "key or name"
    _plugin: Plugin | None = None

    def run_from_argv(self, argv: list[str]) -> None:
        """Find the class first, since its parameters are flags."""
        words = argv[argv.index("add") + 1 :] if "add" in argv else []
        found = (params.find(PluginKind.TASK, word) for word in words if not word.startswith("-"))
        self._plugin = next((plugin for plugin in found if plugin is not None), None)
        super().run_from_argv(argv)

    def behind_verb(self) -> ArgumentParser:
        common = super().behind_verb()
        common.add_argument("--experiment", required=True, help="slug or name")
        common.add_argument("--branch", default="main", help="slug or name (default: %(default)s)")
        return common

    def find(self, options: Mapping[str, Any]) -> Any:
        branch = selectors.find_branch(self.actor, options["experiment"], options["branch"])
        return selectors.find_task(branch, options["thing"], removed=None)

    def add_verbs(self, verbs: Any) -> None:
        common = self.behind_verb()
        listing = verbs.add_parser("list", parents=[common], help="the tasks in their order")
        listing.add_argument("--all", action="store_true", help="those that were removed as well")
        adding = verbs.add_parser("add", parents=[common], help="attach a task")
        adding.add_argument(
            "task_class",
            help="ClassificationTask, or classification; its parameters are flags: `add <class> --help`",
        )
        adding.add_argument("--dataset", required=True, help="slug")
        adding.add_argument("--name", default="", help="default: its target, or the label of its class")
        adding.add_argument("--weight", default="1", help="0 or more (default: %(default)s)")
        adding.add_argument("--disabled", action="store_true", help="attach it switched off")
        adding.add_argument("--factor", default="", help="read this factor only")
        adding.add_argument("--latent-slice", metavar="START:END", help="read this part of the latent only")
        adding.add_argument(
            "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter, the long way"
        )
        if self._plugin is not None:
            params.add_flags(adding, self._plugin)
        for verb, what in (
            ("weight", "set its weight"),
            ("enable", "switch it on"),
            ("disable", "switch it off"),
            ("remove", "take it off the branch"),
            ("restore", "undo its removal"),
            ("move", "put it at another place"),
        ):
            changing = verbs.add_parser(verb, parents=[common], help=what)
            changing.add_argument("task", help="key or name")
            if verb == "weight":
                changing.add_argument("weight", help="0 or more")
            if verb == "move":
                changing.add_argument("position", help="0 for the first; beyond the end: the last")

    def run_own(self, **options: Any) -> int:
        verb, actor = options["verb"], self.actor
        branch = selectors.find_branch(actor, options["experiment"], options["branch"])
        if verb == "list":
            self._list(branch, everything=options["all"])
            return SUCCEEDED
        task = add(actor, branch, options) if verb == "add" else change(actor, branch, verb, options)
        if self.json:
            self.print_json(TaskSerializer(task).data)
            return SUCCEEDED
        self.stdout.write(f"{task.key}: {describe(task)}")
        if verb != "move":
            training = Job.objects.active().filter(branch=branch, kind=JobKind.TRAIN).order_by("pk")
            for pk in training.values_list("pk", flat=True):
                self.stdout.write(f"job {pk} was told; `manage.py jobs show {pk}` shows it")
        return SUCCEEDED

    def _list(self, branch: Branch, *, everything: bool) -> None:
        rows = selectors.with_source_removed(branch.tasks.select_related("dataset"))
        rows = rows if everything else rows.filter(removed_at=None)
        if self.json:
            for task in rows:
                self.print_json(TaskSerializer(task).data)
            return
        cells = []
        for task in rows:
            gone = " (source removed)" if selectors.source_removed(task) else ""
            part = reads(task) or "whole latent"
            cells.append(
                (task.key, task.name, task.task_class + gone, task.dataset.slug, part, describe(task))
            )
        if cells:
            self.print_table(("Key", "Name", "Class", "Dataset", "Reads", "State"), cells)
        else:
            self.stdout.write(f"{branch} has no tasks")


def add(actor: Any, branch: Branch, options: dict[str, Any]) -> Task:
    """Return the task that the options describe, attached."""
    plugin = params.find(PluginKind.TASK, options["task_class"])
    return tasks.add_task(
        actor=actor,
        branch=branch,
        task_class=plugin.name if plugin else options["task_class"],
        dataset=options["dataset"],
        name=options["name"],
        weight=options["weight"],
        enabled=not options["disabled"],
        latent_slice=options["latent_slice"],
        factor=options["factor"],
        params={**params.given(options), **parse_params(options["param"])},
    )


def change(actor: Any, branch: Branch, verb: str, options: dict[str, Any]) -> Task:
    """Return the task, changed as its verb says."""
    task = selectors.find_task(branch, options["task"], removed=verb == "restore")
    if verb == "weight":
        return tasks.set_weight(actor=actor, task=task, weight=options["weight"])
    if verb in {"enable", "disable"}:
        return tasks.set_enabled(actor=actor, task=task, enabled=verb == "enable")
    if verb == "remove":
        return tasks.remove_task(actor=actor, task=task)
    if verb == "restore":
        return tasks.restore_task(actor=actor, task=task)
    return tasks.move_task(task=task, position=options["position"])


def describe(task: Task) -> str:
    """Return the place, switch and weight of a task in words."""
    if task.removed_at is not None:
        return "removed"
    return f"{'on' if task.enabled else 'off'}, weight {exact(task.weight)}, position {task.position}"
