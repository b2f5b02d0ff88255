"""Who may do what: the roles, and one function for each question.

Other apps register how their objects are asked about, so that this one knows none of them. The API asks by
``accsite.api.permissions``, pages by ``accsite.apps.access.middleware``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from django.db.models.signals import m2m_changed
from django.dispatch import receiver
from django.http import Http404

Rule = Callable[[Any, Any], bool]
PageObject = Callable[[Any, str, Mapping[str, Any]], Model | None]


class Role(StrEnum):
    """What somebody is here for; each is the name of a group, and one may have several."""

    VIEWER = "viewer"  # reads whatever is visible
    RESEARCHER = "researcher"  # makes and changes experiments and datasets
    OPERATOR = "operator"  # workers, the order of queues, and the jobs in them
    ADMINISTRATOR = "administrator"  # everything, also what is private


_rules: dict[type[Model], Rule] = {}
_pages: dict[str, PageObject] = {}


def roles_of(user: Any) -> frozenset[Role]:
    """Return the roles of a user: superusers have all, staff operates, those of no group have ACC_DEFAULT_ROLE.

    They are read once for each user object.
    """
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset(Role)
    known: frozenset[Role] | None = getattr(user, "_roles", None)
    if known is None:
        names = user.groups.filter(name__in=list(Role)).values_list("name", flat=True)
        found = {Role(name) for name in names} or {Role(settings.ACC_DEFAULT_ROLE)}
        if user.is_staff:
            found.add(Role.OPERATOR)
        known = frozenset(Role) if Role.ADMINISTRATOR in found else frozenset(found)
        user._roles = known
    return known


@receiver(m2m_changed, sender=User.groups.through)
def _forget_roles(instance: Any, **_: Any) -> None:
    instance.__dict__.pop("_roles", None)


def is_administrator(user: Any) -> bool:
    """Return whether a user may do everything and see what is private."""
    return Role.ADMINISTRATOR in roles_of(user)


def may_write(user: Any) -> bool:
    """Return whether a user may make experiments and datasets, and change those that are open to them."""
    return Role.RESEARCHER in roles_of(user)


def may_operate(user: Any) -> bool:
    """Return whether a user may drain workers, order queues and stop jobs."""
    return Role.OPERATOR in roles_of(user)


def register(model: type[Model], rule: Rule) -> None:
    """Let ``rule(user, object)`` say who may change objects of a model; without one, whoever may write."""
    _rules[model] = rule


def may_steer(user: Any, model: type[Model] | None) -> bool:
    """Return whether an operator may turn out to be allowed to change an object of this model: it has a rule."""
    return may_operate(user) and model in _rules


def may_change(user: Any, thing: Any) -> bool:
    """Return whether a user may change an object that they can see."""
    rule = _rules.get(type(thing))
    return is_administrator(user) or (may_write(user) if rule is None else rule(user, thing))


def register_pages(namespace: str, find: PageObject) -> None:
    """Let ``find(user, url name, its arguments)`` return what a page of ``namespace`` is about, None for nothing.

    It raises Http404 for what the user may not see.
    """
    _pages[namespace] = find


def numbered(rows: Callable[[Any, str], QuerySet[Any]]) -> PageObject:
    """Return what finds the row that ``pk`` in the address of a page names; None where it names none.

    rows: of a user and the name of the address, what that user sees. Raises Http404 for anything else, so that
    nothing tells that it exists.
    """

    def find(user: Any, name: str, arguments: Mapping[str, Any]) -> Model | None:
        if "pk" not in arguments:
            return None
        found: Model | None = rows(user, name).filter(pk=arguments["pk"]).first()
        if found is None:
            raise Http404(f"there is nothing at this address, or you may not see it: {dict(arguments)}")
        return found

    return find


def may_post(user: Any, namespace: str, name: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether a user may send a form to a page."""
    find = _pages.get(namespace)
    thing = find(user, name, arguments) if find is not None else None
    return may_write(user) if thing is None else may_change(user, thing)
