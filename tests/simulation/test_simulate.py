"""
Tests for L{jobroute.testing.simulate}.
"""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO

from attrs import evolve
from click.testing import CliRunner, Result
from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from jobroute.testing import coverage
from jobroute.testing import simulate as command
from jobroute.testing.checker import Breach
from jobroute.testing.promises import Broken
from jobroute.testing.simulation import Report, simulate


def breaking(seed: int) -> Report:
    """
    A run that breaks a promise four times, if its seed is odd.
    """
    report = simulate(seed)
    breach = Breach("Nothing is lost", Broken("Job j1 is lost.", ("j1",)), 1)
    return evolve(report, breaches=[breach] * 4) if seed % 2 else report


class CommandTests(SynchronousTestCase):
    """
    What is printed, and how it ends.
    """

    def run_command(self, *arguments: str) -> Result:
        """
        Give the command; the logs of the tests are left alone.
        """
        self.patch(command, "quiet", lambda: None)
        return CliRunner().invoke(command.main, arguments)

    def test_kept(self) -> None:
        """
        Runs that keep every promise are counted, and that is success.
        """
        result = self.run_command("--seeds", "3", "--first", "7")
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("3 runs", result.output)
        self.assertIn("every promise was kept", result.output)

    def test_broken(self) -> None:
        """
        Each run that breaks one is told with its history and the line that
        does it again, and that is no success.
        """
        self.patch(command, "simulate", breaking)
        result = self.run_command("--seeds", "2")
        self.assertEqual(result.exit_code, 1, result.output)
        self.assertIn("Seed 1 broke promise 1: Nothing is lost.", result.output)
        self.assertIn("and 1 times more", result.output)
        self.assertIn("job='j1'", result.output)
        self.assertIn("python -m jobroute.testing.simulate --seed 1", result.output)
        self.assertIn("1 of them broke a promise", result.output)
        self.assertNotIn("Seed 0", result.output)

    def test_one(self) -> None:
        """
        One seed says its digest, and with a trace everything that happened.
        """
        short = self.run_command("--seed", "3")
        self.assertEqual(short.exit_code, 0, short.output)
        self.assertIn(f"Digest: {simulate(3).digest}", short.output)
        long = self.run_command("--seed", "3", "--trace")
        self.assertEqual(
            len(long.output.splitlines()) - len(short.output.splitlines()),
            len(simulate(3).evidence.history),
        )

    def test_one_broken(self) -> None:
        """
        One seed that breaks a promise is no success.
        """
        self.patch(command, "simulate", breaking)
        self.assertEqual(self.run_command("--seed", "1").exit_code, 1)

    def test_trace_of_many(self) -> None:
        """
        There is no trace of many runs.
        """
        self.assertEqual(self.run_command("--trace").exit_code, 2)

    def test_shortened(self) -> None:
        """
        Of a long history the end is shown.
        """
        self.patch(command, "SHOWN", 5)
        self.patch(command, "simulate", breaking)
        self.assertIn("entries before", self.run_command("--seed", "1").output)

    def test_json(self) -> None:
        """
        The same for programs, alone on the standard output.
        """
        result = json.loads(self.run_command("--seeds", "3", "--json").stdout)
        self.assertEqual((result["runs"], result["broken"], result["missing"]), (3, [], []))
        self.assertEqual(list(result["coverage"]), list(command.NAMES))
        self.assertGreater(sum(result["coverage"]["crash_broker"].values()), 0)

    def test_missing(self) -> None:
        """
        Many runs in which something never happened are no success.
        """
        self.patch(coverage, "RUNS", 2)
        result = self.run_command("--seeds", "2")
        self.assertEqual(result.exit_code, 1, result.output)
        self.assertIn("cut_power met a part that is cancelling 0 times; 1 are", result.output)

    def test_processes(self) -> None:
        """
        Many runs are shared by several processes, and told in order.
        """
        self.patch(command, "MANY", 2)
        self.patch(command, "cpu_count", lambda: 2)
        summaries = list(command.runs(range(10, 16)))
        self.assertEqual([summary.seed for summary in summaries], list(range(10, 16)))
        self.assertEqual(summaries[2], command.run(12))

    def test_progress(self) -> None:
        """
        On a terminal there is a bar; what is printed is the same.
        """
        shown, printed = StringIO(), StringIO()
        with redirect_stdout(printed):
            console = Console(file=shown, force_terminal=True, width=80)
            self.assertEqual(command.simulate_all(range(2), console).broken, [])
        self.assertIn("Simulating", shown.getvalue())
        self.assertNotIn("Simulating", printed.getvalue())
