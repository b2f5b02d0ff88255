"""Actions in a shell: ``manage.py <objects> <verb> <object> --field value``."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any, ClassVar

from django.db.models import Model
from pydantic.fields import FieldInfo

from accsite.actions import ActionType, actions_on, paragraphs, perform, summary, things_of, words
from accsite.apps.jobs.following import follow
from accsite.apps.jobs.models import Job
from accsite.cli import SUCCEEDED, ServiceCommand, behind_verbs, field_help


class ActionCommand(ServiceCommand):
    """A command whose verbs are the actions on the objects of a model, and those of its own that ``verbs`` adds."""

    on: ClassVar[type[Model]]
    called: ClassVar[str] = "id"
    """How an object is called in a shell."""
    own: ClassVar[tuple[str, ...]] = ()
    """Verbs of its own that share their options with all, the first of which is meant where none is named.

    None: each verb has options of its own.
    """
    typed: ClassVar[type] = str
    """Of how an object is called, where options are shared."""
    behind: ClassVar[tuple[str, ...]] = ()
    """Fields that stand behind the object, without an option's name."""
    also: ClassVar[Mapping[str, str]] = {}
    """Fields -> another option for it."""

    def add_options(self, parser: ArgumentParser) -> None:
        """Declare a verb for each action, and for each of its fields an option."""
        if self.own:
            self._add_shared(parser)
            return
        verbs = parser.add_subparsers(dest="verb", required=True)
        self.add_verbs(verbs)
        for kind in actions_on(self.on):
            about = " ".join(paragraphs(kind))
            added = verbs.add_parser(
                kind.verb, parents=[self.behind_verb()], help=summary(kind), description=about
            )
            self.add_fields(added, kind)

    def behind_verb(self) -> ArgumentParser:
        """Return what every verb takes."""
        return behind_verbs()

    def add_verbs(self, verbs: Any) -> None:
        """Declare the verbs that are no actions."""

    def _add_shared(self, parser: ArgumentParser) -> None:
        kinds = actions_on(self.on)
        verbs = list(dict.fromkeys([*self.own, *(kind.verb for kind in kinds)]))
        parser.add_argument("verb", nargs="?", choices=verbs, default=self.own[0])
        parser.add_argument(
            "thing", nargs="?", type=self.typed, metavar=things_of(self.on).name, help=self.called
        )
        self.add_verbs(parser)
        for kind in kinds:
            self._add_options_of(parser, kind)

    def add_fields(self, parser: ArgumentParser, kind: ActionType) -> None:
        """Declare what an action asks."""
        parser.add_argument("thing", metavar=things_of(kind.on).name, help=self.called)
        self._add_options_of(parser, kind)

    def _add_options_of(self, parser: ArgumentParser, kind: ActionType) -> None:
        if kind.makes is Job:
            self._add(parser, "--follow", action="store_true", help="wait until it is done")
        for name, field in kind.model_fields.items():
            told = field_help(field)
            if name in self.behind:
                self._add(parser, name, help=told)
            elif _is_switch(field):
                self._add(parser, _flag(name), dest=name, action="store_true", default=None, help=told)
            else:
                flags = [self.also[name]] if name in self.also else []
                self._add(parser, _flag(name), *flags, dest=name, help=told)

    def _add(self, parser: ArgumentParser, *names: str, **how: Any) -> None:
        # Where verbs share their options, two may ask the same.
        with suppress(ArgumentError) if self.own else nullcontext():
            parser.add_argument(*names, **how)

    def run(self, **options: Any) -> int:
        """Do it, and tell what came of it."""
        kind = next((each for each in actions_on(self.on) if each.verb == options["verb"]), None)
        return self.run_own(**options) if kind is None else self.act(kind, options)

    def run_own(self, **options: Any) -> int:
        """Do what a verb of its own says, and return the exit status."""
        raise NotImplementedError(f"{type(self).__name__} must define run_own(**options)")

    def act(self, kind: ActionType, options: dict[str, Any]) -> int:
        """Run an action, and tell what came of it."""
        thing = self.find(options)
        given = {name: options[name] for name in kind.model_fields if options[name] is not None}
        row = perform(kind, actor=self.actor, thing=thing, data=given)
        if kind.makes is Job and options.get("follow"):
            stop = options.get("stop_on_interrupt", False)
            return follow(row, out=self.out, as_json=self.json, stop_on_interrupt=stop)
        self.told(kind, thing, row)
        return SUCCEEDED

    def find(self, options: Mapping[str, Any]) -> Any:
        """Return the object that is named; raises InvalidInput."""
        return things_of(self.on).find(self.actor, str(options["thing"]))

    def told(self, kind: ActionType, thing: Any, row: Any) -> None:
        """Tell what an action made or changed."""
        if kind.ends:
            said = words(kind, thing, row)
            self.tell({"said": said}, said)
        elif self.json:
            row.refresh_from_db()
            self.print_json(self.as_json(row))
        else:
            self.stdout.write(things_of(type(row)).line(row))

    def as_json(self, made: Any) -> Any:
        """Return what came of an action, as the API tells it."""
        _, as_json = things_of(type(made)).answer()
        return as_json(made)


class OneActionCommand(ActionCommand):
    """A command that is one action: ``manage.py <verb> <object>``."""

    action: ClassVar[ActionType]

    def __init_subclass__(cls) -> None:
        cls.on = cls.action.on

    def add_options(self, parser: ArgumentParser) -> None:
        self.add_fields(parser, self.action)

    def run(self, **options: Any) -> int:
        return self.act(self.action, options)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_switch(field: FieldInfo) -> bool:
    return field.annotation is bool
