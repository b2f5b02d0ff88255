"""What every list of the admin is made of: rows that only services write, badges, links, and actions that report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar, cast

from django.contrib import admin, messages
from django.contrib.admin.filters import RelatedFieldListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from typing_extensions import override
from unfold.admin import ModelAdmin, TabularInline

from acc.errors import InvalidInput
from accsite.apps.access.permissions import may_change

F = TypeVar("F", bound=Callable[..., Any])
Column = Callable[[Any, Any], Any]
LINK = "text-primary-600 dark:text-primary-500"
"""Classes of the theme's own links."""
NOTHING = mark_safe("–")  # noqa: RUF001 - a dash of our own
MOST_JSON = 20_000


def badge(tones: Mapping[str, str]) -> Callable[[F], F]:
    """Show what a column returns, value or (value, text), as a badge; ``tones``: value -> tone of the theme."""

    def decorate(function: F) -> F:
        @wraps(function)
        def labelled(*arguments: Any) -> Any:
            found = function(*arguments)
            return Labelled(found) if isinstance(found, tuple) else found

        labelled.label = dict(tones)  # type: ignore[attr-defined]
        return cast(F, labelled)

    return decorate


class Labelled(tuple[str, str]):
    """Value and text of a badge; where the theme has none for a single row, it reads as its text."""

    def __str__(self) -> str:
        return self[1]


def column(show: Callable[[Any], Any], description: str, ordering: str | None = None) -> Column:
    """Return a column that shows ``show(row)``."""

    @admin.display(description=description, ordering=ordering)
    def shown(_admin: Any, row: Any) -> Any:
        return show(row)

    return shown


def rounded(field: str) -> Column:
    """Return a column that shows a number with four digits."""

    def show(row: Any) -> str:
        value = getattr(row, field)
        return NOTHING if value is None else f"{value:.4g}"

    return column(show, field, field)


def linked(field: str, description: str = "", ordering: str | None = None) -> Column:
    """Return a column that leads to the row which ``field`` names; without ``description`` it is called as that is."""
    return column(lambda row: link(getattr(row, field)), description or field, ordering)


def as_json(field: str, description: str = "") -> Column:
    """Return a column that shows JSON, laid out."""
    return column(lambda row: pretty(getattr(row, field)), description or field)


def as_text(field: str, description: str = "") -> Column:
    """Return a column that shows a text as it was written."""
    return column(lambda row: plain(getattr(row, field)), description or field)


def badged(field: str, tones: Mapping[str, str], description: str = "") -> Column:
    """Return a column that shows a value as a badge."""
    return badge(tones)(column(attrgetter(field), description or field, field))


def each_row(description: str, done: str, change: Callable[[Any, Any], Any]) -> Callable[..., None]:
    """Return an action that calls ``change(user, row)`` with each row that the user may change."""

    @admin.action(description=description)
    def act(kept: KeptAdmin, request: HttpRequest, rows: Iterable[Any]) -> None:
        kept.each(request, rows, done, lambda row: change(request.user, row))

    return act


def counted(count: int, one: str, many: str = "") -> str:
    """Return such as ``1 branch`` or ``2 branches``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def link(row: Model | None, text: str = "") -> SafeString:
    """Return a link to a row's page in the admin; a dash for none."""
    if row is None:
        return NOTHING
    meta = row._meta
    where = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}" class="{}">{}</a>', where, LINK, text or str(row))


def link_to_list(model: type[Model], text: str, **filters: Any) -> SafeString:
    """Return a link to the list of a model's rows that pass the filters."""
    meta = model._meta
    where = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return format_html('<a href="{}?{}" class="{}">{}</a>', where, urlencode(filters), LINK, text)


def lines(parts: Iterable[SafeString]) -> SafeString:
    """Return parts one below the other; a dash for none."""
    return format_html_join(mark_safe("<br>"), "{}", ((part,) for part in parts)) or NOTHING


def plain(text: str) -> SafeString:
    """Return a text with its lines and spaces; a dash for none."""
    return format_html("<pre>{}</pre>", text) if text else NOTHING


def pretty(value: Any) -> SafeString:
    """Return JSON as text that can be read."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    more = f"\n… {len(text) - MOST_JSON:,} characters more" if len(text) > MOST_JSON else ""
    return format_html("<pre>{}{}</pre>", text[:MOST_JSON], more)


class SeenRowsFilter(RelatedFieldListFilter):
    """A filter by a related row that offers those alone which the user sees in the list of that model."""

    @override
    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        """Return (primary key, text) of the rows to choose from."""
        related = model_admin.admin_site._registry.get(field.remote_field.model)
        rows = (
            related.get_queryset(request)
            if related is not None
            else field.remote_field.model._default_manager.all()
        )
        ordering = self.field_admin_ordering(field, request, model_admin)
        return [(row.pk, str(row)) for row in (rows.order_by(*ordering) if ordering else rows)]


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows that only services write."""

    compressed_fields = True
    list_filter_sheet = False

    @override
    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Return the filters; one by a related row offers nothing that is hidden from the user."""
        found = []
        for each in super().get_list_filter(request):
            related = isinstance(each, str) and get_fields_from_path(self.model, each)[-1].is_relation
            found.append((each, SeenRowsFilter) if related else each)
        return found

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class KeptAdmin(ReadOnlyAdmin):
    """Rows that others depend on, and that nobody deletes by hand."""

    large: tuple[str, ...] = ()
    """Columns that a list does without."""

    def seen(self, user: Any) -> QuerySet[Any]:  # noqa: ARG002
        """Return the rows that ``user`` may see."""
        return cast("QuerySet[Any]", self.model._default_manager.all())

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        match = request.resolver_match
        listed = match is not None and (match.url_name or "").endswith("_changelist")
        rows = self.seen(request.user)
        return rows.defer(*self.large) if listed and request.method == "GET" else rows

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def each(
        self, request: HttpRequest, rows: Iterable[Any], done: str, change: Callable[[Any], Any]
    ) -> None:
        """Call ``change`` with each row that the user may change; tell what was done, and what was refused and why."""
        count = 0
        for row in rows:
            if not may_change(request.user, row):
                self.message_user(request, f"{row}: it is not yours to change", messages.ERROR)
                continue
            try:
                change(row)
                count += 1
            except InvalidInput as error:
                self.message_user(request, f"{row}: {error}", messages.ERROR)
        if count:
            self.message_user(request, f"{count} {done}", messages.SUCCESS)


class RowsInline(TabularInline):  # type: ignore[misc]
    """Rows of another model on the page of what they belong to, to look at."""

    extra = 0
    can_delete = False
    tab = False
    hide_title = True

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        return self.fields or ()

    @override
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @override
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return yes: whoever sees the page sees what is on it."""
        return True


Panel = Callable[[Any], SafeString]
_panels: dict[type[Model], list[Panel]] = {}


def add_panel(model: type[Model], panel: Panel) -> None:
    """Let apps above show something on the admin page of a model's rows."""
    _panels.setdefault(model, []).append(panel)


def panels(row: Model) -> SafeString:
    """Return what other apps show of a row; a dash if that is nothing."""
    shown = (panel(row) for panel in _panels.get(type(row), []))
    return lines(part for part in shown if part != NOTHING)
