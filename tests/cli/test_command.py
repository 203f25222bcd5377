"""
Tests of L{jobroute.cli.command}: where the broker is, and exit statuses.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from jobroute import __version__
from jobroute.cli.command import jobroute
from jobroute.cli.session import starter
from jobroute.cli.stage import StageError
from jobroute.config import default_data_dir, frontend_url
from jobroute.errors import (
    BadEndpoint,
    BrokerLost,
    ConfigurationError,
    JobrouteError,
    NoSuchJob,
    Refused,
    WaitTimeout,
)
from tests.cli.support import CommandTestCase


class CommonTests(CommandTestCase):
    """
    What stands before the command.
    """

    def test_bare(self) -> None:
        """
        Without a command it says what to type first, in a few lines.
        """
        said = self.output_of()
        for line in ("jobroute broker", "jobroute agent --service", "jobroute call echo hello"):
            self.assertIn(line, said)
        self.assertLess(len(said.splitlines()), 10)
        self.assertEqual(self.client.calls, [])

    def test_help(self) -> None:
        """
        Each command says what it does.
        """
        said = self.output_of("--help")
        for name in jobroute.commands:
            self.assertRegex(said, rf"(?m)^  {name} +\w")
            if name != "broker":
                self.assertIn("Usage: jobroute", self.output_of(name, "--help"))

    def test_version(self) -> None:
        """
        It knows its version.
        """
        self.assertEqual(self.output_of("--version"), f"jobroute {__version__}\n")

    def test_where(self) -> None:
        """
        The option wins over the environment, and that over the default.
        """
        self.client.answers["agents"] = {}

        def asked(*arguments: str, **env: str | None) -> Any:
            self.assertEqual(self.run_command(*arguments, "agents", env={**env}).exit_code, 0)
            return self.client.asked("connect")[0][0]

        directory = "/tmp/nowhere"
        self.assertEqual(asked(JOBROUTE_DATA_DIR=directory), "ipc:///tmp/nowhere/frontend.ipc")
        self.assertEqual(asked(JOBROUTE_BROKER="tcp://a:1"), "tcp://a:1")
        self.assertEqual(asked("--broker", "tcp://b:2", JOBROUTE_BROKER="tcp://a:1"), "tcp://b:2")

    def test_json_by_environment(self) -> None:
        """
        C{JOBROUTE_JSON} is C{--json}.
        """
        self.client.answers["agents"] = {}
        done = self.run_command("agents", env={"JOBROUTE_JSON": "1"})
        self.assertEqual(json.loads(done.stdout), {})
        done = self.run_command("agents", env={"JOBROUTE_JSON": "0"})
        self.assertIn("AGENT", done.stdout)

    def test_patience(self) -> None:
        """
        A broker is looked for as long as it says; one that was there may be
        silent for longer.
        """
        self.client.answers["agents"] = {}
        self.output_of("--patience", "1m", "agents")
        made = [given["timeout"] for name, _, given in self.client.calls if name == "connect"]
        self.assertEqual(made, [60.0, 60.0])
        self.client.calls.clear()
        self.output_of("agents")
        made = [given["timeout"] for name, _, given in self.client.calls if name == "connect"]
        self.assertEqual(made, [3.0, 30.0])


class StatusTests(CommandTestCase):
    """
    Each status, and a sentence with it.
    """

    def ended(self, error: BaseException, *arguments: str) -> tuple[int, str, str]:
        """
        How it ends when the broker, or whoever, says this.
        """

        def fail(*_: Any, **__: Any) -> None:
            raise error

        self.client.answers["job"] = fail
        done = self.run_command(*arguments, "job", "j1")
        return done.exit_code, done.stdout, done.stderr

    def test_usage(self) -> None:
        """
        2: the command line is wrong.
        """
        for arguments in (
            ("nope",),
            ("job",),
            ("job", "no name"),
            ("--broker", "nowhere", "ping"),
            ("call", "echo", "--run-limit", "soon"),
            ("call", "echo", "--all", "--count", "2"),
            ("--patience", "0", "ping"),
        ):
            done = self.run_command(*arguments)
            self.assertEqual((done.exit_code, done.stdout), (2, ""))
            self.assertIn("Error: ", done.stderr)

    def test_usage_found_later(self) -> None:
        """
        2 as well, when it shows only later that an address or a setting is
        wrong.
        """
        for error in (BadEndpoint("No such place."), ConfigurationError("No such setting.")):
            self.assertEqual(self.ended(error), (2, "", f"{error}\n"))

    def test_refused(self) -> None:
        """
        3: the broker refused.
        """
        for error in (NoSuchJob("Not here."), Refused("No.", "denied"), WaitTimeout("Too late.")):
            self.assertEqual(self.ended(error), (3, "", f"{error}\n"))

    def test_refused_in_json(self) -> None:
        """
        Programs are told as on the wire.
        """
        status, out, err = self.ended(NoSuchJob("Not here."), "--json")
        self.assertEqual((status, err), (3, "Not here.\n"))
        self.assertEqual(json.loads(out), {"error": "Not here.", "code": "no-such-job"})

    def test_no_broker(self) -> None:
        """
        4: there is no broker; the sentence says where it was looked for and
        what to type.
        """
        status, out, err = self.ended(BrokerLost("silence"), "--broker", "tcp://127.0.0.1:7780")
        self.assertEqual((status, out), (4, ""))
        self.assertIn("tcp://127.0.0.1:7780", err)
        self.assertIn("jobroute broker --tcp 127.0.0.1:7780", err)
        self.assertEqual(err.count("\n"), 1)

    def test_demo(self) -> None:
        """
        1: the demo did not succeed.
        """
        self.assertEqual(self.ended(StageError("Too bad.")), (1, "", "Too bad.\n"))

    def test_interrupted(self) -> None:
        """
        130, and not a word.
        """
        self.assertEqual(self.ended(KeyboardInterrupt()), (130, "", ""))

    def test_any_error_of_ours(self) -> None:
        """
        None of ours is a traceback.
        """
        self.assertEqual(self.ended(JobrouteError("Something.")), (3, "", "Something.\n"))


class StarterTests(SynchronousTestCase):
    """
    What to type when there is no broker.
    """

    def test_starters(self) -> None:
        """
        It is a broker that would listen just there.
        """
        given = {
            frontend_url(default_data_dir()): "jobroute broker",
            "ipc:///tmp/a b/frontend.ipc": "jobroute broker --data-dir '/tmp/a b'",
            "ipc:///tmp/x": "jobroute broker --frontend ipc:///tmp/x",
            "tcp://127.0.0.1:1": "jobroute broker --tcp 127.0.0.1:1",
            "tcp://example.org:1": "jobroute broker --tcp example.org:1 --insecure",
        }
        self.assertEqual({url: starter(url) for url in given}, given)
