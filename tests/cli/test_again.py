"""
Tests of L{jobroute.cli.again}.
"""

from __future__ import annotations

from typing import Any

from jobroute.client import Submitted
from jobroute.errors import Quarantined
from tests.cli.support import NOW, CommandTestCase


def entry(number: int, *agents: str, output: str | None = "half") -> dict[str, Any]:
    """
    A part in quarantine.
    """
    evidence = [
        {"agent": agent, "at": NOW, "job": 1, "attempt": 1, "reason": "Gone.", "output": output}
        for agent in agents
    ]
    return {
        "job": f"j{number}",
        "number": number,
        "namespace": "default",
        "service": "digest",
        "client": "me",
        "index": 2,
        "part": number + 1,
        "attempts": 3,
        "ended": NOW,
        "reason": "It has cost 3 agents their lives.",
        "losses": 3,
        "evidence": evidence,
    }


class AgainTests(CommandTestCase):
    """
    C{retry} and C{quarantine}.
    """

    def test_retry(self) -> None:
        """
        The new job's id.
        """
        self.client.answers["retry"] = Submitted("k", 9, 1, False)
        self.assertEqual(self.output_of("retry", "j"), "k\n")
        self.output_of("retry", "j", "--as", "k", "--all", "--force", "--namespace", "n")
        asked = [(args, given) for name, args, given in self.client.calls if name == "retry"]
        plain = {"new": None, "everything": False, "force": False}
        insisting = {"new": "k", "everything": True, "force": True}
        self.assertEqual(asked, [(("j",), plain), (("j",), insisting)])
        said = self.json_of("retry", "j")
        self.assertEqual((said["job"], said["number"]), ("k", 9))

    def test_refused(self) -> None:
        """
        What is quarantined is not submitted again, and the sentence says what to do.
        """
        self.client.answers["retry"] = Quarantined("It has cost 3 agents their lives.")
        done = self.run_command("retry", "j")
        self.assertEqual((done.exit_code, done.stdout), (3, ""))
        self.assertIn("3 agents", done.stderr)

    def test_list(self) -> None:
        """
        A line for each, in pages; with no command as well.
        """
        pages: list[Any] = [
            {"parts": [entry(9, "a1", "a2", "a3")], "next": 10},
            {"parts": [], "next": None},
        ]
        self.client.answers["quarantine"] = lambda **given: pages[given["before"] == 10]
        titles, line = [each.split() for each in self.output_of("quarantine").splitlines()]
        self.assertEqual(titles[:3], ["JOB", "PART", "SERVICE"])
        self.assertEqual(line[:3], ["j9", "2", "digest"])
        self.assertEqual(line[4:], ["3", "a1,_a2,_a3", "half"])
        self.output_of("quarantine", "list", "--service", "digest", "--limit", "1")
        last = self.client.calls[-1]
        self.assertEqual(last[2], {"service": "digest", "limit": 1, "before": None})
        said = self.json_of("quarantine", "list", "--limit", "1")
        self.assertEqual((said["parts"], said["next"]), (pages[0]["parts"], 10))

    def test_no_evidence(self) -> None:
        """
        Nothing is shown where nothing is known.
        """
        page = {"parts": [entry(9), entry(8, "a1", output=None)], "next": None}
        self.client.answers["quarantine"] = page
        lines = [line.split() for line in self.output_of("quarantine", "list").splitlines()]
        self.assertEqual([line[5:] for line in lines[1:]], [["-", "-"], ["a1", "-"]])

    def test_retry_parts(self) -> None:
        """
        The new job's id.
        """
        self.client.answers["quarantine_retry"] = Submitted("k", 9, 1, False)
        self.assertEqual(self.output_of("quarantine", "retry", "j", "--as", "k"), "k\n")
        self.assertEqual(self.client.calls[-1], ("quarantine_retry", ("j",), {"new": "k"}))

    def test_drop(self) -> None:
        """
        How many parts.
        """
        self.client.answers["quarantine_drop"] = 1
        self.assertEqual(self.output_of("quarantine", "drop", "j"), "1 part dropped.\n")
        self.assertEqual(self.client.calls[-1], ("quarantine_drop", ("j", None), {}))
        self.client.answers["quarantine_drop"] = 2
        self.assertEqual(
            self.output_of("quarantine", "drop", "j", "--index", "2"), "2 parts dropped.\n"
        )
        self.assertEqual(self.json_of("quarantine", "drop", "j"), {"job": "j", "dropped": 2})

    def test_wrong(self) -> None:
        """
        A name that is none is refused before anything is asked.
        """
        for line in ("retry -x-", "quarantine retry no/name", "quarantine drop j --index -1"):
            self.assertEqual(self.run_command(*line.split()).exit_code, 2)
        self.assertEqual(self.client.calls, [])
