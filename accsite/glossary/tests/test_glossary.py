"""A word on a page says what the glossary says, and a word that the glossary does not have is left as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client

from accsite import glossary, search

TERM = re.compile(r'{%\s*term "([^"]+)"')


def test_words_are_those_of_the_documentation() -> None:
    text = (Path(settings.ROOT) / "docs" / "glossary.md").read_text()
    names = re.findall(r"^\*\*([^*]+)\*\*$", text, re.MULTILINE)
    assert [word.name for word in glossary.words().values()] == names
    assert names == sorted(names, key=str.lower)
    for word in glossary.words().values():
        assert word.text.endswith((".", ")")), word
        assert not re.search(r"[`*\[\]]|\n", word.text), word


@pytest.mark.parametrize("name", ["UFR", "ufr", "Factor groups", "factorgroup", "held_out", "Checkpoints"])
def test_a_word_is_known_however_it_is_written(name: str) -> None:
    assert glossary.find(name) is not None


def test_a_word_explains_itself_and_another_is_left_as_it_is() -> None:
    template = Template('{% load glossary %}{% term "UFR" shown %}|{% term unknown %}|{{ name|explained }}')
    known, unknown, filtered = template.render(
        Context({"name": "cleanness", "shown": "a <UFR>", "unknown": "<b>"})
    ).split("|")
    assert 'href="/words/#ufr"' in known
    assert "a &lt;UFR&gt;</a>" in known
    assert 'title="Unified factored representation' in known
    assert unknown == "&lt;b&gt;"
    assert 'data-term="Cleanness"' in filtered


def test_every_word_that_a_template_explains_is_in_the_glossary() -> None:
    used = {
        name
        for path in (Path(settings.ROOT) / "accsite").rglob("*.html")
        for name in TERM.findall(path.read_text())
    }
    assert len(used) >= 4
    assert [name for name in used if glossary.find(name) is None] == []


@pytest.mark.django_db
def test_words_have_a_page_and_are_found() -> None:
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    text = client.get("/words/").content.decode()
    assert all(f'id="{slug}"' in text for slug in glossary.words())
    (group,) = search.search(None, "cleann", kind="term")
    assert group.found[0].url == "/words/#cleanness"
