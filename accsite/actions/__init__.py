"""What can be done to an object, each defined once; every face of it is made of the definition.

An app keeps its actions in ``actions/``, one file each, where they are found by themselves. From one come the form on
the page of the object (``pages``), the operation of the API with its schema (``api``), the verb of a command
(``commands``), the action of the admin (``admin``), what is copied for a shell, and the entry of the command palette.
All of them go through one door, ``perform``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from pydantic import PrivateAttr

from acc.specs import Spec, parse
from accsite.apps.access.permissions import may_change
from accsite.apps.audit.trail import done
from accsite.errors import WrongState

Choices = Sequence[tuple[str, str]]
NOT_ALLOWED = "your role, or what was shared with you, lets you look but not change"


class Action(Spec):
    """One thing that can be done to an object; its fields are what is asked, its docstring says what it does.

    A field's ``title`` and ``description`` are its label and the help beside it. ``said`` may name ``{made}`` and
    ``{thing}``.
    """

    on: ClassVar[type[Model]]
    """What it is done to."""
    makes: ClassVar[type[Model] | None] = None
    """What comes of it; None: the object is changed, and is the answer. Another answer says that nothing was made."""
    ends: ClassVar[bool] = False
    """Whether the object is gone then, so that nothing is the answer. It needs a ``button``, on a page that stays."""
    button: ClassVar[str] = ""
    """Name of the address of a page that has a button of its own for it; empty: it stands among the others."""
    in_a_list: ClassVar[str] = ""
    """What a list of the admin calls it, if not as its button says."""
    done_to: ClassVar[str] = ""
    """What such a list says behind the number of those to which it was done, if not its label."""
    not_allowed: ClassVar[str] = NOT_ALLOWED
    """The sentence for those who may not."""
    verb: ClassVar[str]
    """The last part of its addresses, its verb in the shell and its method in the client."""
    label: ClassVar[str] = ""
    """What its button says. Empty: its faces are not made of it; those that there are have buttons, addresses and
    verbs of their own, and call ``perform``."""
    said: ClassVar[str] = ""
    """The sentence that tells that it is done; empty where what is shown says it."""

    _key: str | None = PrivateAttr(None)

    @property
    def key(self) -> str | None:
        """The idempotency key that came with the request; actions that make a job hand it to their service."""
        return self._key

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were given; what was left out stays as it is."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @classmethod
    def may(cls, user: Any, thing: Any) -> bool:
        """Return whether a user who sees the object may do this to it."""
        return may_change(user, thing)

    @classmethod
    def possible(cls, thing: Any) -> str:  # noqa: ARG003
        """Return in a sentence why it cannot be done to the object as it is now; empty if it can."""
        return ""

    @classmethod
    def choices(cls, thing: Any) -> Mapping[str, Choices]:  # noqa: ARG003
        """Return (value, words) of what a form offers for this object, by field."""
        return {}

    @classmethod
    def suggested(cls, thing: Any) -> Mapping[str, Any]:  # noqa: ARG003
        """Return what the fields of a form hold at first, where it is not their default."""
        return {}

    def run(self, actor: Any, thing: Any) -> Any:
        """Call the service, and return what it made or changed."""
        raise NotImplementedError(f"{type(self).__name__} must define run(actor, thing)")


ActionType = type[Action]


@dataclass(frozen=True)
class Things:
    """What the faces of actions need to know of the objects of a model; their app tells it once."""

    model: type[Model]
    namespace: str
    """Of the addresses of its pages."""
    plural: str
    """In addresses, in the API, and as the name of the command, if that has no other."""
    seen_by: Callable[[Any], QuerySet[Any]]
    """user -> the rows that they may see."""
    find: Callable[[Any, str], Any]
    """user (None: nobody in particular), what a shell calls it -> the row; raises InvalidInput."""
    word: Callable[[Any], str]
    """row -> what a shell calls it."""
    page: Callable[[Any], str]
    """row -> the address of its page."""
    answer: Callable[[], tuple[Any, Callable[[Any], Any]]]
    """() -> the schema of a row in the API, and what makes a row into JSON; it is imported when it is needed."""
    show: Callable[[HttpRequest, Any, int, dict[str, Any]], HttpResponse] | None = None
    """request, row, status, and what is to be told (``said``, ``where``, ``asked``) -> the answer to a form.

    None: the place of its actions alone, which the tag ``{% actions row %}`` puts on a page.
    """
    fresh: Callable[[Any], tuple[str, str]] | None = None
    """row -> where the place of its actions is fetched anew, and the topic that tells when; None: it stays as it is."""
    among_others: bool = False
    """Whether it has no page of its own, but a row among others on one."""
    only_possible: bool = False
    """Whether its page leaves out what cannot be done to it as it is now, rather than say why."""
    address: str = "<int:pk>"
    """How an address names one: a converter of Django's and a field."""
    called: str = ""
    """What the names of its addresses begin with, where it is not the name of the model."""
    command: str = ""
    """The command whose verbs are its actions, where it is not called as the plural is."""
    where: Callable[[Any], Sequence[str]] = lambda _row: ()
    """row -> options of the command that say where it is, where its word alone does not."""
    line: Callable[[Any], str] = str
    """row -> what a shell is told of one that was made or changed."""

    @property
    def name(self) -> str:
        """The model in one word, such as ``branch``: addresses and the audit log begin with it."""
        return self.called or str(self.model._meta.model_name)

    @property
    def field(self) -> str:
        """The field by which addresses name one, such as ``pk``."""
        return self.address.rpartition(":")[2].rstrip(">")

    def key(self, row: Any) -> Any:
        """Return what an address names a row by."""
        return getattr(row, self.field)

    @property
    def in_manage(self) -> str:
        """The command of ``manage.py`` whose verbs are its actions."""
        return self.command or self.plural

    def in_a_shell(self, verb: str, row: Any) -> list[str]:
        """Return the words that do it from a shell."""
        return [self.in_manage, verb, self.word(row), *self.where(row)]


