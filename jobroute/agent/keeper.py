# -*- test-case-name: tests.agent.test_keeper -*-
"""
A small process around each program that an agent runs: it starts the program,
adopts whatever the program leaves behind, and ends all of it.

It is the child subreaper (Linux), so that a descendant which forks twice and
makes a session of its own comes to it and not to the first process of the
machine; the agent's own process, in which other things may run, adopts nobody.
When the agent is gone, however it went, it ends the program by itself.

It is run as a script, without jobroute around it, and uses nothing of it: it
has to be there at once.  Descriptors: 0, 1 and 2 are the program's, 3 brings
what the agent wants (a line of JSON, then C{E}: end it, C{K}: kill it), 4 takes
what became of it (a line of JSON each), 5 is for what the program says.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from typing import Any

CONTROL, STATUS, SAYS = 3, 4, 5

#: Under which number the program has the descriptor for what it says.
GIVEN = 3

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

#: Seconds between two rounds of killing.
_ROUND = 0.02


def tell(**said: Any) -> None:
    """
    Tell the agent something, if there is one.
    """
    try:
        os.write(STATUS, json.dumps(said).encode("ascii") + b"\n")
    except OSError:
        pass


def set_process(option: int, value: int) -> None:
    """
    Call prctl, where there is one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(ancestor: int) -> list[int]:
    """
    All processes that come from another, and have not ended.
    """
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                # It has ended just now.
                continue
            if state not in (b"Z", b"X"):
                parents[int(name)] = int(parent)
    found: list[int] = []
    for pid in parents:
        line = [pid]
        while (parent_pid := parents.get(line[-1])) is not None and parent_pid not in line:
            line.append(parent_pid)
            if parent_pid == ancestor:
                found.append(pid)
                break
    return found


def read_order() -> tuple[dict[str, Any], bytes]:
    """
    What is to be run, and what came after that already.
    """
    data = b""
    while b"\n" not in data:
        more = os.read(CONTROL, 1024 * 1024)
        if not more:
            sys.exit(1)
        data += more
    line, _, rest = data.partition(b"\n")
    return json.loads(line), rest


class Keeper:
    """
    Keeps one program.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.pid = 0
        self.ending = False
        self.killing = False
        self.ended = False
        # Signals are read as bytes, in order with everything else.
        self.signals, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(self.signals, False)
        for number in (signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def start(self) -> str:
        """
        Start the program.

        @return: why it cannot be started.
        """
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                self._become()
            except BaseException as e:
                said = f"{e.strerror}" if isinstance(e, OSError) else f"{type(e).__name__}: {e}"
                os.write(writing, said.encode("utf-8", "replace")[:1000])
            os._exit(127)
        os.close(writing)
        why = b""
        while data := os.read(reading, 4096):
            why += data
        os.close(reading)
        return why.decode("utf-8", "replace")

    def _become(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if signal.getsignal(number) not in (None, signal.SIG_DFL):
                signal.signal(number, signal.SIG_DFL)
        os.setsid()
        # If somebody kills the keeper, there is nobody else to do it.
        set_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.order["cwd"] is not None:
            os.chdir(self.order["cwd"])
        os.dup2(SAYS, GIVEN)
        args = self.order["args"]
        os.execvpe(args[0], args, self.order["environ"])

    def let_go(self) -> None:
        """
        Leave the program's descriptors to the program, so that they end with
        it.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2, SAYS):
            os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)

    def signal_all(self, number: int) -> None:
        """
        Send a signal to the program and all that comes from it.
        """
        linux = sys.platform == "linux"
        for pid in descendants(os.getpid()) if linux else (-self.pid,):
            try:
                os.kill(pid, number)
            except OSError:
                pass

    def end(self) -> None:
        """
        Let everything end that is left, and kill it when the grace is over.
        """
        if not self.ending:
            self.ending = True
            self.signal_all(signal.SIGTERM)
            # What is stopped cannot end.
            self.signal_all(signal.SIGCONT)
            signal.setitimer(signal.ITIMER_REAL, max(self.order["grace"], 0.001))

    def kill(self) -> None:
        """
        Kill everything that is left, and what it starts meanwhile.
        """
        self.ending = self.killing = True
        self.signal_all(signal.SIGKILL)
        signal.setitimer(signal.ITIMER_REAL, _ROUND)

    def reap(self) -> bool:
        """
        Take note of what has ended.

        @return: whether something is left.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self.pid:
                self.ended = True
                code = os.waitstatus_to_exitcode(status)
                tell(exit=code) if code >= 0 else tell(signal=-code)

    def run(self, rest: bytes) -> None:
        """
        Until nothing is left of the program.
        """
        watched = [CONTROL, self.signals]
        wanted = rest
        while self.reap():
            if self.ended:
                # What a part has started ends with it.
                self.end()
            if b"K" in wanted:
                self.kill()
            elif b"E" in wanted:
                self.end()
            wanted = b""
            ready = select.select(watched, (), ())[0]
            if CONTROL in ready:
                wanted = os.read(CONTROL, 4096)
                if not wanted:
                    # The agent is gone.
                    watched.remove(CONTROL)
                    wanted = b"E"
            if self.signals in ready:
                came = os.read(self.signals, 4096)
                if signal.SIGTERM in came:
                    wanted += b"E"
                if signal.SIGALRM in came:
                    wanted += b"K"
        signal.setitimer(signal.ITIMER_REAL, 0)
        # Where the kernel lets nobody adopt.
        self.signal_all(signal.SIGKILL)


def main() -> None:
    """
    Keep a program.
    """
    os.setsid()
    set_process(_PR_SET_CHILD_SUBREAPER, 1)
    for descriptor in (CONTROL, STATUS, SAYS):
        os.set_inheritable(descriptor, False)
    order, rest = read_order()
    keeper = Keeper(order)
    why = keeper.start()
    keeper.let_go()
    if why:
        keeper.ended = True
        tell(error=why)
    keeper.run(rest)


if __name__ == "__main__":
    main()
