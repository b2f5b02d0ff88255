"""The form of an action: a field for each of its fields."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, cast, get_args, get_origin

from django import forms
from django.http import QueryDict
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from accsite.actions import ActionType, Choices
from accsite.forms import ServiceForm, choice, number, text

LARGE = 2**53
"""Limits from here on are those of the database, and no browser can count so far."""


class ActionForm(ServiceForm):
    """What an action asks, with what is suggested for the object at hand; the service decides what is right."""

    def __init__(self, kind: ActionType, thing: Any, data: Any = None) -> None:
        defaults = {name: _default(field) for name, field in kind.model_fields.items()}
        suggested = kind.suggested(thing)
        initial = {**defaults, **suggested}
        super().__init__(data, auto_id=f"{kind.verb}-{thing.pk}-%s", initial=initial)
        offered = kind.choices(thing)
        for name, field in kind.model_fields.items():
            if name not in offered or offered[name]:  # of nothing, nothing can be chosen
                self.fields[name] = field_of(name, field, offered.get(name))
        for name in self.boxes:
            self.initial[name] = suggested.get(name, [value for value, _ in offered[name]])

    @property
    def boxes(self) -> list[str]:
        """The fields of which any number may be chosen."""
        return [n for n, f in self.fields.items() if isinstance(f.widget, forms.CheckboxSelectMultiple)]

    @property
    def copied(self) -> bool:
        """Whether it has fields that are typed, so that what is copied for a shell is read from it."""
        return any(not isinstance(field.widget, forms.CheckboxInput) for field in self.fields.values())

    def asked(self) -> dict[str, Any]:
        """Return what was filled in, as ``perform`` takes it."""
        given = {name: value for name, value in self.payload().items() if name not in self.boxes}
        for name in self.boxes:
            sent = cast("QueryDict", self.data).getlist(name)
            # An empty value goes with the boxes, so that none ticked is told from none shown.
            if len(sent) == 1:
                given[name] = sent[0] or []
            elif sent:
                given[name] = [value for value in sent if value]
        return given


def _default(field: FieldInfo) -> Any:
    return None if field.default is PydanticUndefined else field.default


def field_of(name: str, field: FieldInfo, offered: Choices | None) -> forms.Field:
    """Return the field of a form for one of a specification; ``offered``: what can be chosen, if not anything."""
    label = field.title or name.replace("_", " ").capitalize()
    help_text = field.description or ""
    kinds = _kinds(field.annotation)
    limits = {key: value for each in field.metadata for key, value in _limit(each).items()}
    if isinstance(field.json_schema_extra, dict) and "maxLength" in field.json_schema_extra:
        limits["maxlength"] = field.json_schema_extra["maxLength"]
    if offered is not None and any(get_origin(kind) in (list, tuple) for kind in kinds):
        boxes = forms.CheckboxSelectMultiple(choices=list(offered))
        return forms.Field(label=label, help_text=help_text, required=False, widget=boxes)
    if offered is not None:
        return choice(label, offered, help_text)
    if any(get_origin(kind) is Literal for kind in kinds):
        values = [str(value) for kind in kinds for value in get_args(kind)]
        return choice(label, [(value, value.replace("_", " ")) for value in values], help_text)
    if bool in kinds:
        return forms.BooleanField(label=label, help_text=help_text, required=False)
    if int in kinds or float in kinds:
        step = {"step": 1} if float not in kinds else {}
        return number(label, help_text, **step, **{k: v for k, v in limits.items() if k in ("min", "max")})
    return text(label, help_text, **{key: value for key, value in limits.items() if key == "maxlength"})


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return what a value may be: the members of a union, or the annotation itself."""
    united = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if united else (annotation,)


def _limit(limit: Any) -> dict[str, Any]:
    known = {"ge": "min", "gt": "min", "le": "max", "lt": "max", "max_length": "maxlength"}
    found = {there: getattr(limit, here) for here, there in known.items() if hasattr(limit, here)}
    return {there: value for there, value in found.items() if value < LARGE}
