# -*- test-case-name: tests.cli.test_processes -*-
"""
A broker as a process of its own: C{jobroute broker}.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.reflect import namedAny
from twisted.python.usage import UsageError

from jobroute import tap

#: The command line is wrong.
USAGE = 2


class Options(tap.Options):
    """
    The same, under the name of this command.
    """

    synopsis = "Usage: jobroute broker [options]"


def run(arguments: Sequence[str], stderr: TextIO | None = None) -> int:
    """
    Be a broker until a signal comes: the first SIGTERM or SIGINT stops it in
    order, the second at once.

    @param arguments: as C{twistd jobroute} takes them.
    @param stderr: where the log goes.
    @return: the exit status, if it stopped in order.
    @raise SystemExit: if it cannot start, or has to end.
    """
    stderr = sys.stderr if stderr is None else stderr
    options = Options()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    except UsageError as e:
        print(f"{e}\nTry 'jobroute broker --help' for help.", file=stderr)
        return USAGE
    globalLogBeginner.beginLoggingTo([textFileLogObserver(stderr)], redirectStandardIO=False)
    reactor: Any = namedAny("twisted.internet.reactor")
    service: Any = tap.makeService(options, reactor)
    service.complains = stderr is not sys.stderr
    service.privilegedStartService()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return 0
