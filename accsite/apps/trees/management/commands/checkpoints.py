"""``manage.py checkpoints [list | show | model | tag | star | load | delete | restore]``: trees from a shell."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model

from accsite.actions import perform
from accsite.actions.commands import ActionCommand
from accsite.apps.training.actions.load_checkpoint import LoadCheckpoint
from accsite.apps.training.models import Checkpoint, Experiment
from accsite.apps.training.selectors.jobs import find_branch, find_experiment
from accsite.apps.trees import selectors
from accsite.apps.trees.actions.delete_checkpoint import DeleteCheckpoint
from accsite.apps.trees.actions.mark_checkpoint import MarkCheckpoint
from accsite.apps.trees.actions.restore_checkpoints import RestoreCheckpoints
from accsite.apps.trees.pages import drawing
from accsite.apps.trees.selectors.models import describe_checkpoint
from accsite.cli import SUCCEEDED, behind_verbs

VERBS = {
    "list": "those of an experiment",
    "show": "one of them, with what made it",
    "model": "what its model is made of, layer by layer",
    "tag": "give it a tag; an empty one takes it off",
    "note": "write a note",
    "star": "keep it from pruning",
    "unstar": "take the star off",
    "load": "make it the head of a branch",
    "delete": "delete it; can be undone",
    "restore": "undo a deletion in an experiment",
}
VALUES = {"tag": "tag", "note": "text", "load": "slug or name of a branch", "restore": "deletion"}


class Command(ActionCommand):
    """List, show, mark, load, delete and restore checkpoints, and act on them."""

    help = "What can be done to the checkpoints of an experiment. Exit status 2 for bad input."
    on: ClassVar[type[Model]] = Checkpoint
    called: ClassVar[str] = "id or tag"

    def add_verbs(self, verbs: Any) -> None:
        for verb, what in VERBS.items():
            parser = verbs.add_parser(verb, parents=[behind_verbs()], help=what)
            if verb in ("list", "restore"):
                parser.add_argument("what", metavar="experiment", help="its slug or name")
            else:
                parser.add_argument("what", metavar="checkpoint", help=self.called)
            if verb in VALUES:
                parser.add_argument("value", nargs="?", default="", help=VALUES[verb])
            if verb == "delete":
                parser.add_argument(
                    "--subtree", action="store_true", help="also everything that grew from it"
                )

    def run_own(self, **options: Any) -> int:
        actor, verb, value = self.actor, options["verb"], options.get("value", "")
        if verb in ("list", "restore"):
            experiment = find_experiment(actor, options["what"])
            if verb == "list":
                self._list(experiment)
            else:
                rows = perform(RestoreCheckpoints, actor=actor, thing=experiment, data={"deletion": value})
                self._say({"restored": sorted(row.pk for row in rows)})
            return SUCCEEDED
        checkpoint = selectors.find_checkpoint_named(actor, options["what"])
        if verb == "show":
            self._show(checkpoint)
        elif verb == "model":
            self._model(checkpoint)
        elif verb == "load":
            branch = find_branch(actor, checkpoint.experiment.slug, value)
            perform(LoadCheckpoint, actor=actor, thing=branch, data={"checkpoint": checkpoint.pk})
            self._say({"branch": branch.slug, "head": checkpoint.pk})
        elif verb == "delete":
            asked = {"subtree": options["subtree"]}
            made = perform(DeleteCheckpoint, actor=actor, thing=checkpoint, data=asked)
            fields = {"deletion": str(made.id), "deleted": list(made.checkpoints), "bytes": made.bytes}
            self._say({**fields, "undo_until": made.undo_until.isoformat()})
        else:
            changes = {verb: value} if verb in MarkCheckpoint.model_fields else {"starred": verb == "star"}
            perform(MarkCheckpoint, actor=actor, thing=checkpoint, data=changes)
            self._say({"checkpoint": checkpoint.pk, **changes})
        return SUCCEEDED

    def _list(self, experiment: Experiment) -> None:
        found = selectors.tree(experiment)
        names = {branch.pk: branch.slug for branch in found.branches}
        if self.json:
            for node in found.nodes:
                self.print_json({**node._asdict(), "branch": names[node.branch]})
            return
        rows = []
        for node in found.nodes:
            tag = node.tag + (" *" if node.starred else "")
            loss = f"{node.value:.4g}" if node.value is not None else ""
            rows.append((node.id, node.parent or "", names[node.branch], node.step, node.kind, loss, tag))
        self.print_table(("Id", "Parent", "Branch", "Step", "Kind", "Loss", "Tag"), rows)

    def _show(self, checkpoint: Checkpoint) -> None:
        detail = selectors.checkpoint_detail(checkpoint)
        if self.json:
            self.print_json(detail)
            return
        told = {
            "experiment": detail["experiment"],
            "branch slug": detail["branch_slug"],
            "parent": detail["parent"],
            "kind": detail["kind"],
            "step": detail["step"],
            "tag": detail["tag"],
            "note": detail["note"],
            "sha256": detail["sha256"],
            "needed": detail["needed"],
        }
        for name, value in told.items():
            if value not in (None, ""):
                self.stdout.write(f"{name:12} {value}")
        for name, number in detail["metrics"].items():
            self.stdout.write(f"{'':12} {name} {number:.5g}")
        for part, changed in detail["difference"].items() if detail["parent"] else ():
            self.stdout.write(f"{'changed':12} {part}: {changed}")

    def _model(self, checkpoint: Checkpoint) -> None:
        found = describe_checkpoint(checkpoint, who="command")
        if self.json:
            self.print_json(found.model_dump(mode="json"))
            return
        rows = [
            (
                row.layer.name or row.layer.kind,
                f"{row.layer.kind} {row.layer.detail}".strip(),
                row.part,
                " x ".join(str(side) for side in row.layer.shape),
                row.group,
                row.layer.repeats,
                f"{row.parameters:,}",
            )
            for row in drawing.rows(found)
        ]
        total = ("the whole model", found.architecture, "", "", "", "", f"{found.parameters:,}")
        self.print_table(("Layer", "Kind", "Part", "Gives", "Latent", "Times", "Parameters"), [*rows, total])

    def _say(self, fields: dict[str, Any]) -> None:
        self.tell(fields, "; ".join(f"{name} {value}" for name, value in fields.items()))
