"""
Tests for L{jobroute.cli.completion}.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from click.shell_completion import ShellComplete

from jobroute.cli.command import jobroute
from jobroute.cli.session import Session
from jobroute.client import Page
from jobroute.errors import BrokerLost
from tests.cli.support import CommandTestCase
from tests.cli.test_looking import line

SHELLS = ("bash", "zsh", "fish")


class CompletionTests(CommandTestCase):
    """
    What is offered when somebody presses the key.
    """

    def setUp(self) -> None:
        """
        A broker with two agents and two jobs.
        """
        super().setUp()
        offered = {"a1": ["echo", "sleep"], "a2": ["echo", "render"]}
        self.client.answers["agents"] = {n: {"services": s} for n, s in offered.items()}
        self.client.answers["jobs"] = Page((line(2), line(1)), None)

    def complete(self, arguments: Sequence[str], incomplete: str = "") -> list[str]:
        """
        What is offered after these arguments.
        """
        session = Session(connect=self.client.connect)
        shell = ShellComplete(jobroute, {"obj": session}, "jobroute", "X")
        return [item.value for item in shell.get_completions(list(arguments), incomplete)]

    def test_commands(self) -> None:
        """
        Commands and options need no broker.
        """
        self.assertEqual(self.complete([], "su"), ["submit"])
        self.assertEqual(self.complete(["submit"], "--prio"), ["--priority"])
        self.assertEqual(self.client.calls, [])

    def test_services(self) -> None:
        """
        Services that some agent offers.
        """
        self.assertEqual(self.complete(["call"]), ["echo", "render", "sleep"])
        self.assertEqual(self.complete(["submit"], "re"), ["render"])
        self.assertEqual(self.complete(["jobs", "--service"], "e"), ["echo"])

    def test_agents(self) -> None:
        """
        Agents.
        """
        self.assertEqual(self.complete(["call", "echo", "--agent"], "a"), ["a1", "a2"])

    def test_jobs(self) -> None:
        """
        The latest jobs of the namespace.
        """
        for command in ("wait", "result", "cancel", "input", "job", "why"):
            self.assertEqual(self.complete([command]), ["j1", "j2"], command)
        self.complete(["wait", "--namespace", "mine"])
        self.assertEqual(self.client.asked("connect")[1]["namespace"], "mine")

    def test_which_broker(self) -> None:
        """
        The one that the command line names is asked, and not for long.
        """
        self.complete(["--broker", "tcp://127.0.0.1:9", "call"])
        (url,), given = self.client.asked("connect")
        self.assertEqual((url, given["timeout"]), ("tcp://127.0.0.1:9", 1.0))

    def test_no_broker(self) -> None:
        """
        Without a broker nothing is offered, and nothing is said.
        """
        self.client.answers["agents"] = BrokerLost("It does not answer.")
        self.assertEqual(self.complete(["call"]), [])
        self.assertEqual(self.complete(["--broker", "nowhere", "call"]), [])

    def test_scripts(self) -> None:
        """
        Each shell has a script, which it can read.
        """
        for shell in SHELLS:
            script = self.output_of("completion", shell)
            self.assertIn("_JOBROUTE_COMPLETE", script)
            self.assertEqual(self.json_of("completion", shell)["script"], script)
            found = shutil.which(shell)
            if found is not None:
                subprocess.run([found, "-n"], input=script.encode(), check=True, timeout=60)