def serialized(path: str) -> Callable[[], tuple[Any, Callable[[Any], Any]]]:
    """Return an ``answer`` by a serializer; ``path``: where it is, since it is imported when it is needed."""

    def answer() -> tuple[Any, Callable[[Any], Any]]:
        serializer = import_string(path)
        return serializer, lambda row: serializer(row).data

    return answer


_things: dict[type[Model], Things] = {}


def register(*things: Things) -> None:
    """Let the objects of these models have actions."""
    _things.update({each.model: each for each in things})


def registered() -> tuple[Things, ...]:
    """Return what is known of all objects that can have actions."""
    return tuple(_things.values())


def things_of(model: type[Model]) -> Things:
    """Return what is known of the objects of a model; raises LookupError for one that no app has told of."""
    if model not in _things:
        raise LookupError(f"no app has registered {model.__name__} with accsite.actions")
    return _things[model]


@cache
def every() -> tuple[ActionType, ...]:
    """Return the actions whose faces are made of them, in the order of their files; the apps must be ready."""
    found: list[ActionType] = []
    for config in apps.get_app_configs():
        package = f"{config.name}.actions"
        if not config.name.startswith("accsite.") or find_spec(package) is None:
            continue
        for module in pkgutil.iter_modules(import_module(package).__path__):
            members = vars(import_module(f"{package}.{module.name}")).values()
            found += [
                each
                for each in members
                if isinstance(each, type)
                and issubclass(each, Action)
                and each.label
                and each.__module__ == f"{package}.{module.name}"
            ]
    return tuple(found)


def actions_on(model: type[Model]) -> tuple[ActionType, ...]:
    return tuple(kind for kind in every() if kind.on is model)


def summary(kind: ActionType) -> str:
    """Return in a sentence what an action does."""
    return paragraphs(kind)[0]


def paragraphs(kind: ActionType) -> list[str]:
    """Return what an action does, and what is to be known of it, one paragraph each."""
    return [" ".join(part.split()) for part in (kind.__doc__ or "").split("\n\n")]


def perform(
    kind: ActionType, *, actor: Any, thing: Any, data: Mapping[str, Any], key: str | None = None
) -> Any:
    """Do it, and return what was made or changed. Whatever is asked of an action, by whom and where, comes by here.

    ``actor``: None for nobody in particular, from a shell. Raises PermissionDenied, InvalidInput naming each wrong
    field, and WrongState when it cannot be done to the object as it is.
    """
    if actor is not None and not kind.may(actor, thing):
        raise PermissionDenied(kind.not_allowed)
    why_not = kind.possible(thing)
    if why_not:
        raise WrongState({"__all__": why_not})
    asked: Action = parse(kind, dict(data))
    asked._key = key
    name, pk = things_of(kind.on).name, thing.pk  # it has no number when it is gone
    made = asked.run(actor, thing)
    if kind.makes is None or isinstance(
        made, kind.makes
    ):  # else there was nothing to be made, and nothing is done
        done(f"{name} {kind.verb}", f"{name}:{pk}")
    return made


def words(kind: ActionType, thing: Any, made: Any) -> str:
    """Return the sentence that tells that an action is done."""
    return kind.said.format(thing=thing, made=made)


def place(kind: ActionType, made: Any) -> str:
    """Return the address of the page of what an action made; empty if it made nothing."""
    return "" if kind.makes is None else things_of(kind.makes).page(made)
