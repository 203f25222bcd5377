"""
Tests for L{jobroute.cli.doctor}.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from jobroute import __version__
from jobroute.cli import checkup
from jobroute.cli.checkup import Finding, State
from jobroute.errors import BadVersion, BrokerLost
from tests.cli.support import CommandTestCase

AGENT = {"state": "ready"}


class DoctorTests(CommandTestCase):
    """
    The command against a machine that is well.
    """

    def setUp(self) -> None:
        """
        A broker with an agent, and nothing wrong with the machine.
        """
        super().setUp()
        for name in ("versions", "sockets", "disk", "files", "clocks"):
            well = [Finding(name, State.OK, "is well")]
            self.patch(checkup, name, lambda *given, well=well: iter(well))
        self.folder = tempfile.mkdtemp(prefix="jr-")
        self.addCleanup(os.rmdir, self.folder)
        self.client.answers["ping"] = {"epoch": 3, "version": __version__}
        self.client.answers["agents"] = {"a1": AGENT}

    def findings(self) -> dict[str, dict[str, Any]]:
        """
        All findings by name.
        """
        said = self.json_of("doctor", "--data-dir", self.folder)
        return {finding["check"]: finding for finding in said["findings"]}

    def test_well(self) -> None:
        """
        A line for each check.
        """
        lines = self.output_of("doctor", "--data-dir", self.folder).splitlines()
        self.assertEqual(lines[0].split()[:2], ["CHECK", "STATE"])
        self.assertEqual({line.split()[1] for line in lines[1:]}, {"ok"})
        found = self.findings()
        self.assertIn("epoch 3", found["broker"]["found"])
        self.assertEqual(found["data directory"]["found"], self.folder)

    def test_problem(self) -> None:
        """
        A problem is the exit status.
        """
        bad = Finding("disk", State.PROBLEM, "is gone", "Find it.")
        self.patch(checkup, "disk", lambda *given: iter([bad]))
        done = self.run_command("doctor", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 1)
        self.assertIn("Find it.", done.stdout)

    def test_no_broker(self) -> None:
        """
        That there is no broker is no problem: there need not be one yet.
        """
        self.client.answers["ping"] = BrokerLost("It does not answer.")
        found = self.findings()["broker"]
        self.assertEqual(found["state"], "warning")
        self.assertIn("jobroute broker", found["advice"])

    def test_other_broker(self) -> None:
        """
        A broker of another version is worth a word, one that cannot be talked
        to is a problem.
        """
        self.client.answers["ping"] = {"epoch": 3, "version": "1.2.3"}
        found = self.findings()["broker"]
        self.assertEqual(found["state"], "warning")
        self.assertIn("1.2.3", found["found"])
        self.client.answers["ping"] = BadVersion("It speaks another protocol.")
        done = self.run_command("doctor", "--data-dir", self.folder)
        self.assertEqual(done.exit_code, 1)
        self.assertIn("another protocol", done.stdout.replace("_", " "))

    def test_agents(self) -> None:
        """
        No agents, and agents that are not heard, are worth a word.
        """
        self.client.answers["agents"] = {}
        self.assertEqual(self.findings()["agents"]["state"], "warning")
        silent = {f"a{n}": {"state": "suspect"} for n in range(7)}
        self.client.answers["agents"] = {"b1": AGENT, **silent}
        found = self.findings()["agents"]["found"]
        self.assertEqual(found, "7 of 8 are not heard: a0, a1, a2, a3, a4 …")
