"""Commands that call services: bad input is told as ``error: field: sentence``, with exit status 2."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TextIO

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand
from django.db import OperationalError, ProgrammingError
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typing_extensions import override

from acc.errors import AccError, InvalidInput
from acc.specs import Spec
from accsite.apps.audit.models import Via
from accsite.apps.audit.services import record
from accsite.apps.audit.trail import recording

SUCCEEDED, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class ServiceCommand(BaseCommand):
    """A command whose input is checked by a service; ``run`` returns the exit status, None for that of success."""

    requires_system_checks: list[str] = []  # they load every URL and form, which no command here needs
    out: TextIO
    """Where ``stdout`` writes to, as it is: Django's wrapper ends every write with a new line."""
    json: bool
    """Whether what is told is JSON."""
    actor: User | None
    """Who it acts as."""

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
        parser.add_argument("--user", help="act as this user (default: nobody in particular)")
        self.add_options(parser)

    def add_options(self, parser: ArgumentParser) -> None:
        """Declare what this command takes beside these."""

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        """Run, and exit with the status; bad input is told field by field."""
        self.out = options.get("stdout") or sys.stdout
        self.json = options["json"]
        if sys.stderr.isatty() and options.get("verbosity", 1) < 2:
            # People are told by the command itself what it did; -v 2 shows the log as well.
            logging.getLogger("accsite").setLevel(logging.WARNING)
        try:
            status = self._recorded(options)
        except InvalidInput as error:
            for name, messages in error.fields.items():
                for message in messages:
                    self.stderr.write(
                        f"error: {message}" if name == "__all__" else f"error: {name}: {message}"
                    )
            self.leave(BAD_INPUT)
        except (AccError, PermissionDenied) as error:
            self.stderr.write(f"error: {error}")
            self.leave(FAILED)
        except (OperationalError, ProgrammingError) as error:
            if options.get("traceback"):
                raise
            why = " ".join(str(error).split())
            self.stderr.write(f"error: the database refuses: {why}; `manage.py doctor` says what to do")
            self.leave(FAILED)
        except KeyboardInterrupt:
            self.leave(INTERRUPTED)
        except BrokenPipeError:  # what it is piped into, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FAILED)
        if status:
            self.leave(status)

    def _recorded(self, options: dict[str, Any]) -> int | None:
        self.actor = find_user(options["user"])
        with recording() as trail:
            status = self.run(**options)
        if trail.about:
            name = type(self).__module__.rpartition(".")[2].replace("_", " ")
            record(
                actor=self.actor,
                via=Via.COMMAND,
                action=trail.action or name,
                about=trail.about,
                detail=trail.detail,
            )
        return status

    def run(self, **options: Any) -> int | None:
        """Do the work and return the exit status."""
        raise NotImplementedError(f"{type(self).__name__} must define run(**options)")

    def leave(self, status: int) -> NoReturn:
        self.stdout.flush()
        sys.exit(status)

    def tell(self, data: Any, text: str) -> None:
        """Print what was done: ``data`` as JSON if that is asked for, else ``text``."""
        if self.json:
            self.print_json(data)
        else:
            self.stdout.write(text)

    def print_json(self, data: Any) -> None:
        """Print one object on a line of its own."""
        self.stdout.write(json.dumps(data, allow_nan=False, default=str))
        self.stdout.flush()

    def print_table(self, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a table on a terminal; anywhere else lines for ``cut`` and ``awk``: whole cells, tabs between."""
        if not self.out.isatty():
            for row in (headings, *rows):
                self.out.write("\t".join(" ".join(str(cell).split()) for cell in row) + "\n")
            return
        table = Table(*headings, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        Console(file=self.out).print(table)

    def print_lines(self, lines: Iterable[str]) -> None:
        """Print lines of rich's markup: in colour on a terminal, plain and never broken anywhere else."""
        console = Console(file=self.out, highlight=False, soft_wrap=not self.out.isatty())
        for line in lines:
            console.print(line)


def behind_verbs() -> ArgumentParser:
    """Return a parent for subcommands, which take ``--json`` and ``--user`` behind the verb as well."""
    parent = ArgumentParser(add_help=False)
    # SUPPRESS keeps what stood before the verb.
    parent.add_argument("--json", action="store_true", default=SUPPRESS, help="print JSON, one object a line")
    parent.add_argument("--user", default=SUPPRESS, help="act as this user (default: nobody in particular)")
    return parent


def find_user(name: str | None) -> User | None:
    """Return the active user with this name, None for no name; raises InvalidInput naming those there are."""
    if name is None:
        return None
    users = User.objects.filter(is_active=True)
    found = users.filter(username=name).first()
    if found is None:
        known = ", ".join(users.order_by("username").values_list("username", flat=True)[:20]) or "none"
        raise InvalidInput({"user": f"there is no active user {name!r}; users are: {known}"})
    return found


def add_spec_arguments(parser: ArgumentParser, spec: type[Spec]) -> None:
    """Add an option for each field of a specification, its default in the help; values are checked by the service."""
    group = parser.add_argument_group(f"what {spec.__name__} takes")
    for name, field in spec.model_fields.items():
        group.add_argument(f"--{name.replace('_', '-')}", dest=name, help=field_help(field))


def given(options: dict[str, Any], spec: type[Spec]) -> dict[str, Any]:
    """Return those fields of a specification that were given on the command line."""
    return {name: options[name] for name in spec.model_fields if options.get(name) is not None}


def parse_params(pairs: list[str]) -> dict[str, str]:
    """Return ``name=value`` pairs as a dict; raises InvalidInput for what is none."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInput({"param": f"{pair!r} is not NAME=VALUE, such as size=32"})
        found[name] = value
    return found


def field_help(field: FieldInfo) -> str:
    """Return what the help of an option says of a field: its label, help, and default, if it is not required."""
    told = [part for part in (field.title, field.description) if part]
    if field.is_required():
        return "; ".join([*told, "required"])
    default = field.default
    text = ",".join(default) if isinstance(default, tuple) else default
    return "; ".join([*told, f"default: {'none' if default is None else text}"])
