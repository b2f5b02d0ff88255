"""``{% actions branch %}``: what can be done to an object, on its page."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context, loader
from django.utils.safestring import SafeString

from accsite.actions.pages import shown
from accsite.apps.access.permissions import may_change

register = template.Library()


@register.simple_tag(takes_context=True)
def actions(context: Context, thing: Any) -> SafeString | str:
    """Return the place of an object's actions; nothing for those who may not change it."""
    request = context["request"]
    if not may_change(request.user, thing):
        return ""
    panel = loader.get_template("actions/panel.html")
    return panel.render({**shown(thing), "thing": thing}, request)
