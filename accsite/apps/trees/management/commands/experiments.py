"""``manage.py experiments list | create``: the experiments, and what can be done to one, from a shell."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

from django.db.models import Count, Model, Q

from accsite.actions.commands import ActionCommand
from accsite.apps.datasets import selectors as datasets
from accsite.apps.registry import params
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.apps.training.models import Experiment, Visibility
from accsite.apps.training.selectors.jobs import seen_experiments
from accsite.apps.training.services.beginnings import begin_experiment
from accsite.apps.training.specs import dataset_spec
from accsite.apps.trees.api.serializers import ExperimentSerializer
from accsite.cli import SUCCEEDED, behind_verbs


class Command(ActionCommand):
    """List experiments and act on them."""

    help = "List experiments, or act on one. Exit status: 0 done, 1 not allowed, 2 bad input."
    on: ClassVar[type[Model]] = Experiment
    called: ClassVar[str] = "slug or name"
    _method: Plugin | None = None

    def add_verbs(self, verbs: Any) -> None:
        verbs.add_parser("list", parents=[behind_verbs()], help="all of them, by name")
        making = verbs.add_parser(
            "create", parents=[behind_verbs()], help="make one for a dataset, by a method"
        )
        making.add_argument("name", help="of the experiment")
        making.add_argument("--dataset", required=True, help="slug")
        making.add_argument(
            "--method",
            default="",
            help="beta_vae, or another of `plugins list --kind method`; its parameters are flags",
        )
        making.add_argument("--architecture", help="in place of the method's")
        making.add_argument("--latent-dim", type=int, help="in place of the method's")
        making.add_argument("--seed", type=int, help="of the first weights and the held-out rows")
        making.add_argument(
            "--visibility", default=Visibility.SITE, choices=Visibility.values, help="who may see it"
        )
        if self._method is not None:
            params.add_flags(making, self._method)

    def run_from_argv(self, argv: list[str]) -> None:
        """Find the method first, since its parameters are flags."""
        named = [word.partition("=")[2] for word in argv if word.startswith("--method=")]
        named += [after for word, after in pairwise(argv) if word == "--method"]
        self._method = params.find(PluginKind.METHOD, named[0]) if named else None
        super().run_from_argv(argv)

    def run_own(self, **options: Any) -> int:
        """List them, with what has grown from each, or make one."""
        return self._create(options) if options["verb"] == "create" else self._list()

    def _create(self, options: dict[str, Any]) -> int:
        dataset = datasets.get(options["dataset"])
        asked = {name: options[name] for name in ("architecture", "latent_dim", "seed")}
        model = {name: value for name, value in asked.items() if value is not None}
        if not options["method"]:
            model = {"image": dataset_spec(dataset).image.model_dump(), **model}
        made = begin_experiment(
            actor=self.actor,
            name=options["name"],
            dataset=dataset,
            model=model,
            visibility=options["visibility"],
            method=options["method"],
            method_params=params.given(options),
        )
        if self.json:
            self.print_json(ExperimentSerializer(made).data)
        else:
            tasks = ", ".join(task.name for task in made.branches.get().tasks.order_by("position"))
            self.stdout.write(f"{made.slug}: {made.model_spec['architecture']} with {tasks}")
            self.stdout.write(f"`manage.py train --experiment {made.slug} --steps 2000` trains it")
        return SUCCEEDED

    def _list(self) -> int:
        rows = seen_experiments(self.actor).select_related("owner").order_by("name")
        if self.json:
            for row in rows.prefetch_related("branches"):
                self.print_json(ExperimentSerializer(row).data)
            return SUCCEEDED
        counted = rows.annotate(
            branch_count=Count("branches", distinct=True),
            node_count=Count("checkpoints", filter=Q(checkpoints__deleted_at=None), distinct=True),
        )
        self.print_table(
            ("Address", "Name", "Owner", "Seen by", "Branches", "Checkpoints"),
            [
                (
                    row.slug,
                    row.name,
                    row.owner or "",
                    row.get_visibility_display(),
                    row.branch_count,
                    row.node_count,
                )
                for row in counted
            ],
        )
        return SUCCEEDED
