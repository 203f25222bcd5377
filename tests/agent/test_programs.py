"""
Tests of programs: what they are given, what they print and say, and that
nothing is left of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from jobroute.agent.context import Context
from jobroute.agent.functions import Failed, Lost, Refuse
from jobroute.agent.programs import Programs, read_order
from jobroute.clock import SystemClock
from jobroute.errors import Cancelled
from jobroute.model import Frames
from tests.agent.hosts import HostCase, lives, reactor

#: Forks twice, with a session of its own, and writes which process it became.
DAEMON = """
import os, signal, sys, time
if os.fork():
    os.wait()
else:
    os.setsid()
    if os.fork():
        os._exit(0)
    if {stubborn}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ.clear()
    with open({path!r} + ".new", "w") as file:
        file.write(f"{{os.getppid() and os.getpid()}} {main}")
    os.rename({path!r} + ".new", {path!r})
    time.sleep(600)
    os._exit(0)
"""

#: Does not mind being told to end.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open({path!r} + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename({path!r} + ".new", {path!r})
while True:
    time.sleep(600)
"""


class OrderTests(SynchronousTestCase):
    """
    What a job asks for.
    """

    def test_good(self) -> None:
        """
        An argument list is enough.
        """
        order = read_order(b'{"args":["ls","-l"]}')
        self.assertEqual((order.args, order.environ, order.cwd), (["ls", "-l"], {}, None))
        self.assertEqual((order.inputs, order.stream), (False, True))

    def test_bad(self) -> None:
        """
        Everything else is refused in a sentence that names it.
        """
        for header, named in (
            (b"null", "expected"),
            (b"{}", "args"),
            (b'{"args":[]}', "args"),
            (b'{"args":[""]}', "args"),
            (b'{"args":"ls -l"}', "args"),
            (b'{"args":["ls",1]}', "args"),
            (b'{"args":["ls","a\\u0000b"]}', "args"),
            (b'{"args":["ls"],"cwd":"\\u0000"}', "cwd"),
            (b'{"args":["ls"],"cwd":1}', "cwd"),
            (b'{"args":["ls"],"environ":{"a=b":"c"}}', "environ"),
            (b'{"args":["ls"],"environ":{"":"c"}}', "environ"),
            (b'{"args":["ls"],"environ":{"a":"\\u0000"}}', "environ"),
            (b'{"args":["ls"],"shell":true}', "shell"),
            (b'{"args":["ls"],"inputs":1}', "inputs"),
            (b"\xff", "wrong"),
            (b"[" * 100_000, "wrong"),
        ):
            error = self.assertRaises(Refuse, read_order, header)
            self.assertIn(named, str(error))
            self.assertTrue(str(error).startswith("The header of a command is wrong: "))


