"""``{% term "UFR" %}`` and ``{{ name|explained }}``: a word that says what it means when it is looked at.

It is a link to the page of words, so that it works without a script; ``static/js/words.js`` shows the sentence beside
it on hover, focus and touch. Not for labels, options and summaries, which a link within would break.
"""

from __future__ import annotations

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accsite import glossary

register = template.Library()


@register.simple_tag
def term(name: str, shown: str = "") -> SafeString | str:
    """Return a word of the glossary that explains itself; ``shown``: as it stands in its sentence.

    A word that the glossary does not have is shown as it is.
    """
    word = glossary.find(name)
    if word is None:
        return shown or name
    return format_html(
        '<a class="term" href="{}#{}" data-term="{}" title="{}">{}</a>',
        reverse("glossary:glossary"),
        word.slug,
        word.name,
        word.text,
        shown or name,
    )


@register.filter
def explained(name: str) -> SafeString | str:
    """Return a name that comes from data so that it explains itself, if the glossary has it."""
    return term(str(name))
