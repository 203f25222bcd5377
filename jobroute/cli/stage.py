# -*- test-case-name: tests.cli.test_demo -*-
"""
A folder with a broker and agents in it, each a process, for C{jobroute demo}.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from attrs import define, field

import jobroute
from jobroute.client import Client
from jobroute.config import frontend_url, load
from jobroute.errors import BrokerLost, JobrouteError

#: Seconds between two beats, so that a dead agent is noticed after four times that.
_INTERVAL = 0.5
_LIVENESS = 4

#: Seconds in which a process has to start, or to end.
_START = 30.0
_END = 8.0

_SETTINGS = """\
# Beats come often, so that a dead agent is noticed soon.
heartbeat_interval = {interval}
liveness = {liveness}
"""


class StageError(JobrouteError):
    """
    A process did not do what it was started for; the text has its last words.
    """

    code = "demo"


@define(eq=False)
class Stage:
    """
    Starts processes, and leaves none of them behind, nor anything in the file
    system, unless it is to be kept.

    @ivar folder: where everything is.
    @ivar keep: whether the folder stays.
    """

    folder: Path
    keep: bool
    _running: dict[str, subprocess.Popen[bytes]] = field(factory=dict, init=False)

    @classmethod
    def build(cls, keep: str | None) -> Stage:
        """
        Make the folder.

        @param keep: where, if it is to be kept.
        @raise ConfigurationError: if no broker can be there.
        @raise StageError: if it cannot be made, or something is in it.
        """
        if keep is None:
            stage = cls(Path(tempfile.mkdtemp(prefix="jobroute-demo-")), False)
        else:
            stage = cls(Path(keep).absolute(), True)
        try:
            load({"data_dir": str(stage.data)})
            stage._prepare()
        except BaseException:
            stage._remove()
            raise
        return stage

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise StageError(f"There is something in {self.folder}; take an empty folder.")
            (self.folder / "broker.toml").write_text(
                _SETTINGS.format(interval=_INTERVAL, liveness=_LIVENESS), encoding="utf-8"
            )
        except OSError as e:
            raise StageError(f"{self.folder} cannot be used: {e.strerror}.") from e

    @property
    def data(self) -> Path:
        """
        The data directory of the broker.
        """
        return self.folder / "broker"

    @property
    def url(self) -> str:
        """
        Where the broker's frontend is.
        """
        return frontend_url(str(self.data))

    @property
    def store(self) -> Path:
        """
        Where the broker keeps the jobs.
        """
        return next(iter(sorted(self.data.glob("*.sqlite*"))), self.data)

    # -- Processes -----------------------------------------------------------

    def start_broker(self) -> None:
        """
        Start the broker, and wait until it answers.

        @raise StageError: if it does not.
        """
        config = str(self.folder / "broker.toml")
        self._start("broker", "broker", "--config", config, "--data-dir", str(self.data))
        with Client(self.url, timeout=0.5) as client:
            for _ in range(round(_START / 0.5)):
                with suppress(BrokerLost):
                    client.ping(agents=False)
                    return
                self._check("broker")
        raise StageError(f"The broker does not answer; {self._last_words('broker')}")

    def start_agent(self, name: str) -> None:
        """
        Start an agent, and don't wait for it.
        """
        function = "modules=jobroute.cli.modules:measure"
        takes = ("--slots", "2", "--prefetch", "2")
        self._start(name, "agent", "--name", name, "--service", function, *takes)

    def kill(self, name: str) -> int:
        """
        End a process with SIGKILL.

        @return: its process id.
        """
        process = self._running.pop(name)
        process.kill()
        process.wait()
        return process.pid

    def check(self) -> None:
        """
        Make sure that nobody died of his own.

        @raise StageError: if somebody did.
        """
        for name in self._running:
            self._check(name)

    def command(self, *arguments: str, out: IO[bytes] | None = None) -> None:
        """
        Run the C{jobroute} command, to its end.
        """
        subprocess.run(self._line(*arguments), env=self._environment(), check=False, stdout=out)

    def _start(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                self._line(*arguments),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C is for us alone; we end them.
                start_new_session=True,
            )

    def _line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "jobroute", *arguments]

    def _environment(self) -> dict[str, str]:
        # The same jobroute, wherever it was imported from.
        here = str(Path(jobroute.__file__).parent.parent)
        path = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
        ours = {"PYTHONPATH": os.pathsep.join(path), "JOBROUTE_BROKER": self.url}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBROUTE_")}
        return {**inherited, **ours}

    def _check(self, name: str) -> None:
        if self._running[name].poll() is not None:
            raise StageError(f"The process {name} ended; {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        log = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        said = log.strip().splitlines()[-1:]
        return f"its last words: {said[0]}" if said else "it said nothing."

    # -- The end -------------------------------------------------------------

    def stop(self) -> None:
        """
        Ask the agents and then the broker to end, and wait for that.
        """
        agents = [name for name in self._running if name != "broker"]
        for names in (agents, ["broker"]):
            for name in names:
                self._running[name].send_signal(signal.SIGTERM)
            for name in names:
                with suppress(subprocess.TimeoutExpired):
                    self._running[name].wait(_END)
                    del self._running[name]

    def _remove(self) -> None:
        for name in list(self._running):
            self.kill(name)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """
        It removes itself at the end of a C{with}.
        """
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        The C{with} is over: end what runs still, and remove the folder.
        """
        self._remove()
