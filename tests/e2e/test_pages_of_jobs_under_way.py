"""No page and no panel is in error while jobs come and go between the reads that one answer is made of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import cycle
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.e2e.conftest import Site, Watched

JOBS = 12
PAGES = (
    "{bench}",
    "{bench}panel/job/",
    "{bench}panel/jobs/",
    "/jobs/top/",
    "/jobs/{job}/",
    "/devices/panel/queue/",
    "/devices/panel/workers/",
    "/api/v1/jobs/{job}/",
)


@pytest.mark.long(32)
def test_no_answer_is_an_error_while_jobs_come_and_go(site: Site, visit: Callable[..., Watched]) -> None:
    branch = site.stack.branch("comings")
    bench = f"/w/{branch.experiment.slug}/{branch.slug}/"
    cookies = visit(site.admin).page.context.cookies()
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
    jobs = [site.stack.submit(branch, 3)]
    answers: list[tuple[int, str]] = []
    ended = threading.Event()

    def look(first: int) -> None:
        for page in cycle(PAGES[first:] + PAGES[:first]):
            if ended.is_set():
                return
            path = page.format(bench=bench, job=jobs[-1].pk)
            try:
                with urlopen(Request(site.url + path, headers={"Cookie": cookie}), timeout=60) as answer:
                    answers.append((answer.status, answer.url.removeprefix(site.url)))
            except HTTPError as error:
                answers.append((error.code, path))

    threads = [threading.Thread(target=look, args=(first,)) for first in (0, len(PAGES) // 2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(JOBS):
            site.stack.state(jobs[-1], "SUCCEEDED")
            jobs.append(site.stack.submit(branch, 3))
        site.stack.state(jobs[-1], "SUCCEEDED")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert len(answers) > len(PAGES) * JOBS
    assert {code for code, _ in answers} == {200}, [each for each in answers if each[0] != 200]
    assert not any("/sign-in/" in path for _, path in answers)
