# -*- test-case-name: tests.cli.test_offered -*-
"""
Commands of C{jobroute} that installed packages offer, as entry points of the
group C{jobroute.commands}.  What the entry point names is a L{click.Command}.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from jobroute.errors import ConfigurationError

#: The group of the entry points.
GROUP = "jobroute.commands"


def names() -> list[str]:
    """
    What the commands are called.
    """
    return sorted({point.name for point in entry_points(group=GROUP)})


def named(name: str) -> click.Command | None:
    """
    The command of a name, if there is one.  One that cannot be loaded says so
    when it is used, and nobody else suffers from it.
    """
    for point in entry_points(group=GROUP, name=name):
        return _load(point)
    return None


def _load(point: EntryPoint) -> click.Command:
    try:
        found = point.load()
    except Exception as e:
        return _unusable(point, f"it cannot be loaded: {e}")
    if not isinstance(found, click.Command):
        return _unusable(point, f"{point.value} is no command of click")
    return found


def _unusable(point: EntryPoint, why: str) -> click.Command:
    def refuse(**given: Any) -> None:
        raise ConfigurationError(f"The command {point.name} cannot be used; {why}.")

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        point.name, settings, refuse, short_help=f"Cannot be used; {why}.", add_help_option=False
    )
