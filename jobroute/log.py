# -*- test-case-name: tests.test_log -*-
"""
Loggers that say nothing below a level.

Neither twistd nor twist's own loggers can be told one level for one plugin.
"""

from __future__ import annotations

from typing import Any

from constantly import NamedConstant
from twisted.logger import Logger as TwistedLogger
from twisted.logger import LogLevel

_least: NamedConstant = LogLevel.info


def set_level(name: str) -> None:
    """
    Say nothing below this level, in the whole process.

    @param name: C{debug}, C{info}, C{warn}, C{error} or C{critical}.
    """
    global _least  # noqa: PLW0603
    _least = LogLevel.lookupByName(name)


def least_level() -> str:
    """
    The level below which nothing is said.
    """
    return str(_least.name)


class Logger(TwistedLogger):
    """
    Twisted's, with a least level.
    """

    def emit(self, level: NamedConstant, format: str | None = None, **kwargs: Any) -> None:
        """
        Say something, if it is important enough.
        """
        if level >= _least:
            super().emit(level, format, **kwargs)
