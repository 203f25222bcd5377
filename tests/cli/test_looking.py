"""
Tests of L{jobroute.cli.looking}: how what the broker says is shown.
"""

from __future__ import annotations

from typing import Any

from jobroute.client import JobLine, Page
from jobroute.model import Verdict
from tests.cli.support import NOW, CommandTestCase

AGENT = {
    "agent_id": "a1",
    "number": 3,
    "pid": 4711,
    "hostname": "box",
    "state": "ready",
    "services": ["echo", "sleep"],
    "slots": 4,
    "prefetch": 0,
    "outstanding": 1,
    "load": 0.25,
    "labels": {"rack": "7"},
    "incarnation": "0" * 32,
    "version": "mine 1.0",
    "silent": 0.5,
}

HISTORY = {
    "job": "j1",
    "number": 7,
    "namespace": "default",
    "service": "echo",
    "client": "me",
    "target": {"agents": ["a1"], "count": 1},
    "header": None,
    "priority": 0,
    "attempts": 2,
    "queue_limit": None,
    "run_limit": 90.0,
    "deadline": NOW + 100,
    "submitted": NOW,
    "state": "ended",
    "ended": NOW + 1,
    "parts": [
        {
            "index": 0,
            "number": 8,
            "agents": None,
            "state": "done",
            "attempts": 2,
            "agent": "a1",
            "cancelling": False,
            "verdict": "failed",
            "reason": "no luck",
            "ended": NOW + 1,
            "frames": 0,
        }
    ],
    "events": [
        {"event": 1, "at": NOW, "kind": "job.accepted"},
        {
            "event": 2,
            "at": NOW + 1,
            "kind": "part.ended",
            "index": 0,
            "attempt": 2,
            "agent": "a1",
            "verdict": "failed",
        },
    ],
}


def line(number: int) -> JobLine:
    """
    A job as a page shows it.
    """
    verdicts = {Verdict.SUCCEEDED: 1, Verdict.LOST: 2}
    return JobLine(
        f"j{number}", number, "default", "echo", "me", NOW, NOW + 61, "ended", 3, verdicts
    )


class LookingTests(CommandTestCase):
    """
    Each command in a pipe and in JSON.
    """

    def test_ping(self) -> None:
        """
        What the broker says of itself, and its sockets.
        """
        said = {"pid": 1, "epoch": 3, "started": NOW, "endpoints": {"frontend": "tcp://a:1"}}
        self.client.answers["ping"] = lambda **given: {**said}
        fields = dict(each.split() for each in self.output_of("ping").splitlines())
        self.assertEqual((fields["epoch"], fields["frontend"]), ("3", "tcp://a:1"))
        self.assertEqual(self.json_of("ping"), said)

    def test_agents(self) -> None:
        """
        A line for each agent, whose fields are where the titles say.
        """
        self.client.answers["agents"] = {"a1": AGENT}
        titles, *rows = [each.split() for each in self.output_of("agents").splitlines()]
        self.assertEqual(len(rows), 1)
        found = dict(zip(titles, rows[0], strict=True))
        self.assertEqual(found["AGENT"], "a1")
        self.assertEqual(found["STATE"], "ready")
        self.assertEqual(found["LOAD"], "0.25")
        self.assertEqual(found["SILENT"], "500ms")
        self.assertEqual(found["LABELS"], "rack=7")
        self.assertEqual(found["SERVICES"], "echo,sleep")
        self.assertEqual(self.json_of("agents"), {"a1": AGENT})

    def test_jobs(self) -> None:
        """
        A line for each job.
        """
        self.client.answers["jobs"] = Page((line(2), line(1)), None)
        titles, *rows = [each.split() for each in self.output_of("jobs").splitlines()]
        found = dict(zip(titles, rows[0], strict=True))
        self.assertEqual((found["JOB"], found["TOOK"]), ("j2", "1m01s"))
        self.assertEqual(found["VERDICTS"], "succeeded=1,lost=2")
        said = self.json_of("jobs")
        self.assertEqual((len(said["jobs"]), said["next"]), (2, None))
        self.assertEqual(said["jobs"][0]["submitted"], NOW)

    def test_filters(self) -> None:
        """
        The broker filters.
        """
        self.client.answers["jobs"] = Page((), None)
        self.output_of(
            *"jobs --service echo --client me --state open --verdict lost --limit 5".split(),
            *"--before 9 --namespace mine".split(),
        )
        self.assertEqual(
            self.client.asked("jobs")[1],
            {
                "service": "echo",
                "client": "me",
                "state": "open",
                "verdict": "lost",
                "limit": 5,
                "before": 9,
            },
        )
        self.assertEqual(self.client.asked("connect")[1]["namespace"], "mine")

    def test_pages(self) -> None:
        """
        More than fit in a page are asked for page by page.
        """

        def page(limit: int, before: int | None, **given: Any) -> Page:
            first = 2500 if before is None else before
            numbers = range(first - 1, first - 1 - limit, -1)
            return Page(tuple(map(line, numbers)), first - limit)

        self.client.answers["jobs"] = page
        said = self.json_of("jobs", "--limit", "1500")
        self.assertEqual((len(said["jobs"]), said["next"]), (1500, 1000))
        self.assertEqual(said["jobs"][-1]["number"], 1000)

    def test_job(self) -> None:
        """
        Properties, parts and history.
        """
        self.client.answers["job"] = lambda job: {**HISTORY}
        said = self.output_of("job", "j1")
        self.assertRegex(said, r"(?m)^run_limit +1m30s$")
        self.assertRegex(said, r"(?m)^target +agents a1, count 1$")
        self.assertRegex(said, r"(?m)^ +0  done +failed +a1 +2  \S+  no luck$")
        self.assertRegex(said, r"(?m)^ +2  \S+  part\.ended +0 +2  a1 +verdict: failed$")
        self.assertEqual(self.json_of("job", "j1"), HISTORY)

    def test_why(self) -> None:
        """
        A line for each part that waits.
        """
        waiting = {"index": 0, "state": "queued", "code": "no-agent", "why": "Nobody is there."}
        self.client.answers["why"] = [waiting]
        self.assertEqual(
            self.output_of("why", "j1").splitlines()[1], "   0  queued  no-agent  Nobody is there."
        )
        self.assertEqual(self.json_of("why", "j1"), {"job": "j1", "parts": [waiting]})

    def test_stats(self) -> None:
        """
        Every number under one name, for grep.
        """
        said = {
            "counters": {"requests": 5},
            "gauges": {"epoch": 2},
            "services": {"echo": {"queued": 1, "agents": 2}},
            "storage": {"jobs": 1000},
        }
        self.client.answers["stats"] = lambda: {**said}
        fields = dict(each.split() for each in self.output_of("stats").splitlines())
        self.assertEqual(
            fields,
            {
                "counters.requests": "5",
                "gauges.epoch": "2",
                "services.echo.queued": "1",
                "services.echo.agents": "2",
                "storage.jobs": "1000",
            },
        )
        self.assertEqual(self.json_of("stats"), said)
