"""``{% actions branch %}``: what can be done to an object, on its page."""

from __future__ import annotations

from typing import Any

from django.template import Context, Library, loader
from django.utils.safestring import SafeString

from accsite.actions import actions_on
from accsite.actions.pages import shown, template
from accsite.apps.access.permissions import may_change

register = Library()


@register.simple_tag(takes_context=True)
def actions(context: Context, thing: Any) -> SafeString | str:
    """Return the place of an object's actions; nothing if it has none, and for those who may not change it."""
    request = context["request"]
    if not actions_on(type(thing)) or not may_change(request.user, thing):
        return ""
    return loader.get_template(template(thing)).render(shown(thing), request)