class ProgramsTests(HostCase):
    """
    Real programs.
    """

    def setUp(self) -> None:
        """
        None runs yet.
        """
        super().setUp()
        self.programs = Programs(reactor, SystemClock(), 20.0)
        self.addCleanup(self.finish)

    def finish(self) -> Deferred[None]:
        """
        Leave none behind.
        """
        stopped = self.programs.stop()
        self.programs.kill()
        return stopped

    def perform(
        self, *args: str, frames: Frames = (), **more: Any
    ) -> tuple[Context, Deferred[Frames]]:
        """
        Run a program.
        """
        header = json.dumps({"args": args, **more}).encode()
        context = self.context("command", *frames, header=header)
        return context, Deferred.fromCoroutine(self.programs.perform(b"", context))

    def python(self, code: str, **more: Any) -> tuple[Context, Deferred[Frames]]:
        """
        Run one in Python.
        """
        return self.perform(sys.executable, "-c", code, **more)

    async def failure(self, done: Deferred[Frames]) -> Failed:
        """
        Why it failed.
        """
        error: Any = await self.assertFailure(done, Failed)
        assert isinstance(error, Failed)
        return error

    def path(self) -> Path:
        """
        Where there is no file yet.
        """
        return Path(self.mktemp()).absolute()

    # -- In and out

    async def test_output(self) -> None:
        """
        What it prints and complains is the result, and comes in partial
        results before.
        """
        code = "import sys; print('out'); print('err', file=sys.stderr)"
        out, err, about = await self.python(code)[1]
        self.assertEqual((out, err), (b"out\n", b"err\n"))
        self.assertEqual(
            json.loads(about),
            {
                "status": 0,
                "signal": None,
                "stdout": 4,
                "stderr": 4,
                "streamed": 8,
                "records": 0,
                "bad_lines": 0,
            },
        )
        streams: dict[bytes, bytes] = {}
        for frames in self.partials:
            for name, data in zip(frames[::2], frames[1::2], strict=True):
                streams[name] = streams.get(name, b"") + data
        self.assertEqual(streams, {b"stdout": b"out\n", b"stderr": b"err\n"})

    async def test_not_streamed(self) -> None:
        """
        It need not be streamed.
        """
        out, _, _ = await self.perform("echo", "a", stream=False)[1]
        self.assertEqual((out, self.partials), (b"a\n", []))

    async def test_no_shell(self) -> None:
        """
        Arguments are arguments, whatever is in them.
        """
        out, _, _ = await self.perform("echo", "$HOME; exit 1", "*", "'")[1]
        self.assertEqual(out, b"$HOME; exit 1 * '\n")

    async def test_payload(self) -> None:
        """
        The payload is its standard input, which ends then; also a large one
        that it is slow to read, or does not read at all.
        """
        self.assertEqual((await self.perform("cat", frames=(b"a", b"", b"b"))[1])[0], b"ab")
        self.assertEqual((await self.perform("cat")[1])[0], b"")
        large = b"x" * 20_000_000
        out, _, _ = await self.perform("wc", "-c", frames=(large,))[1]
        self.assertEqual(int(out), len(large))
        await self.perform("true", frames=(large,))[1]

    async def test_inputs(self) -> None:
        """
        Inputs follow the payload, until one has no frame.
        """
        context, done = self.perform("cat", frames=(b"a",), inputs=True)
        for frames in ((b"b", b"c"), (b"",), (b"d",)):
            await deferLater(reactor, 0.02)
            self.assertTrue(context.inputs.put(frames))
        await deferLater(reactor, 0.02)
        self.assertNoResult(done)
        context.inputs.put(())
        self.assertEqual((await done)[0], b"abcd")

    async def test_surroundings(self) -> None:
        """
        It has the agent's environment and what is added, a folder of choice,
        and nothing of the agent's that is open.
        """
        code = (
            "import json, os\n"
            "descriptors = sorted(map(int, os.listdir('/proc/self/fd')))\n"
            "print(json.dumps([dict(os.environ), os.getcwd(), descriptors]))"
        )
        self.patch(os, "environ", {**os.environ, "A_1": "old", "A_2": "old", "A_3": "\udcff"})
        out, _, _ = await self.python(code, environ={"A_2": "new"}, cwd="/")[1]
        environ, folder, descriptors = json.loads(out)
        self.assertEqual([environ[f"A_{i}"] for i in (1, 2, 3)], ["old", "new", "\udcff"])
        self.assertEqual((environ["JOBROUTE_JOB"], environ["JOBROUTE_ATTEMPT"]), ("j", "1"))
        self.assertEqual((folder, environ["JOBROUTE_FD"]), ("/", "3"))
        # The last one is that of the list.
        self.assertEqual(descriptors[:-1], [0, 1, 2, 3])

    async def test_says(self) -> None:
        """
        Progress, records and a result come through the descriptor; what is
        none of them is counted.
        """
        code = (
            "echo '{\"progress\": 0.5}' >&$JOBROUTE_FD\n"
            'echo \'{"record": {"a": 1}}\' >&$JOBROUTE_FD\n'
            "echo nonsense >&$JOBROUTE_FD\n"
            "echo '{\"result\": [1]}' >&$JOBROUTE_FD\n"
        )
        out, _, about, result = await self.perform("sh", "-c", code)[1]
        self.assertEqual((self.said, out, result), ([0.5], b"", b"[1]"))
        told = json.loads(about)
        self.assertEqual((told["records"], told["bad_lines"]), (1, 1))
        self.assertEqual(self.partials, [(b"records", b'{"a": 1}\n')])

    async def test_too_much(self) -> None:
        """
        A program that prints without end waits when nobody takes it, is cut
        short with a note, and its last output is kept.
        """
        self.room = Deferred()
        code = "import sys\nfor i in range(700): print('x' * 99_999)\nprint('end')"
        _, done = self.python(code)
        while not self.partials:
            await deferLater(reactor, 0.02)
        await deferLater(reactor, 0.3)
        self.assertEqual(len(self.partials), 1)
        self.assertNoResult(done)
        (program,) = self.programs._running
        self.assertLess(program.output.pending, 512 * 1024)
        room, self.room = self.room, self.context("x").partial()
        room.callback(None)
        out, _, about = await done
        self.assertTrue(out.endswith(b"xx\nend\n"))
        self.assertEqual(len(out), 1024 * 1024)
        told = json.loads(about)
        self.assertEqual((told["stdout"], told["streamed"]), (70_000_004, 64 * 1024 * 1024))
        self.assertEqual(self.partials[-1][-2], b"note")
        self.assertLess(len(self.partials), 1_500)

    # -- How it ends

    async def test_status(self) -> None:
        """
        A status that is not 0 is the reason, with the last line; the output
        goes with it.
        """
        error = await self.failure(self.perform("sh", "-c", "echo a; echo b >&2; exit 3")[1])
        self.assertEqual(str(error), "exit status 3: b")
        self.assertEqual(error.payload[:2], (b"a\n", b"b\n"))
        self.assertEqual(json.loads(error.payload[2])["status"], 3)
        self.assertEqual(str(await self.failure(self.perform("false")[1])), "exit status 1")

    async def test_signal(self) -> None:
        """
        So is a signal.
        """
        error = await self.failure(self.perform("sh", "-c", "kill -SEGV $$")[1])
        self.assertEqual(str(error), "ended by SIGSEGV")

    async def test_cannot_start(self) -> None:
        """
        What cannot be started says why.
        """
        for name, folder, why in (
            ("/nowhere/x", None, "/nowhere/x cannot be started: No such file or directory"),
            ("/", None, "/ cannot be started: Permission denied"),
            ("true", "/nowhere", "true cannot be started: No such file or directory"),
        ):
            error = await self.failure(self.perform(name, cwd=folder)[1])
            self.assertEqual(str(error), why)

    async def test_no_process(self) -> None:
        """
        A system that starts no process loses the attempt: it says nothing of
        the program.
        """

        class NoReactor:
            def spawnProcess(self, *args: Any, **options: Any) -> None:
                raise OSError(11, "Try again")

        self.programs._reactor = NoReactor()
        error: Any = await self.assertFailure(self.perform("true")[1], Lost)
        self.assertEqual(str(error), "No process can be started: Try again.")

    async def test_pipes(self) -> None:
        """
        A program that is told that nobody reads dies of it, as in a shell.
        """
        out, err, _ = await self.perform("sh", "-c", "yes | head -1")[1]
        self.assertEqual((out, err), (b"y\n", b""))

    async def test_cancelled(self) -> None:
        """
        One that is cancelled gets SIGTERM, and may tidy up.
        """
        path = self.path()
        code = f"trap 'echo tidy > {path}; exit 0' TERM; echo here; while :; do sleep 0.05; done"
        _, done = self.perform("sh", "-c", code)
        while not self.partials:
            await deferLater(reactor, 0.02)
        done.cancel()
        self.assertNoResult(done)
        await self.assertFailure(done, CancelledError)
        self.assertEqual(path.read_text(), "tidy\n")

    async def test_stubborn(self) -> None:
        """
        One that ignores SIGTERM is killed when the grace is over.
        """
        self.programs.grace = 0.3
        path = self.path()
        _, done = self.python(STUBBORN.format(path=str(path)))
        (pid,) = await self.appears(path)
        done.cancel()
        await deferLater(reactor, 0.1)
        self.assertTrue(lives(pid))
        await self.assertFailure(done, CancelledError)
        self.assertFalse(lives(pid))

    async def test_daemon(self) -> None:
        """
        What forks twice, makes a session of its own, forgets its environment
        and ignores SIGTERM is gone as well, on cancelling.
        """
        self.programs.grace = 0.3
        path = self.path()
        code = DAEMON.format(path=str(path), stubborn=True, main="{os.getpgid(0)}")
        _, done = self.python(code + "\ntime.sleep(600)")
        daemon, _ = await self.appears(path)
        done.cancel()
        await deferLater(reactor, 0.1)
        self.assertTrue(lives(daemon))
        await self.assertFailure(done, CancelledError)
        self.assertFalse(lives(daemon))

    async def test_leftover(self) -> None:
        """
        What a program leaves behind ends with it.
        """
        path = self.path()
        code = DAEMON.format(path=str(path), stubborn=False, main="0")
        wait = f"\nwhile not os.path.exists({str(path)!r}): time.sleep(0.01)"
        await self.python(code + wait)[1]
        daemon, _ = await self.appears(path)
        self.assertFalse(lives(daemon))

    async def test_killed_keeper(self) -> None:
        """
        If somebody kills its keeper, the program ends, and its attempt is
        lost.
        """
        path = self.path()
        _, done = self.python(STUBBORN.format(path=str(path)))
        (pid,) = await self.appears(path)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
        await self.assertFailure(done, Lost)
        await self.ends(pid)

    async def test_stop(self) -> None:
        """
        A stop ends all of them; a second one does not wait for the grace.
        """
        paths = [self.path(), self.path()]
        for path in paths:
            self.python(STUBBORN.format(path=str(path)))[1].addErrback(lambda f: f.trap(Failed))
        pids = [(await self.appears(path))[0] for path in paths]
        stopped = self.programs.stop()
        await deferLater(reactor, 0.2)
        self.assertNoResult(stopped)
        self.programs.kill()
        await stopped
        self.assertFalse(any(map(lives, pids)))

    async def test_no_zombies(self) -> None:
        """
        Nothing is left unreaped.
        """
        for _ in range(5):
            await self.perform("sh", "-c", "sleep 0.01 & setsid true &")[1]
        mine = f" {os.getpid()} "
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state = path.read_text(encoding="ascii").rpartition(")")[2]
            except OSError:
                continue
            if state.startswith(" Z" + mine):
                found.append(path)
        self.assertEqual(found, [])

    async def test_too_late(self) -> None:
        """
        What is cancelled already is not told to anybody.
        """
        context, done = self.perform("sh", "-c", "echo a; sleep 0.2; echo b")
        while not self.partials:
            await deferLater(reactor, 0.02)
        context.cancel()
        await done
        self.assertEqual(self.partials, [(b"stdout", b"a\n")])
        await self.assertFailure(context.partial(b"x"), Cancelled)
