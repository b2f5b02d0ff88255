"""A note is Markdown that nobody can misuse; its panels show what is so now, to whom may see it; no writing is lost."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from acc.errors import InvalidInput
from accsite.apps.audit.models import AuditEntry
from accsite.apps.audit.selectors import entries_about
from accsite.apps.evaluation.models import Artifact, Evaluation, Metric
from accsite.apps.live.models import Topic
from accsite.apps.notes import pages, services
from accsite.apps.notes.markdown import MOST_PANELS, rendered
from accsite.apps.notes.models import Note
from accsite.apps.notes.selectors import note_of
from accsite.apps.training.models import Branch, Visibility
from accsite.apps.training.tests import rows
from accsite.errors import WrongState
from accsite.tests.browsers import signed_in
from accsite.tests.markup import folded

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def branch(ada: User) -> Branch:
    return rows.make_branch(ada)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("**bold** and `code`", "<p><strong>bold</strong> and <code>code</code></p>"),
        ("# Title", "<h3>Title</h3>"),
        ("###### deep", "<h6>deep</h6>"),
        ("[our page](/jobs/3/)", '<a href="/jobs/3/">our page</a>'),
        ("[away](https://x.org)", '<a href="https://x.org" rel="nofollow noopener noreferrer">away</a>'),
        ("[away](//x.org)", '<a href="//x.org" rel="nofollow noopener noreferrer">away</a>'),
        ("| a |\n|---|\n| 1 |", "<td>1</td>"),
        ("| a |\n|:-:|\n| 1 |", '<th class="align-center">a</th>'),
        ("| a |\n|--:|\n| 1 |", '<td class="align-right">1</td>'),
        ("~~gone~~", "<s>gone</s>"),
        ("```\n![[job 1]]\n```", "![[job 1]]"),
        ("in a line ![[job 1]] it is text", "![[job 1]] it is text"),
    ],
)
def test_markdown_is_shown(written: str, shown: str, ada: User) -> None:
    assert shown in rendered(written, ada)


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "![x](https://x.org/x.png)",
        '[x](/a "onmouseover=alert(1)")',
        "<a href='javascript:x'>x</a>",
        "![[checkpoint <script>alert(1)</script>]]",
        "![[<img src=x>]]",
        "```<script>\nx\n```",
        "[x]: javascript:alert(1)\n\n[x]",
        '<https://x.org/"onclick=alert(1)>',
        "| a | b | c |\n|:--|:-:|--:|\n| 1 | 2 | 3 |",
    ],
)
def test_nothing_can_be_smuggled_in(written: str, ada: User) -> None:
    text = rendered(written, ada).lower()
    for sign in ("<script", "<img", 'href="javascript', 'href="data', 'href="vbscript', "style="):
        assert sign not in text
    assert " onerror=" not in text.replace("&lt;img src=x onerror=", "")


def measured(branch: Branch) -> Any:
    """Return a checkpoint with a metric and a traversal."""
    node = rows.make_checkpoint(branch, tag="best", losses={"raw/digit": 0.25})
    evaluation = Evaluation.objects.create(branch=branch, checkpoint=node, step=node.step)
    Metric.objects.create(evaluation=evaluation, name="ufr", value=0.125, low=0.1, high=0.2)
    Artifact.objects.create(
        evaluation=evaluation, kind="traversals", name="digit", file="x", sha256="0" * 64,
        meta={"width": 10, "height": 5},
    )  # fmt: skip
    return node


def test_panels_show_what_is_so_now_and_to_nobody_what_they_may_not_see(ada: User, branch: Branch) -> None:
    node = measured(branch)
    job = rows.make_job(branch, title="Train zebra", state="RUNNING", points_seq=1, step=3, total_steps=10)
    rows.make_dataset()
    asked = {
        f"checkpoint {node.pk}": "best",
        f"metric {node.pk} ufr": "0.125",
        f"traversal {node.pk} digit": "/evaluate/artifacts/",
        f"job #{job.pk}": "3 of 10 steps",
        f"loss {job.pk}": "Train zebra",
        "loss digits/main": "Train zebra",
    }
    for what, shown in asked.items():
        assert shown in rendered(f"![[{what}]]", ada), what
    assert "100 images of 32 x 32" in rendered("![[dataset handwritten-digits]]", ada)
    branch.experiment.visibility = Visibility.PRIVATE
    branch.experiment.save()
    bob = User.objects.create_user("bob")
    for what, shown in asked.items():
        text = rendered(f"![[{what}]]", bob)
        assert "that you may see" in text, what
        assert shown not in text.replace(what, ""), what


def test_a_panel_that_shows_nothing_says_so(ada: User, branch: Branch) -> None:
    for what in (
        "checkpoint 9",
        "checkpoint",
        "metric 1 ufr",
        "job x",
        "loss",
        "dataset nowhere",
        "traversal 1",
    ):
        assert "that you may see" in rendered(f"![[{what}]]", ada), what
    assert "a panel begins with checkpoint, metric" in rendered("![[picture 3]]", ada)
    text = rendered("\n\n".join(["![[job 1]]"] * (MOST_PANELS + 2)), ada)
    assert text.count("20 panels at most") == 2


def test_a_panel_that_is_not_closed_takes_no_longer_than_other_text(ada: User) -> None:
    began = time.process_time()
    assert "<p>![[" in rendered("![[" + " " * 19_980 + "x", ada)
    assert time.process_time() - began < 1
    assert rendered("![[   ]]", ada) == "<p>![[   ]]</p>\n", "it names nothing"
    assert "there is no job 9 that" in rendered("![[  job 9  ]]", ada)


def test_who_has_read_an_older_version_is_told_and_nothing_is_lost(ada: User, branch: Branch) -> None:
    services.write_note(actor=ada, about=branch, text="one", version=0)
    services.write_note(actor=ada, about=branch, text="two", version=1)
    with pytest.raises(WrongState, match="you have read version 1, and ada has written version 2"):
        services.write_note(actor=ada, about=branch, text="mine", version=1)
    assert note_of(branch).text == "two"
    services.write_note(actor=ada, about=branch, text="two", version=2)  # the same again is no new version
    assert note_of(branch).version == 2
    for text in (None, 5, "x" * 20_001, "a\0b"):
        with pytest.raises(InvalidInput):
            services.write_note(actor=ada, about=branch, text=text)


@pytest.mark.parametrize("version", ["0", True, False, -1, 1.0, [0], 2**31])
def test_a_version_is_a_whole_number_or_none(version: Any, ada: User, branch: Branch) -> None:
    with pytest.raises(InvalidInput, match="is no version; give the one that was read") as refused:
        services.write_note(actor=ada, about=branch, text="x", version=version)
    assert list(refused.value.fields) == ["version"]
    assert not isinstance(refused.value, WrongState)
    assert repr(version) in str(refused.value)


def test_a_refusal_does_not_repeat_the_whole_of_what_it_refuses(ada: User, branch: Branch) -> None:
    for wrong in ({"text": ["x"] * 5_000}, {"text": "x", "version": "9" * 5_000}):
        with pytest.raises(InvalidInput) as refused:
            services.write_note(actor=ada, about=branch, **wrong)
        assert len(str(refused.value)) < 300


def test_a_note_is_of_one_thing(ada: User, branch: Branch) -> None:
    wrong: list[dict[str, Any]] = [{}, {"branch": branch, "experiment": branch.experiment}]
    for of in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(**of)


def test_the_page_writes_previews_and_keeps_what_was_typed_when_another_was_faster(
    ada: User, branch: Branch
) -> None:
    client = signed_in(ada)
    where = f"/branches/{branch.pk}/note/"
    assert "Nothing has been written" not in folded(client.get(where))
    text = folded(client.post(where, {"text": "# Seen", "version": 0, "preview": "1"}))
    assert "<h3>Seen</h3>" in text
    assert not Note.objects.exists()
    assert not AuditEntry.objects.exists()
    assert client.post(where, {"text": "# Kept", "version": 0})["Location"] == "/w/digits/main/"
    assert note_of(branch).text == "# Kept"
    refused = client.post(where, {"text": "# Mine", "version": 0})
    assert refused.status_code == 422
    shown = folded(refused)
    assert "# Mine" in shown
    assert "# Kept" in shown
    assert 'name="version" value="1"' in shown


@pytest.mark.parametrize("sent", [{"preview": "1"}, {}])
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_text_that_is_too_long_is_refused_before_it_is_made_html(
    sent: dict[str, str], headers: dict[str, str], ada: User, branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def render(text: str, user: User) -> str:
        made.append(text)
        return rendered(text, user)

    monkeypatch.setattr(pages, "rendered", render)
    where = f"/branches/{branch.pk}/note/"
    answer = signed_in(ada).post(where, {"text": "x" * 20_001, "version": 0, **sent}, headers=headers)
    assert answer.status_code == 422
    shown = folded(answer)
    assert "it has 20,001 characters; at most 20,000" in shown
    assert max(map(len, made), default=0) <= 20_000
    if not headers:
        assert 'aria-describedby="note-text_error"' in shown
        assert "x" * 20_001 in shown, "what was typed is kept"
    assert not Note.objects.exists()


def test_the_note_of_an_experiment_stands_on_its_page_and_is_in_the_log(ada: User, branch: Branch) -> None:
    client = signed_in(ada)
    experiment = branch.experiment
    client.post(f"/experiments/{experiment.slug}/note/", {"text": "*why* it was made", "version": 0})
    assert "<em>why</em> it was made" in folded(client.get(f"/experiments/{experiment.slug}/"))
    (entry,) = entries_about(f"experiment:{experiment.pk}")
    assert (entry.action, entry.detail["note_version"]) == ("experiment note", 1)
    assert Topic.objects.get(name=f"notes:{experiment.pk}").version == 1
    partial = client.get(f"/experiments/{experiment.slug}/note/", headers={"HX-Request": "true"})
    assert "<em>why</em>" in folded(partial)


def test_whoever_may_only_look_reads_and_does_not_write(ada: User, branch: Branch) -> None:
    services.write_note(actor=ada, about=branch, text="read me")
    reader = User.objects.create_user("reader")
    branch.experiment.visibility = Visibility.PRIVATE
    branch.experiment.save()
    branch.experiment.shares.create(user=reader, level="view")
    client = signed_in(reader)
    where = f"/branches/{branch.pk}/note/"
    shown = folded(client.get(where))
    assert "read me" in shown
    assert "<textarea" not in shown
    assert client.post(where, {"text": "x", "version": 1}).status_code == 403
    assert client.put(f"/api/v1{where}", {"text": "x"}, "application/json").status_code == 403
    stranger = signed_in(User.objects.create_user("stranger"))
    assert stranger.get(where).status_code == stranger.get(f"/api/v1{where}").status_code == 404


def test_the_api_reads_and_writes_it(ada: User, branch: Branch) -> None:
    client = signed_in(ada)
    where = f"/api/v1/experiments/{branch.experiment.slug}/note/"
    assert client.get(where).json() == {
        "text": "", "version": 0, "updated_at": None, "updated_by": None, "html": "",
    }  # fmt: skip
    written = client.put(where, {"text": "**x**", "version": 0}, "application/json").json()
    assert (written["version"], written["updated_by"], written["html"]) == (
        1,
        "ada",
        "<p><strong>x</strong></p>\n",
    )
    assert client.put(where, {"text": "y", "version": 0}, "application/json").status_code == 409
    assert client.put(where, {"text": "y"}, "application/json").json()["version"] == 2
    for wrong in ({"text": 5}, {"text": "x", "colour": 1}, {"text": "x" * 20_001}):
        assert client.put(where, wrong, "application/json").status_code == 422


def test_the_note_of_a_checkpoint_is_markdown_too(ada: User, branch: Branch) -> None:
    node = rows.make_checkpoint(branch, note="**good**")
    viewer = User.objects.create_user("viewer")
    branch.experiment.visibility = Visibility.PRIVATE
    branch.experiment.save()
    branch.experiment.shares.create(user=viewer, level="view")
    assert "<strong>good</strong>" in folded(signed_in(viewer).get(f"/checkpoints/{node.pk}/"))


def test_what_a_note_offers_to_show_is_what_it_is_about(ada: User, branch: Branch) -> None:
    written = {shows: text for text, shows in pages.examples(branch)}
    assert written["its reconstructions"] == "![[reconstruction 58]]", "nothing was trained yet"
    node = rows.make_checkpoint(branch, rows.make_job(branch, created_by=ada))
    Branch.objects.filter(pk=branch.pk).update(head=node)
    for about in (branch, branch.experiment):
        written = {shows: text for text, shows in pages.examples(about)}
        assert written["its traversal of a factor group"] == f"![[traversal {node.pk} digit]]"
        assert written["the curves of a branch, or of a job by its number"] == "![[loss digits/main]]"
        shown = rendered(f"{written['how far a job is']}\n\n{written['a checkpoint and its losses']}", ada)
        assert f"/jobs/{node.job_id}/" in shown
        assert f"/checkpoints/{node.pk}/" in shown
