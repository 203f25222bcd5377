"""
Tests that C{doc/command.rst} says what the C{jobroute} command does.
"""

from __future__ import annotations

import re
import shlex

import click
from twisted.trial.unittest import SynchronousTestCase

from jobroute.cli.broker import Options
from jobroute.cli.command import jobroute
from tests.cli.support import ROOT

PAGE = (ROOT / "doc" / "command.rst").read_text(encoding="utf-8")

#: Options of all commands, or of none that needs to be told.
ELSEWHERE = {"--help", "-h"}

#: Said once, for all commands about jobs.
COMMON = re.search(r"(?s)\nHave work done\n-+\n(.*?)\ncall\n~", PAGE)


def section(name: str) -> str:
    """
    What the page says of a command.
    """
    found = re.search(rf"(?ms)^{name}\n~+\n(.*?)(?=^\S+\n~+\n|^\S[^\n]*\n-+\n|\Z)", PAGE)
    return "" if found is None else found[1]


def examples() -> list[list[str]]:
    """
    The arguments of each C{jobroute} in the page's examples.
    """
    lines = re.findall(r"(?m)^    \$ .*?\bjobroute ?(.*?)(?: \||\)?$)", PAGE)
    return [shlex.split(line) for line in lines]


class PageTests(SynchronousTestCase):
    """
    Commands, options and examples.
    """

    def test_every_command(self) -> None:
        """
        Each command has a section with an example, and there is no section of
        a command that isn't.
        """
        for name in jobroute.commands:
            self.assertRegex(section(name), rf"\$ .*jobroute (--json )?{name}\b")
        self.assertEqual(set(re.findall(r"(?m)^(\S+)\n~+$", PAGE)), set(jobroute.commands))

    def test_every_option(self) -> None:
        """
        Each option stands in the section of its command, or where it is said
        for several.
        """
        assert COMMON is not None
        missing = []
        for name, command in jobroute.commands.items():
            said = section(name) + COMMON[1] + PAGE[: PAGE.index("What it prints")]
            said += section("call") if name in ("map", "wait", "result") else ""
            said += PAGE[PAGE.index("What it prints") : PAGE.index("Exit statuses")]
            for option in command.params:
                if isinstance(option, click.Option):
                    longest = max(option.opts, key=len)
                    if longest not in ELSEWHERE and f"{longest}" not in said:
                        missing.append(f"{name} {longest}")
        self.assertEqual(missing, [])
        for option in jobroute.params:
            self.assertIn(f"``{max(option.opts, key=len)}", PAGE)

    def test_every_environment_variable(self) -> None:
        """
        And each variable that stands for one.
        """
        options = [*jobroute.params, *(p for c in jobroute.commands.values() for p in c.params)]
        names = {option.envvar for option in options if option.envvar}
        self.assertEqual({name for name in names if f"``{name}``" not in PAGE}, set())

    def test_no_unknown_option(self) -> None:
        """
        What the page calls an option is one.
        """
        known = {opt for c in jobroute.commands.values() for p in c.params for opt in p.opts}
        known |= {opt for p in jobroute.params for opt in p.opts}
        broker = Options()
        known |= {f"--{name.rstrip('=')}" for name in broker.longOpt} | {"--help"}
        self.assertEqual(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - known, set())

    def test_examples(self) -> None:
        """
        Each example is one that the command understands.
        """
        self.assertGreater(len(examples()), 20)
        parent = jobroute.make_context("jobroute", [])
        for line in examples():
            # A file that is there, in the place of one that is not.
            name, *rest = ["/dev/null" if a == "picture.png" else a for a in line if a != "--json"]
            jobroute.commands[name].make_context(name, [*rest], parent=parent)
            if name == "broker":
                Options().parseOptions(rest)
