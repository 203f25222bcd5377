"""
Tests of L{jobroute.cli.jobs}: what is asked of the client, and what is shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobroute.client import Outcome, Partial, Progress, Submitted
from jobroute.errors import BrokerLost
from jobroute.model import Verdict
from tests.cli.support import CommandTestCase, frames_back, map_back, outcome, part, terminal


class CallTests(CommandTestCase):
    """
    C{call}.
    """

    def setUp(self) -> None:
        """
        The service is echo.
        """
        super().setUp()
        self.client.answers["call"] = frames_back

    def test_result(self) -> None:
        """
        The result is the output.
        """
        self.assertEqual(self.output_of("call", "echo", "hello"), "hello\n")
        self.assertEqual(self.output_of("call", "echo", "a", "b\n"), "a\nb\n")
        self.assertEqual(self.output_of("call", "echo", "--raw", "a", "b"), "ab")
        self.assertEqual(self.output_of("call", "echo"), "")

    def test_payload(self) -> None:
        """
        From arguments, from what comes in, and from files.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"from \xff a file")
        self.run_command("call", "echo", "a", "-", "--file", str(path), input=b"from\x00stdin")
        self.assertEqual(
            self.client.asked("call")[0], ("echo", b"a", b"from\x00stdin", b"from \xff a file")
        )

    def test_no_file(self) -> None:
        """
        A file that is not there is a usage error.
        """
        self.assertEqual(self.run_command("call", "echo", "--file", "nowhere").exit_code, 2)

    def test_defaults(self) -> None:
        """
        What is not said has its default.
        """
        self.output_of("call", "echo")
        _, given = self.client.asked("call")
        given.pop("on_progress")
        self.assertEqual(
            given,
            {
                "target": "any",
                "header": None,
                "priority": 0,
                "attempts": 1,
                "queue_limit": None,
                "run_limit": None,
                "deadline": None,
                "retries": None,
                "max_lost": None,
                "timeout": None,
            },
        )

    def test_all_properties(self) -> None:
        """
        Each property of a job has an option.
        """
        line = (
            "call echo --agent a1 --agent a2 --count 1 --header [1] --priority -3 --attempts 2 "
            "--queue-limit 1m --run-limit 2 --deadline 1h --timeout 5s --client me "
            "--namespace mine --retry-on lost --retry-on failed --retry-delay 2m --max-lost 5"
        )
        self.output_of(*line.split())
        _, given = self.client.asked("call")
        given.pop("on_progress")
        self.assertEqual(
            given,
            {
                "target": {"agents": ["a1", "a2"], "count": 1},
                "header": [1],
                "priority": -3,
                "attempts": 2,
                "queue_limit": 60.0,
                "run_limit": 2.0,
                "deadline": 3600.0,
                "retries": {"on": ["failed", "lost"], "delay": 120.0},
                "max_lost": 5,
                "timeout": 5.0,
            },
        )
        _, made = self.client.asked("connect")
        self.assertEqual((made["namespace"], made["name"]), ("mine", "me"))

    def test_json(self) -> None:
        """
        The outcome as the protocol has it, with the results in it.
        """
        said = self.json_of("call", "echo", "-", "text", input=b"\xff")
        self.assertEqual(said["job"], "j1")
        self.assertEqual(said["verdicts"], {"succeeded": 1})
        self.assertEqual(said["parts"][0]["frames"], [{"base64": "/w=="}, "text"])

    def test_failed(self) -> None:
        """
        A job that did not succeed is status 1, and the reason is told.
        """
        self.client.answers["call"] = outcome(part(verdict=Verdict.FAILED, reason="no luck"))
        done = self.run_command("call", "echo")
        self.assertEqual((done.exit_code, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "Job j1 ended as failed on agent a1: no luck\n")
        done = self.run_command("--json", "call", "echo")
        self.assertEqual(done.exit_code, 1)
        self.assertEqual(json.loads(done.stdout)["parts"][0]["reason"], "no luck")

    def test_any_part_failed(self) -> None:
        """
        One part is enough for status 1; all parts are shown, each in a line.
        """
        lost = part(verdict=Verdict.LOST, index=1, reason="it is gone")
        self.client.answers["call"] = outcome(part(b"two\nlines"), lost)
        done = self.run_command("call", "echo", "--all")
        self.assertEqual(done.exit_code, 1)
        self.assertEqual(
            done.stdout,
            "PART  AGENT  VERDICT    ATTEMPTS  RESULT\n"
            "   0  a1     succeeded         1  two\\nlines\n"
            "   1  a2     lost              1  it is gone\n",
        )
        self.assertIn("1 of 2 parts of job j1 did not succeed", done.stderr)

    def test_stream(self) -> None:
        """
        Partial results are printed before the result, if asked for.
        """

        def stream(service: str, **given: Any) -> Outcome:
            given["on_progress"](Progress("j1", 0, 1, 0.5))
            given["on_partial"](Partial("j1", 0, 1, 1, (b"one",)))
            return outcome(part(b"all"))

        self.client.answers["call"] = stream
        self.assertEqual(self.output_of("call", "echo", "--stream"), "one\nall\n")
        lines = self.output_of("--json", "call", "echo", "--stream").splitlines()
        progress, partial, final = map(json.loads, lines)
        self.assertEqual((progress["final"], progress["progress"]["value"]), (False, 0.5))
        self.assertEqual(partial["partial"]["frames"], ["one"])
        self.assertEqual(final["state"], "done")


class SubmitTests(CommandTestCase):
    """
    C{submit} and what follows.
    """

    def test_id(self) -> None:
        """
        The job's id is the output, for a script to keep.
        """
        self.client.answers["submit"] = Submitted("j1", 7, 1)
        self.assertEqual(self.output_of("submit", "echo", "x", "--job", "j1"), "j1\n")
        arguments, given = self.client.asked("submit")
        self.assertEqual((arguments, given["job"]), (("echo", b"x"), "j1"))
        self.assertEqual(
            self.json_of("submit", "echo"),
            {"job": "j1", "number": 7, "parts": 1, "existing": False},
        )

    def test_wait(self) -> None:
        """
        Several jobs are waited for, and one that failed is enough for
        status 1.
        """
        outcomes = {"j1": outcome(part(b"one")), "j2": outcome(part(verdict=Verdict.EXPIRED))}
        self.client.answers["wait"] = lambda job, **given: outcomes[job]
        self.assertEqual(self.output_of("wait", "j1"), "one\n")
        done = self.run_command("wait", "j2", "j1", "--timeout", "5m")
        self.assertEqual((done.exit_code, done.stdout), (1, "one\n"))
        self.assertEqual(self.client.asked("wait")[1]["timeout"], 300.0)
        done = self.run_command("--json", "wait", "j1", "j2")
        self.assertEqual(len([json.loads(line) for line in done.stdout.splitlines()]), 2)

    def test_result(self) -> None:
        """
        The result of one part.
        """
        self.client.answers["result"] = part(b"one", index=3)
        self.assertEqual(self.output_of("result", "j1", "--index", "3"), "one\n")
        self.assertEqual(self.client.asked("result")[0], ("j1", 3))
        self.assertEqual(self.json_of("result", "j1")["frames"], ["one"])
        self.client.answers["result"] = part(verdict=Verdict.LOST)
        done = self.run_command("result", "j1")
        self.assertEqual(done.exit_code, 1)
        self.assertEqual(done.stderr, "Part 0 of job j1 ended as lost on agent a1.\n")

    def test_cancel(self) -> None:
        """
        It says how much there was to cancel.
        """
        self.client.answers["cancel"] = 2
        self.assertEqual(self.output_of("cancel", "j1"), "2 parts of job j1 will be cancelled.\n")
        self.assertEqual(self.json_of("cancel", "j1"), {"job": "j1", "cancelling": 2})
        self.client.answers["cancel"] = 0
        self.assertEqual(self.output_of("cancel", "j1"), "Job j1 was done already.\n")

    def test_input(self) -> None:
        """
        The payload goes to the part.
        """
        self.assertEqual(self.output_of("input", "j1", "a", "-", "--index", "2", input=b"b"), "")
        self.assertEqual(self.client.asked("input"), (("j1", b"a", b"b"), {"index": 2}))


class MapTests(CommandTestCase):
    """
    C{map}.
    """

    def setUp(self) -> None:
        """
        The service is echo.
        """
        super().setUp()
        self.client.answers["map"] = map_back

    def test_lines(self) -> None:
        """
        A line for each line, however it ends.
        """
        self.assertEqual(self.output_of("map", "echo", input=b"a\nb\r\n\nc"), "a\nb\n\nc\n")
        self.assertEqual(self.output_of("map", "echo", "-", input=b"a\n"), "a\n")
        self.assertEqual(self.output_of("map", "echo", input=b""), "")

    def test_arguments(self) -> None:
        """
        Or one for each argument; numbered if asked for.
        """
        self.assertEqual(self.output_of("map", "-n", "echo", "a", "b\nc"), "1\ta\n2\tb\\nc\n")

    def test_options(self) -> None:
        """
        The client does what the options say.
        """
        self.output_of("map", "echo", "--window", "7", "--as-completed", "--durable", "x")
        _, given = self.client.asked("map")
        self.assertEqual((given["window"], given["ordered"], given["durable"]), (7, False, True))
        self.output_of("map", "echo", "x")
        _, given = self.client.asked("map")
        self.assertEqual((given["window"], given["ordered"], given["durable"]), (100, True, False))

    def test_failed(self) -> None:
        """
        What did not succeed is an empty line and a sentence, and status 1.
        """
        done = self.run_command("map", "echo", "a", "!", "b")
        self.assertEqual((done.exit_code, done.stdout), (1, "a\n\nb\n"))
        self.assertEqual(
            done.stderr,
            "2: Job j1 ended as failed on agent a1: it is !\n1 of 3 jobs did not succeed.\n",
        )

    def test_json(self) -> None:
        """
        JSON lines, each with the number of its payload.
        """
        done = self.run_command("--json", "map", "echo", "a", "!")
        self.assertEqual(done.exit_code, 1)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["position"] for line in lines], [1, 2])
        self.assertEqual(lines[0]["parts"][0]["frames"], ["a"])

    def test_broker_lost_on_the_way(self) -> None:
        """
        What came before is printed.
        """

        def lost(service: str, payloads: Any, **given: Any) -> Any:
            yield from map_back(service, payloads)
            raise BrokerLost("silence")

        self.client.answers["map"] = lost
        done = self.run_command("map", "echo", "a")
        self.assertEqual((done.exit_code, done.stdout), (4, "a\n"))


class TerminalTests(CommandTestCase):
    """
    The same where people look.
    """

    def test_waiting(self) -> None:
        """
        A screen without a bar says nothing of waiting.
        """
        screen, out = terminal()
        with screen.waiting("echo"):
            screen.prose("A sentence.")
        self.assertEqual(out.getvalue(), "A sentence.\n")
