# -*- test-case-name: tests.torture.test_torture -*-
"""
The processes of a torture, as the one sees them that starts and kills them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

import jobroute
from jobroute.testing.torture.notes import Notes
from jobroute.testing.torture.orders import Orders, Place

#: The modules that the processes run.
MODULES = {kind: f"jobroute.testing.torture.{kind}" for kind in ("broker", "agent", "client")}


@frozen
class Body:
    """
    What a process needs of the machine.

    @ivar rss: bytes of memory.
    @ivar files: open file descriptors.
    """

    rss: int
    files: int


def body_of(pid: int) -> Body | None:
    """
    What a process needs now, if the machine tells.
    """
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return Body(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))
    return None


@define(eq=False)
class Actor:
    """
    One process in all its lives.

    @ivar name: of the process.
    @ivar kind: C{broker}, C{agent} or C{client}.
    @ivar life: which life it is, from 1.
    @ivar ready: whether it has said that it is there.
    @ivar stopping: whether it was asked to end.
    @ivar kills: how often it was hit, by the name of the signal.
    """

    name: str
    kind: str
    _place: Place
    _world: Notes
    _began: float
    _agents: list[str]
    _seed: Callable[[], int]
    life: int = field(default=0, init=False)
    ready: bool = field(default=False, init=False)
    stopping: bool = field(default=False, init=False)
    kills: dict[str, int] = field(factory=dict, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _frozen: float | None = field(default=None, init=False)
    _first: Body | None = field(default=None, init=False)

    @property
    def who(self) -> str:
        """
        Its present life, as the history names it.
        """
        return f"{self.name}.{self.life}"

    @property
    def up(self) -> bool:
        """
        Whether there is a process.
        """
        return self._process is not None

    @property
    def frozen(self) -> bool:
        """
        Whether it is stopped and will go on.
        """
        return self._frozen is not None

    @property
    def pid(self) -> int | None:
        """
        Its process id, if it lives.
        """
        return None if self._process is None else self._process.pid

    @property
    def state(self) -> str:
        """
        How it is, in a word.
        """
        if not self.up:
            return "dead"
        if self.frozen:
            return "frozen"
        if self.stopping:
            return "stopping"
        return "up" if self.ready else "starting"

    # -- Life

    def start(self) -> None:
        """
        Live, the first time or again.
        """
        assert not self.up
        self.life += 1
        self.ready = self.stopping = False
        self._first = None
        orders = Orders(
            str(self._place.folder),
            self._began,
            self.name,
            self.life,
            self._seed(),
            self._agents,
            os.getpid(),
        )
        self._note("born")
        with open(self._place.logs / f"{self.name}.log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULES[self.kind], orders.encode()],
                cwd=self._place.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for us alone; we end them.
                start_new_session=True,
            )

    def here(self) -> None:
        """
        It has said that it is there.
        """
        self.ready = True
        self._first = self._body()

    def kill(self) -> None:
        """
        SIGKILL, at whatever it does.
        """
        process = self._process
        assert process is not None
        self._hit("SIGKILL")
        self._measure()
        process.kill()
        process.wait()
        self._over("died")

    def freeze(self) -> None:
        """
        SIGSTOP.
        """
        if self._process is not None and not self.frozen:
            self._hit("SIGSTOP")
            self._frozen = self._world.now()
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """
        SIGCONT.
        """
        if self._process is not None and self.frozen:
            self._process.send_signal(signal.SIGCONT)
            self._thawed()

    def stop(self) -> None:
        """
        SIGTERM.
        """
        assert self._process is not None
        self._hit("SIGTERM")
        self.stopping = True
        self._measure()
        self._note("stopping")
        self._process.send_signal(signal.SIGTERM)

    def look(self) -> int | None:
        """
        See whether it has ended.

        @return: its exit status, if it has.
        """
        if self._process is None:
            return None
        status = self._process.poll()
        if status is not None:
            self._over("left" if self.stopping and status in (0, 1) else "died")
        return status

    def end(self) -> None:
        """
        Be no more, whatever it does; nothing of this is a torment.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._over("died")

    def last_words(self) -> str:
        """
        The end of its log.
        """
        log = self._place.logs / f"{self.name}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "It said nothing."

    # -- Notes

    def _hit(self, signal_name: str) -> None:
        self.kills[signal_name] = self.kills.get(signal_name, 0) + 1
        self._note("hit", signal=signal_name)

    def _note(self, what: str, **said: Any) -> None:
        self._world.add(self._world.now(), self.who, what, said)

    def _thawed(self) -> None:
        since, self._frozen = self._frozen, None
        if since is not None:
            self._world.add(since, self.who, "freeze", {"seconds": self._world.now() - since})

    def _over(self, what: str) -> None:
        self._process = None
        self._thawed()
        self.ready = self.stopping = False
        self._note(what)

    def _body(self) -> Body | None:
        return None if self._process is None else body_of(self._process.pid)

    def _measure(self) -> None:
        first, last = self._first, self._body()
        if first is not None and last is not None:
            self._note("body", rss=[first.rss, last.rss], files=[first.files, last.files])


def _environment() -> dict[str, str]:
    # The same jobroute, wherever it was imported from.
    here = str(Path(jobroute.__file__).parent.parent)
    path = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBROUTE_")}
    return {**inherited, "PYTHONPATH": os.pathsep.join(path)}
