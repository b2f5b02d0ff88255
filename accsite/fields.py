"""Fields for text that may come from plugins: cleaned on its way into the database, whoever writes it.

In the database, and so in migrations, they are Django's own: only what is written differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import models

from acc.text import DETAIL_CHARS, SENTENCE_CHARS, clean, clean_data

if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
    _Text = models.TextField[Any, str]
    _Char = models.CharField[Any, str]
else:
    _Field, _Text, _Char = object, models.TextField, models.CharField


class _Cleaned(_Field):
    """Cleans what is saved, also by ``update``; an instance that was saved shows what was kept."""

    plain = "django.db.models.TextField"

    def cleaned(self, value: Any) -> Any:
        raise NotImplementedError

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the cleaned value, and put it into the instance."""
        value = self.cleaned(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(self.cleaned(value))

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Return it as the field of Django that it is in the database."""
        name, _, args, kwargs = super().deconstruct()
        return name, self.plain, args, kwargs


class CleanTextField(_Cleaned, _Text):
    """Text of at most ``limit`` characters."""

    def __init__(self, *args: Any, limit: int = SENTENCE_CHARS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limit = limit

    def cleaned(self, value: Any) -> Any:
        return clean(value, self.limit) if isinstance(value, str) else value


class CleanCharField(_Cleaned, _Char):
    """Text of at most ``max_length`` characters: what is longer is cut, and not refused."""

    plain = "django.db.models.CharField"

    def cleaned(self, value: Any) -> Any:
        limit = self.max_length or SENTENCE_CHARS
        return clean(value, limit) if isinstance(value, str) else value


class CleanJSONField(_Cleaned, models.JSONField):
    """Plain data whose texts are each of at most DETAIL_CHARS characters."""

    plain = "django.db.models.JSONField"

    def cleaned(self, value: Any) -> Any:
        return clean_data(value, DETAIL_CHARS)
