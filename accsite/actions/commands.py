"""Actions in a shell: ``manage.py <objects> <verb> <object> --field value``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from pydantic.fields import FieldInfo
from typing_extensions import override

from acc.errors import AccError
from accsite.actions import Kind, actions_on, paragraphs, perform, summary, things_of
from accsite.cli import SUCCEEDED, ServiceCommand, behind_verbs, field_help, find_user


class ActionCommand(ServiceCommand):
    """A command whose verbs are the actions on the objects of a model."""

    on: ClassVar[type[Model]]
    called: ClassVar[str] = "id"
    """How an object is called in a shell."""

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare a verb for each action, and for each of its fields an option."""
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True)
        self.add_actions(verbs)

    def add_actions(self, verbs: Any) -> None:
        """Add the actions to the verbs of a command that has others, too."""
        for kind in actions_on(self.on):
            about = " ".join(paragraphs(kind))
            parser = verbs.add_parser(
                kind.verb, parents=[behind_verbs()], help=summary(kind), description=about
            )
            parser.add_argument("thing", metavar=things_of(self.on).name, help=self.called)
            for name, field in kind.model_fields.items():
                _add_option(parser, name, field)

    @override
    def run(self, **options: Any) -> int:
        """Do it, and tell what came of it."""
        kind = next(each for each in actions_on(self.on) if each.verb == options["verb"])
        return self.act(kind, **options)

    def act(self, kind: Kind, **options: Any) -> int:
        """Run an action."""
        actor, things = find_user(options["user"]), things_of(kind.on)
        thing = things.find(actor, options["thing"])
        given = {name: options[name] for name in kind.model_fields if options.get(name) is not None}
        try:
            row = perform(kind, actor=actor, thing=thing, data=given)
        except PermissionDenied as error:
            raise AccError(str(error)) from None
        made = things_of(kind.makes or kind.on)
        if options["json"]:
            _, as_json = made.answer()
            row.refresh_from_db()
            self.print_json(as_json(row))
        else:
            self.stdout.write(made.line(row))
        return SUCCEEDED


def _add_option(parser: ArgumentParser, name: str, field: FieldInfo) -> None:
    flag = f"--{name.replace('_', '-')}"
    told = "; ".join(part for part in (field.title, field.description) if part) or field_help(field)
    if field.annotation is bool:
        parser.add_argument(flag, action="store_true", default=None, help=told)
    else:
        parser.add_argument(flag, dest=name, help=told)
