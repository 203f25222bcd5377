"""
What the tests of the C{jobroute} command share: a client without a broker,
and a broker with an agent as processes of their own.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attrs import define, field
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from jobroute.cli.command import jobroute
from jobroute.cli.screen import Screen
from jobroute.cli.session import Session
from jobroute.client import Outcome, PartOutcome
from jobroute.interfaces import IClock
from jobroute.model import Frames, Verdict

#: What the wall clock of a test says: some time in 2026.
NOW = 1_790_000_000.0

ROOT = Path(__file__).resolve().parent.parent.parent


@implementer(IClock)
class StillClock:
    """
    Time stands.
    """

    def monotonic(self) -> float:
        """
        Never changes.
        """
        return 100.0

    def wall(self) -> float:
        """
        Never changes.
        """
        return NOW


def part(
    *frames: bytes, verdict: Verdict = Verdict.SUCCEEDED, index: int = 0, reason: str | None = None
) -> PartOutcome:
    """
    What became of a part on agent a1.
    """
    return PartOutcome(index, verdict, f"a{index + 1}", 1, reason, frames)


def outcome(*parts: PartOutcome, position: int | None = None) -> Outcome:
    """
    What became of job j1.
    """
    verdicts: dict[Verdict, int] = {}
    for each in parts:
        verdicts[each.verdict] = verdicts.get(each.verdict, 0) + 1
    return Outcome("j1", 7, verdicts, parts, position)


@define(eq=False)
class FakeClient:
    """
    Stands for L{jobroute.client.Client}: answers as it was told, and keeps
    what it was asked.

    @ivar answers: by method: what it returns, or raises, or a function that
        is called with the arguments.
    @ivar calls: method, arguments, keyword arguments.
    """

    answers: dict[str, Any] = field(factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(factory=list)

    def connect(self, url: str, **given: Any) -> FakeClient:
        """
        Be made.
        """
        self.calls.append(("connect", (url,), given))
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """
        Each method of a client.
        """

        def method(*arguments: Any, **given: Any) -> Any:
            self.calls.append((name, arguments, given))
            answer = self.answers.get(name)
            if callable(answer):
                return answer(*arguments, **given)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return method

    def __enter__(self) -> Self:
        """
        As a client.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        As a client.
        """

    def asked(self, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """
        What a method was called with, the last time.
        """
        return [call[1:] for call in self.calls if call[0] == name][-1]


class CommandTestCase(SynchronousTestCase):
    """
    Runs the command against a client without a broker.
    """

    def setUp(self) -> None:
        """
        Nobody's environment matters.
        """
        self.client = FakeClient()

    def run_command(
        self, *arguments: str, input: bytes = b"", env: dict[str, str | None] | None = None
    ) -> Result:
        """
        Run it, with its output in a pipe.
        """
        clean: dict[str, str | None] = {k: None for k in os.environ if k.startswith("JOBROUTE_")}
        session = Session(connect=self.client.connect)
        return CliRunner().invoke(
            jobroute,
            list(arguments),
            input=input,
            obj=session,
            env={**clean, **(env or {})},
            prog_name="jobroute",
        )

    def output_of(self, *arguments: str, input: bytes = b"") -> str:
        """
        What a command prints that does what it should.
        """
        done = self.run_command(*arguments, input=input)
        self.assertEqual((done.exit_code, done.stderr), (0, ""), done.exception)
        return done.stdout

    def json_of(self, *arguments: str, input: bytes = b"") -> Any:
        """
        The one JSON value that it prints.
        """
        return json.loads(self.output_of("--json", *arguments, input=input))


def terminal(width: int = 80, json: bool = False) -> tuple[Screen, io.StringIO]:
    """
    A screen that is a terminal, and what it shows.
    """
    out = io.StringIO()
    screen = Screen(json, out, io.StringIO(), terminal=True, width=width, clock=StillClock())
    return screen, out


def frames_back(service: str, *payload: bytes, **given: Any) -> Outcome:
    """
    As the service echo does.
    """
    return outcome(part(*payload))


def map_back(service: str, payloads: Any, **given: Any) -> Iterator[Outcome]:
    """
    As C{map} over the service echo; C{!} fails.
    """
    for position, payload in enumerate(payloads):
        frames: Frames = (payload,)
        each = part(*frames)
        if payload == b"!":
            each = part(verdict=Verdict.FAILED, reason="it is !")
        yield outcome(each, position=position)


@define(eq=False)
class Processes:
    """
    A broker and an agent in a temporary folder, and the command as a process.
    """

    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="jr-")))
    running: list[subprocess.Popen[str]] = field(factory=list, init=False)

    @property
    def environment(self) -> dict[str, str]:
        """
        Of all processes.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBROUTE_")}
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {**inherited, "PYTHONPATH": path, "JOBROUTE_DATA_DIR": str(self.folder)}

    def line(self, *arguments: str) -> list[str]:
        """
        The command line.
        """
        return [sys.executable, "-m", "jobroute", *arguments]

    def start(self, *arguments: str, until: str = "") -> subprocess.Popen[str]:
        """
        Start a command that stays.

        @param until: what stands in its log when it is there.
        """
        process = subprocess.Popen(
            self.line(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        assert process.stderr is not None
        while until:
            line = process.stderr.readline()
            if not line:
                raise AssertionError(f"{arguments} ended with {process.wait()}.")
            if until in line:
                break
        return process

    def start_all(self) -> None:
        """
        Start a broker and an agent a1.
        """
        self.start("broker", "--storage", "memory", until="serves epoch")
        services = [f"{name}=jobroute.agent.builtin:{name}" for name in ("echo", "fail", "sleep")]
        options = [option for service in services for option in ("--service", service)]
        self.start("agent", "--name", "a1", *options, until="Agent a1 is number")

    def run(self, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """
        Run a command to its end.
        """
        return subprocess.run(
            self.line(*arguments),
            cwd=self.folder,
            env=self.environment,
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def end(self) -> None:
        """
        End all that runs still.
        """
        for process in self.running:
            process.kill()
            process.communicate()
