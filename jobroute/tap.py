# -*- test-case-name: tests.test_tap -*-
"""
C{twistd jobroute} and C{twist jobroute}: options in, service out.
"""

from __future__ import annotations

import atexit
import gc
import os
import resource
import signal
import sys
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorCore
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.python.reflect import namedAny

from jobroute import __version__, log
from jobroute.clock import steady
from jobroute.config import SOCKETS, Settings, load, read_file
from jobroute.errors import ConfigurationError, JobrouteError
from jobroute.lock import DataDirectory
from jobroute.service import BrokerService
from jobroute.storage import storage_named

#: More open files than a broker ever needs.
_FILES = 1_000_000


class Options(usage.Options):
    """
    Of a broker.  Command line wins over file over default.
    """

    synopsis = "[options]"
    longdesc = "Route jobs from clients to agents over ZeroMQ."

    optParameters = [  # noqa: RUF012
        ["config", "c", None, "Read settings from this TOML file."],
        ["data-dir", "d", None, "Keep the store, the lock and the ipc:// sockets here."],
        *(
            [name, None, None, f"URL of the {name} socket (default: ipc:// in the data directory)."]
            for name in SOCKETS
            if name != "heartbeat"
        ),
        ["heartbeat", None, None, "URL of the heartbeat socket, or 'none'."],
        ["tcp", None, None, "HOST[:PORT]: all sockets on consecutive ports from 7780 or PORT."],
        ["storage", "s", None, "sqlite, memory, or one that is installed (default: sqlite)."],
        ["io-threads", None, None, "Threads of libzmq (default: 1).", int],
        ["log-level", None, None, "debug, info, warn, error or critical (default: info)."],
    ]
    optFlags = [  # noqa: RUF012
        ["insecure", None, "Allow sockets and a data directory that others can reach."],
        ["no-restore", None, "Begin anew: set the store aside, where it is kept."],
        ["check", None, "Check the settings, say whether they are good, and exit."],
    ]
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles("*.toml"),
            "data-dir": usage.CompleteDirs(),
            "storage": usage.CompleteList(["sqlite", "memory"]),
            "log-level": usage.CompleteList(["debug", "info", "warn", "error", "critical"]),
        }
    )

    settings: Settings

    def opt_version(self) -> None:
        """
        Print the version of jobroute and exit.
        """
        print(f"jobroute {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Check everything that can be checked before the start.
        """
        given = {
            key.replace("-", "_"): value
            for key, value in self.items()
            if key not in ("config", "check") and value is not None
        }
        # A flag that is not given says nothing against the file.
        for flag in ("insecure", "no-restore"):
            given.pop(flag.replace("-", "_"), None)
            if self[flag]:
                given[flag.replace("-", "_")] = True
        try:
            file = read_file(self["config"]) if self["config"] else None
            self.settings = load(given, file)
            if self["check"]:
                storage_named(self.settings.storage, self.settings, _NoReactor(), None)  # type: ignore[arg-type]
        except ConfigurationError as e:
            raise usage.UsageError(str(e)) from e
        if self["check"]:
            print("The settings are good.")
            sys.exit(0)


class _NoReactor:
    """
    Stands for the reactor while settings are checked: nothing is started.
    """


def _collect_seldom() -> None:
    """
    Look for circles less often than Python does by default.  The broker
    leaves none behind in its daily work, and looking for them costs it a
    third of its time, and a pause when much is queued.  What was restored is
    not looked at again.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    gc.enable()


def _many_files() -> None:
    """
    Let this process have as many files open as it may: each agent has three
    connections, and what cannot be accepted is not even refused.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class BrokerProcess(BrokerService):
    """
    A broker that is a process of its own: when it cannot start, or has to
    end, so does the process, with a sentence and a status that is not 0.

    @ivar complains: whether the sentence goes to standard error as well as to
        the log, which may be a file.
    @ivar daemon: whether twistd's parent process waits to hear how the start
        went.
    """

    complains = True
    daemon = False

    def startService(self) -> None:
        """
        Start, and let a second signal stop at once.
        """
        _many_files()
        gc.collect()
        gc.disable()
        super().startService()
        reactor: IReactorCore = self._reactor
        reactor.addSystemEventTrigger("before", "shutdown", self._hurry_on_signal)
        self.whenReady().addBoth(lambda _: _collect_seldom())

    def _hurry_on_signal(self) -> None:
        def now(number: int, frame: Any) -> None:
            self._reactor.callFromThread(self.stopNow)

        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, now)

    def ended(self, failure: Failure) -> None:
        """
        End the process.
        """
        reason = failure.value
        if self.complains and isinstance(reason, JobrouteError):
            sys.stderr.write(f"jobroute: {reason}\n")
            sys.stderr.flush()
        if not self._reactor.running:
            if self.daemon:
                # Only of an Exception does twistd tell its parent, which else
                # would wait for ever.
                failure.raiseException()
            raise SystemExit(1)
        # Last of all, after twistd has removed its pid file.
        atexit.register(os._exit, 1)
        self._reactor.stop()


def makeService(options: Options, reactor: Any = None, **parts: Any) -> IService:
    """
    Make the service that C{twistd} and C{twist} run.

    @param parts: of the broker, if they are not its own; as L{BrokerService}
        takes them.
    """
    log.set_level(options.settings.log_level)
    settings = options.settings
    parent: Any = options.parent or {}
    directory = DataDirectory(settings.data_dir, settings.insecure)
    if parent.get("uid") is not None:
        gid = parent.get("gid")
        directory.owner = parent["uid"], -1 if gid is None else gid
    if reactor is None:
        reactor = namedAny("twisted.internet.reactor")
    steady(reactor)
    service = BrokerProcess(settings, reactor, directory=directory, **parts)
    # twist has no such option: it never is a daemon.
    service.daemon = not parent.get("nodaemon", True)
    made: IService = service
    return made
