"""The log of a job: its beginning and end are kept, and who may see the job sees it on pages, by API and in a shell."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import Sum
from django.urls import reverse

from accsite.apps.jobs.log_view import follow_log
from accsite.apps.jobs.models import Job, JobLog
from accsite.apps.jobs.selectors import logs as selectors
from accsite.apps.jobs.services import logs
from accsite.apps.jobs.states import JobState
from accsite.apps.training.tests.rows import make_branch, make_job
from accsite.tests.markup import folded

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
MIB = 2**20


def printed(job, data: bytes, *, attempt: int = 1, rank: int = 0, ended: bool = False) -> None:
    logs.keep(job.pk, attempt, rank, size=len(data), read=lambda start, stop: data[start:stop], ended=ended)


@pytest.fixture
def job(django_user_model):
    owner = django_user_model.objects.create_user("owner")
    return make_job(make_branch(owner), state=JobState.RUNNING, attempt=1)


def stream_of(job, **asked) -> selectors.Stream:
    _, stream = selectors.choose(job, **asked)
    assert stream is not None
    return stream


def text_of(job) -> str:
    return b"".join(selectors.raw(job, stream_of(job))).decode()


def test_what_is_handed_in_piece_by_piece_is_kept_once_and_whole(job):
    data = b"".join(b"line %d\n" % number for number in range(20_000))
    for size in (0, 10, 10, 7_000, 100_000, len(data), len(data)):
        printed(job, data[:size])
    assert text_of(job).encode() == data
    assert JobLog.objects.filter(job=job).count() <= 7


def test_of_a_storm_the_first_and_the_last_mebibyte_are_kept_and_the_rest_is_counted(job):
    data = b"".join(b"%09d\n" % number for number in range(600_000))  # 6 MB
    for size in (400_000, 1_500_000, 3_000_000, 5_900_000, len(data)):
        printed(job, data[:size])
    printed(job, data, ended=True)
    (stream,) = selectors.streams(job)
    assert (stream.bytes, stream.left_out) == (len(data), len(data) - 2 * MIB)
    kept = text_of(job)
    assert kept.startswith("000000000\n000000001\n")
    assert kept.endswith("000599999\n")
    assert f"[… {len(data) - 2 * MIB:,} bytes left out …]" in kept
    assert sum(JobLog.objects.filter(job=job).values_list("size", flat=True)) == 2 * MIB


def test_a_storm_keeps_little_while_it_goes_on(job):
    data = b"x" * (40 * MIB)
    for size in range(2 * MIB, 40 * MIB, 2 * MIB):
        printed(job, data[:size])
    assert (
        sum(JobLog.objects.filter(job=job).values_list("size", flat=True)) <= 2 * MIB + logs.LIVE_TAIL_BYTES
    )


def test_of_many_attempts_that_print_a_lot_the_oldest_lose_their_middles_and_the_newest_is_whole(job):
    data = b"".join(b"%07d\n" % number for number in range(3 * MIB // 8))
    for attempt in range(1, 11):
        printed(job, data, attempt=attempt, ended=True)
    kept = dict(JobLog.objects.filter(job=job).values_list("attempt").annotate(Sum("size")))
    assert sum(kept.values()) <= logs.JOB_BYTES < sum(kept.values()) + logs.ROW_BYTES
    assert kept[10] == kept[9] == 2 * MIB
    oldest, *_, newest = selectors.streams(job)
    assert (oldest.bytes, oldest.left_out) == (len(data), len(data) - kept[1])
    assert (newest.bytes, newest.left_out) == (len(data), MIB)
    text = b"".join(selectors.raw(job, oldest)).decode()
    assert text.startswith("0000000\n0000001\n")
    assert text.endswith(data[-8:].decode())
    assert text.count("bytes left out") == 1
    assert f"[… {oldest.left_out:,} bytes left out …]" in text


def test_of_attempts_without_number_only_how_much_they_printed_is_kept(job, monkeypatch):
    monkeypatch.setattr(logs, "JOB_BYTES", 4 * logs.ROW_BYTES)
    data = b"x" * 99 + b"\n"
    data *= 3 * logs.ROW_BYTES // 100
    for attempt in range(1, 41):
        printed(job, data, attempt=attempt)
    rows = JobLog.objects.filter(job=job)
    assert rows.aggregate(kept=Sum("size"))["kept"] <= logs.JOB_BYTES
    assert rows.count() <= 40 + 4
    streams = selectors.streams(job)
    assert [stream.bytes for stream in streams] == [len(data)] * 40
    assert streams[0].left_out == len(data)
    assert (
        streams[-1].left_out <= logs.ROW_BYTES
    )  # the ends of those before it are missed more than its middle
    said = f"[… {len(data):,} bytes left out …]"
    assert b"".join(selectors.raw(job, streams[0])).decode().strip() == said
    assert selectors.part(job, streams[0])["next_offset"] == len(data)
    out = StringIO()
    call_command("jobs", "log", str(job.pk), "--attempt", "1", stdout=out)
    assert out.getvalue().strip() == said
    printed(job, data + b"more\n", attempt=1)  # what a worker that came back hands in late
    assert b"".join(selectors.raw(job, selectors.streams(job)[0])).endswith(b"more\n")


def test_ranks_share_what_a_job_may_keep(job, monkeypatch):
    monkeypatch.setattr(logs, "JOB_BYTES", 40 * logs.ROW_BYTES)
    for rank in range(4):
        printed(job, b"x" * (20 * logs.ROW_BYTES), rank=rank)
    streams = selectors.streams(job)
    assert sum(stream.bytes - stream.left_out for stream in streams) == 40 * logs.ROW_BYTES
    assert all(stream.left_out < stream.bytes for stream in streams)


def test_parts_follow_each_other_and_no_character_is_cut(job):
    data = ("äöü " * 20 + "\n").encode() * 500
    printed(job, data)
    stream = stream_of(job)
    offset, text = 0, ""
    while offset < stream.bytes:
        part = selectors.part(job, stream, offset=offset, limit=1_000)
        assert part["next_offset"] > offset
        text, offset = text + part["text"], part["next_offset"]
    assert text.encode() == data


@pytest.mark.parametrize("limit", [1_000, 1_001, 1_002, 1_003])
@pytest.mark.parametrize("letter", ["a", "ä", "€", "𝄞"])
def test_a_line_longer_than_a_part_is_cut_between_its_characters(job, letter, limit):
    data = (letter * 2_000).encode()
    printed(job, data)
    stream = stream_of(job)
    offset, text = 0, ""
    while offset < stream.bytes:
        part = selectors.part(job, stream, offset=offset, limit=limit)
        assert limit - 3 <= part["next_offset"] - offset <= limit or part["next_offset"] == stream.bytes
        text, offset = text + part["text"], part["next_offset"]
    assert text == letter * 2_000


def test_broken_text_without_an_end_of_a_line_is_cut_somewhere(job):
    data = b"\xff" * 30 + b"\x80" * 30 + b"\xf0" * 30
    printed(job, data)
    stream = stream_of(job)
    offset = 0
    while offset < stream.bytes:
        part = selectors.part(job, stream, offset=offset, limit=7)
        assert part["next_offset"] > offset
        offset = part["next_offset"]


def test_control_characters_and_broken_text_are_shown_and_the_download_is_as_it_was(job):
    data = b"\x1b[31mred\x1b[0m \xff\xfe a\0b\r\n10 %\r20 %\n"
    printed(job, data)
    assert text_of_bytes(job) == data
    assert selectors.last_lines(job) == ["red �� a�b", "10 %", "20 %"]


def text_of_bytes(job) -> bytes:
    return b"".join(selectors.raw(job, stream_of(job)))


def test_lines_are_found_whatever_their_case_with_their_place(job):
    printed(job, b"one\nTwo\nthree\nTWO again\n")
    found, count = selectors.search(job, stream_of(job), "two")
    assert found == [{"offset": 4, "text": "Two"}, {"offset": 14, "text": "TWO again"}]
    assert count == 2


def test_the_api_gives_streams_parts_lines_and_text(job, client):
    client.force_login(job.branch.experiment.owner)
    url = reverse("api:job-log", args=[job.pk])
    empty = client.get(url).json()
    assert (empty["streams"], empty["attempt"], empty["text"]) == ([], None, "")
    nothing = client.get(url, headers={"Accept": "text/plain"})
    assert (nothing.status_code, nothing.content, nothing["Content-Type"]) == (200, b"", "text/plain")
    printed(job, b"first attempt\n")
    printed(job, b"second attempt\nwarning: odd\n", attempt=2)
    job.attempt = 2
    job.save()
    newest = client.get(url).json()
    assert (newest["attempt"], newest["rank"], newest["text"]) == (2, 0, "second attempt\nwarning: odd\n")
    assert [each["attempt"] for each in newest["streams"]] == [1, 2]
    assert client.get(url, {"attempt": 1}).json()["text"] == "first attempt\n"
    assert client.get(url, {"offset": 15}).json()["text"] == "warning: odd\n"
    assert client.get(url, {"offset": -4}).json()["text"] == "odd\n"
    assert client.get(url, {"search": "WARN"}).json()["lines"] == [{"offset": 15, "text": "warning: odd"}]
    plain = client.get(url, headers={"Accept": "text/plain"})
    assert plain.content == b"second attempt\nwarning: odd\n"
    refused = client.get(url, {"attempt": 7})
    assert refused.status_code == 422
    assert "had no attempt 7; it had attempts 1 to 2" in refused.json()["errors"]["attempt"][0]
    job.attempt = 1
    job.save()
    assert "; it had 1 attempt" in client.get(url, {"attempt": 7}).json()["errors"]["attempt"][0]
    for offset, limit in ((-2_000_000, "at least -1,048,576"), (2**63, "at most 9,223,372,036,854,775,807")):
        assert limit in client.get(url, {"offset": offset}).json()["errors"]["offset"][0]


def test_a_log_is_as_private_as_its_job(job, client, django_user_model):
    job.branch.experiment.visibility = "private"
    job.branch.experiment.save()
    printed(job, b"a secret\n")
    other = django_user_model.objects.create_user("other")
    client.force_login(other)
    for url in (
        reverse("api:job-log", args=[job.pk]),
        reverse("training:job-log", args=[job.pk, 1, 0]),
        reverse("training:job-panel", args=[job.pk, "log"]),
        reverse("training:job", args=[job.pk]),
    ):
        answer = client.get(url)
        assert answer.status_code == 404, url
        assert b"secret" not in answer.content


def test_the_page_shows_the_last_lines_and_those_that_are_searched(job, client):
    client.force_login(job.branch.experiment.owner)
    page = reverse("training:job", args=[job.pk]) + "?tab=log"
    assert "Nothing was printed yet" in folded(client.get(page))
    printed(job, b"<b>hello</b>\nother\n")
    assert b"&lt;b&gt;hello&lt;/b&gt;\nother" in client.get(page).content
    panel = reverse("training:job-panel", args=[job.pk, "log"])
    found = folded(client.get(panel, {"search": "hello"}))
    assert "1 line with" in found
    assert "other" not in found
    assert client.get(panel, {"stream": "9-9"}).status_code == 404
    download = client.get(reverse("training:job-log", args=[job.pk, 1, 0]))
    assert b"".join(download.streaming_content) == b"<b>hello</b>\nother\n"
    assert download["Content-Type"].startswith("text/plain")
    assert "attachment" in download["Content-Disposition"]


def test_a_job_has_a_tab_for_each_part_and_shows_no_log_beside_what_became_of_it(job, client):
    client.force_login(job.branch.experiment.owner)
    printed(job, b"hello\n")
    page = reverse("training:job", args=[job.pk])
    overview, log, settings = (folded(client.get(page + tab)) for tab in ("", "?tab=log", "?tab=settings"))
    assert ("hello" in log, "hello" in overview) == (True, False)
    assert "Facts" in overview
    assert "whole specification" in settings
    assert "latent dim" in settings
    assert "Facts" in folded(client.get(page + "?tab=nonsense"))
    for text in (overview, log, settings):
        assert text.count('aria-current="page"') >= 1
        assert "Settings" in text


def test_a_failure_leads_to_its_log(job, client):
    job.state, job.message = JobState.FAILED, "ValueError: boom"
    job.save()
    client.force_login(job.branch.experiment.owner)
    page = reverse("training:job", args=[job.pk])
    assert f'href="{page}?tab=log"' in folded(client.get(page))


def test_lines_are_grave_as_they_say_and_what_is_indented_belongs_to_the_line_before():
    texts = [
        "2026-01-01 INFO all is well", "x.py:3: UserWarning: odd", "  warnings.warn(odd)", "fine again",
        "Traceback (most recent call last):", '  File "x.py", line 3', "ValueError: boom", "no errors found",
        "12:01 [error    ] it broke", "[warning  ] nearly", "torch.OutOfMemoryError: none left", "the error is 0.3",
    ]  # fmt: skip
    level, found = "", []
    for text in texts:
        level = selectors.level_of(text, level)
        found.append(level)
    assert found == [
        "", "warning", "warning", "", "error", "error", "error", "", "error", "warning", "error", "",
    ]  # fmt: skip


def test_the_page_shows_grave_lines_alone_if_that_is_asked(job, client):
    client.force_login(job.branch.experiment.owner)
    printed(job, b"fine\nx.py:3: UserWarning: odd\nValueError: <i>boom</i>\n")
    panel = reverse("training:job-panel", args=[job.pk, "log"])
    for level, shown in (("warning", 2), ("error", 1), ("nonsense", 3)):
        text = client.get(panel, {"level": level}).content.decode()
        assert ("UserWarning" in text, "fine" in text) == (shown > 1, shown > 2)
        assert "&lt;i&gt;boom" in text
    marked = client.get(panel, {"level": "error", "search": "BOOM"}).content.decode()
    assert "&lt;i&gt;<mark>boom</mark>" in marked
    assert "1 line of errors with" in folded(client.get(panel, {"level": "error", "search": "BOOM"}))


def test_the_last_lines_stand_with_a_failure_everywhere(job, client):
    printed(job, b"before\nthe last words\n")
    job.state, job.message = JobState.FAILED, "ValueError: boom"
    job.save()
    client.force_login(job.branch.experiment.owner)
    notice = client.get(reverse("training:job-panel", args=[job.pk, "job_notice"])).content
    assert b"the last words" in notice
    assert client.get(reverse("api:job-detail", args=[job.pk])).json()["last_lines"] == [
        "before",
        "the last words",
    ]
    out = StringIO()
    call_command("jobs", "show", str(job.pk), stdout=out)
    assert "the last words" in out.getvalue()


def test_a_shell_prints_searches_and_chooses(job):
    printed(job, b"one\ntwo\n")
    printed(job, b"of rank 1\n", rank=1)

    def said(*words: str) -> str:
        out = StringIO()
        call_command("jobs", "log", str(job.pk), *words, stdout=out)
        return out.getvalue()

    assert said() == "one\ntwo\n"
    assert said("--search", "TW") == "two\n"
    assert said("--rank", "1") == "of rank 1\n"
    assert '"offset": 4, "text": "two"' in said("--json")


def test_who_follows_is_told_the_end_of_an_attempt_also_when_the_next_has_begun(job, monkeypatch):
    printed(job, b"one\n")

    def between_two_looks(_seconds):
        # Attempt 1 goes on printing, its end is kept late, and attempts 2 and 3 come, all between two looks.
        job.refresh_from_db()
        if job.attempt == 1:
            printed(job, b"one\nlast words")
            printed(job, b"two\n", attempt=2)
            printed(job, b"three\nhalf a", attempt=3)
            Job.objects.filter(pk=job.pk).update(attempt=3)
        else:
            printed(job, b"two\nkept late\n", attempt=2)
            printed(job, b"three\nhalf a line\n", attempt=3)
            Job.objects.filter(pk=job.pk).update(state=JobState.SUCCEEDED)

    monkeypatch.setattr("accsite.apps.jobs.log_view.time.sleep", between_two_looks)
    out = StringIO()
    follow_log(job, out=out, go_on=True)
    assert out.getvalue().split("\n") == [
        *("one", "last words"),
        *("--- attempt 2 ---", "two", "--- attempt 3 ---", "three"),
        *("--- attempt 2 ---", "kept late", "--- attempt 3 ---", "half a line", ""),
    ]


def test_the_log_goes_with_its_job(job):
    printed(job, b"hello\n")
    job.delete()
    assert not JobLog.objects.exists()
    printed_of = job.pk or 1
    assert not logs.keep(printed_of, 1, 0, size=5, read=lambda a, b: b"hello"[a:b])


def test_a_line_that_is_found_is_as_grave_as_it_is_where_it_was_printed(job, client):
    client.force_login(job.branch.experiment.owner)
    printed(job, b"ERROR it broke\n  in line 3\nfine\n  in line 4\nERROR line 5\nfine\n  in line 6\n")
    panel = reverse("training:job-panel", args=[job.pk, "log"])
    found = client.get(panel, {"search": "line"}).text
    mark = "<mark>line</mark>"
    assert f'<span data-level="error">  in {mark} 3</span>\n  in {mark} 4\n' in found
    assert f'<span data-level="error">ERROR {mark} 5</span>\n  in {mark} 6' in found
