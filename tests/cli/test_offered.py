"""
Tests for L{jobroute.cli.offered}.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

import click
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli import offered
from jobroute.cli.command import jobroute

HERE = "tests.cli.test_offered"


@click.command()
def hello() -> None:
    """
    Greet.
    """
    click.echo("Hello.")


class OfferedTests(SynchronousTestCase):
    """
    A package offers commands.
    """

    def setUp(self) -> None:
        """
        Install it.
        """
        points = (
            EntryPoint("hello", f"{HERE}:hello", offered.GROUP),
            EntryPoint("missing", f"{HERE}.nowhere:it", offered.GROUP),
            EntryPoint("number", f"{HERE}:HERE", offered.GROUP),
            EntryPoint("call", f"{HERE}:hello", offered.GROUP),
        )

        def found(group: str, name: str | None = None) -> list[EntryPoint]:
            self.assertEqual(group, "jobroute.commands")
            return [point for point in points if name in (None, point.name)]

        self.patch(offered, "entry_points", found)

    def run_command(self, *arguments: str) -> Result:
        """
        Give the command.
        """
        return CliRunner().invoke(jobroute, arguments)

    def test_used(self) -> None:
        """
        It is used like any other.
        """
        result = self.run_command("hello")
        self.assertEqual((result.exit_code, result.output), (0, "Hello.\n"))

    def test_help(self) -> None:
        """
        The help names it after ours, and says which cannot be used.
        """
        said = self.run_command("--help").output
        self.assertIn("hello", said)
        self.assertIn("Greet.", said)
        self.assertIn("missing", said)
        self.assertIn("Cannot be used", said)
        self.assertLess(said.index("demo"), said.index("hello"))

    def test_cannot_be_loaded(self) -> None:
        """
        One that cannot be loaded is a sentence, whatever its options.
        """
        for name, why in (("missing", "cannot be loaded"), ("number", "no command of click")):
            result = self.run_command(name, "--what", "ever")
            self.assertEqual(result.exit_code, 2, result.output)
            self.assertIn(f"The command {name} cannot be used", result.output)
            self.assertIn(why, result.output)

    def test_ours_first(self) -> None:
        """
        Nobody takes the name of one of ours.
        """
        result = self.run_command("call", "--help")
        self.assertNotIn("Greet.", result.output)
        self.assertEqual(self.run_command("--help").output.count("\n  call "), 1)

    def test_unknown(self) -> None:
        """
        What nobody offers is not there.
        """
        result = self.run_command("nothing")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("No such command", result.output)


class InstalledTests(SynchronousTestCase):
    """
    What is installed with jobroute itself.
    """

    def test_unknown_name(self) -> None:
        """
        There is no command of a name that nobody offers.
        """
        self.assertIsNone(offered.named("no-such-command"))
        self.assertNotIn("no-such-command", offered.names())
