# -*- test-case-name: tests.agent.test_command -*-
"""
An agent as a process of its own: C{jobroute agent}.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny

from jobroute.agent.agent import Agent
from jobroute.agent.functions import marked_name, resolve
from jobroute.clock import steady
from jobroute.config import LOG_LEVELS, default_data_dir, frontend_url
from jobroute.errors import ConfigurationError
from jobroute.log import set_level

#: Everything that it held was finished, and the broker knows it.
DONE = 0

#: It stopped with something unfinished.
UNFINISHED = 1

#: It was told something wrong.
USAGE = 2

#: The broker does not take it.
REFUSED = 3


def parse_services(services: Sequence[str], others: bool = False) -> dict[str, str]:
    """
    Read C{NAME=module:callable}; without C{NAME=} the service is called as
    the function is marked, or as it is named.

    @param others: whether there are other services.
    @return: C{module:callable} of each service.
    @raise ConfigurationError: if there is no such function, or no service,
        or the same one twice.
    """
    found: dict[str, str] = {}
    for text in services:
        name, equals, dotted = text.partition("=")
        if not equals:
            dotted = name
        function = resolve(dotted)
        if not equals:
            name = marked_name(function)
        if name in found:
            raise ConfigurationError(f"Service {name} is given twice.")
        found[name] = dotted
    if not found and not others:
        raise ConfigurationError("An agent needs at least one --service NAME=module:callable.")
    return found


def parse_labels(labels: Sequence[str]) -> dict[str, str]:
    """
    Read C{KEY=VALUE}.

    @raise ConfigurationError: if it is not that, or a key comes twice.
    """
    found: dict[str, str] = {}
    for text in labels:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"A label is KEY=VALUE, not {text!r}.")
        if key in found:
            raise ConfigurationError(f"Label {key} is given twice.")
        found[key] = value
    return found


def run(
    broker: str | None = None,
    services: Sequence[str] = (),
    slots: int | None = None,
    prefetch: int = 0,
    name: str | None = None,
    labels: Sequence[str] = (),
    drain: float = 10.0,
    patience: float = 30.0,
    log_level: str = "info",
    stderr: TextIO | None = None,
    processes: int | None = None,
    memory_limit: int | None = None,
    tasks_per_child: int | None = None,
    grace: float = 5.0,
    allow_command: bool = False,
) -> int:
    """
    Be an agent until a signal comes or the broker does not want one: the
    first SIGTERM or SIGINT drains, the second stops at once.

    Modules are looked for in the current folder, too.

    @param broker: the frontend's URL; by default that of a broker which was
        told nothing.
    @param services: C{NAME=module:callable} each.
    @param labels: C{KEY=VALUE} each.
    @param drain: for how many seconds the first signal waits.
    @param patience: for how many seconds a name that is taken is asked for.
    @param stderr: where the log goes.
    @param processes: in how many processes functions run.
    @param memory_limit: how many bytes of memory each may have.
    @param tasks_per_child: after how many parts each is replaced.
    @param grace: how many seconds each has to end, and a program.
    @param allow_command: whether it runs programs.
    @return: the exit status.
    """
    stderr = sys.stderr if stderr is None else stderr
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if log_level not in LOG_LEVELS:
            raise ConfigurationError(
                f"log_level must be one of {', '.join(LOG_LEVELS)}, not {log_level!r}."
            )
        agent = Agent(
            frontend_url(default_data_dir()) if broker is None else broker,
            name=name,
            services=parse_services(services, allow_command),
            slots=slots,
            prefetch=prefetch,
            labels=parse_labels(labels),
            drain=drain,
            patience=patience,
            processes=processes,
            memory_limit=memory_limit,
            tasks_per_child=tasks_per_child,
            grace=grace,
            allow_command=allow_command,
        )
    except ConfigurationError as e:
        print(e, file=stderr)
        return USAGE
    set_level(log_level)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(stderr)], redirectStandardIO=False)
    # The functions' modules have had their chance to choose a reactor.
    reactor: Any = namedAny("twisted.internet.reactor")
    steady(reactor)
    status: list[int] = []

    def stopped(result: Failure | None) -> None:
        if isinstance(result, Failure):
            print(result.getErrorMessage(), file=stderr)
            status.append(REFUSED)
        else:
            status.append(UNFINISHED if agent.unfinished else DONE)
        reactor.stop()

    def start() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: reactor.callFromThread(agent.stopService))
        agent.startService()
        agent.whenStopped().addBoth(stopped)

    reactor.callWhenRunning(start)
    reactor.run()
    return status[0] if status else UNFINISHED
