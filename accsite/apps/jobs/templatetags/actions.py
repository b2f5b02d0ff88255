"""``{% actions branch %}``: what can be done to an object, on its page."""

from __future__ import annotations

from typing import Any

from django.template import Context, Library, loader
from django.utils.safestring import SafeString

from accsite.actions.pages import offered, shown, template

register = Library()


@register.simple_tag(takes_context=True)
def actions(context: Context, thing: Any) -> SafeString | str:
    """Return the place of an object's actions; nothing where there is none that its viewer may use."""
    request = context["request"]
    if not offered(request.user, thing):
        return ""
    told = {"versions": context.get("versions"), **shown(request.user, thing)}
    return loader.get_template(template(thing)).render(told, request)
