# -*- test-case-name: tests.agent.test_announcement -*-
"""
What an agent may say of itself.
"""

from __future__ import annotations

import re

from jobroute.config import Limits
from jobroute.errors import ConfigurationError
from jobroute.model import Announcement
from jobroute.wire.text import NAME

_is_name = re.compile(NAME).match


def default_name(hostname: str) -> str:
    """
    The name of an agent that was given none: its machine's.

    An agent keeps its name and number when it is restarted, and is
    addressed by them, so nothing that changes is in it.  A second agent on
    the same machine has to be given a name.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", hostname).lstrip("._-")[:128]
    return name or "agent"


def check(announcement: Announcement, limits: Limits) -> None:
    """
    See whether a broker would take it.

    @raise ConfigurationError: if not; the text names what is wrong.
    """
    a = announcement
    for what, name in (
        ("name", a.name),
        *(("service", name) for name in a.services),
        *(("label", name) for name in a.labels),
    ):
        if not isinstance(name, str) or not _is_name(name):
            raise ConfigurationError(
                f"{what} must be 1 to 128 letters, digits, dots, dashes and underscores, "
                f"and begin with a letter or digit, not {name!r}."
            )
    for key, value in a.labels.items():
        if not isinstance(value, str) or len(value) > 256:
            raise ConfigurationError(f"label {key} must be a text of up to 256 characters.")
    for what, number, least in (("slots", a.slots, 1), ("prefetch", a.prefetch, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ConfigurationError(
                f"{what} must be a whole number of at least {least}, not {number!r}."
            )
    for what, number, most in (
        ("slots and prefetch", a.slots + a.prefetch, limits.slots),
        ("services", len(a.services), limits.agent_services),
        ("labels", len(a.labels), limits.labels),
    ):
        if number > most:
            raise ConfigurationError(f"{what}: {number} is over the limit of {most}.")
