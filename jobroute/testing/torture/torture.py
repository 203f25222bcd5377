# -*- test-case-name: tests.torture.test_torture -*-
"""
A torture: a broker, agents and clients, and what is done to them.
"""

from __future__ import annotations

import heapq
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from time import sleep

from attrs import define, field

from jobroute.cli.screen import Screen
from jobroute.cli.stage import StageError
from jobroute.errors import ConfigurationError
from jobroute.interfaces import IClock
from jobroute.testing.torture.actors import Actor
from jobroute.testing.torture.acts import PAUSE, Deck
from jobroute.testing.torture.live import Show
from jobroute.testing.torture.notes import SUFFIX, Notes
from jobroute.testing.torture.orders import Place
from jobroute.testing.torture.settings import CALM, About, toml
from jobroute.testing.torture.tally import Tally

AGENTS = ("a1", "a2", "a3", "a4")
CLIENTS = ("c1", "c2", "c3")

#: Seconds in which a process has to be there, and to end if it is asked to.
START = 60.0
STOP = 30.0

#: So many jobs have to be open when somebody is hit: one may end meanwhile.
OUTSTANDING = 3

#: Seconds until it is looked again whether there are.
SOON = 0.2

#: Seconds between two steps.
STEP = 0.05


class TortureError(StageError):
    """
    A torture could not be held.
    """

    code = "torture"


class Impatience(Exception):
    """
    Whoever watches wants the judgement now.
    """


def prepare(data_dir: str | None, tcp: str | None = None) -> Place:
    """
    Make the folder of a torture.

    @param data_dir: an empty one, or L{None} for a temporary one.
    @param tcp: where the sockets are, if not there.
    @raise ConfigurationError: if it is not empty, or cannot be used.
    """
    try:
        if data_dir is None:
            folder = Path(tempfile.mkdtemp(prefix="jobroute-torture-"))
        else:
            folder = Path(data_dir).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ConfigurationError(f"There is something in {folder}; take an empty folder.")
        place = Place(folder)
        try:
            place.config.write_text(toml(tcp), encoding="utf-8")
            place.settings()
            place.notes.mkdir()
            place.logs.mkdir()
        except BaseException:
            place.config.unlink(missing_ok=True)
            if data_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as e:
        raise ConfigurationError(f"{data_dir} cannot be used: {e.strerror}.") from e
    return place


@define(eq=False)
class Torture:
    """
    One of them.

    @ivar random: everything that is done follows from it.
    @ivar hurry: whether the trouble shall be over.
    """

    place: Place
    about: About
    _screen: Screen
    _clock: IClock
    random: Random = field(init=False)
    broker: Actor = field(init=False)
    agents: list[Actor] = field(init=False)
    clients: list[Actor] = field(init=False)
    hurry: bool = field(default=False, init=False)
    _zero: float = field(init=False)
    _world: Notes = field(init=False)
    _tally: Tally = field(init=False)
    _show: Show = field(init=False)
    _timers: list[tuple[float, int, Callable[[], object]]] = field(factory=list, init=False)
    _order: Iterator[int] = field(factory=count, init=False)
    _asked: dict[str, float] = field(factory=dict, init=False)
    _born: dict[str, float] = field(factory=dict, init=False)
    _failures: list[Actor] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.about.seed)
        self._zero = self._clock.monotonic()
        self._world = Notes(self.place.notes / f"world{SUFFIX}", "world", self.now)
        self._tally = Tally(self.place.notes)

        def actor(name: str, kind: str) -> Actor:
            seeds = Random(self.random.getrandbits(64))
            return Actor(
                name,
                kind,
                self.place,
                self._world,
                self._zero,
                list(AGENTS),
                lambda: seeds.getrandbits(63),
            )

        self.broker = actor("broker", "broker")
        self.agents = [actor(name, "agent") for name in AGENTS]
        self.clients = [actor(name, "client") for name in CLIENTS]
        self._show = Show(self._screen, self._tally, self._actors)

    def now(self) -> float:
        """
        Seconds since the beginning.
        """
        return self._clock.monotonic() - self._zero

    @property
    def _actors(self) -> list[Actor]:
        return [self.broker, *self.agents, *self.clients]

    # -- The whole

    def run(self) -> None:
        """
        Trouble, then calm until nothing is left to do; no process is left
        behind, whatever happens.

        @raise TortureError: if it cannot begin.
        """
        self.about.write(self.place)
        try:
            with self._show_and_signals():
                self._begin()
                self._trouble()
                self._calm()
                self._end()
        except Impatience:
            pass
        finally:
            for actor in self._actors:
                actor.end()
            self._world.close()

    @contextmanager
    def _show_and_signals(self) -> Iterator[None]:
        def hurry(*arguments: object) -> None:
            if self.hurry:
                raise Impatience
            self.hurry = True

        before = signal.signal(signal.SIGINT, hurry)
        self._show.begin()
        try:
            yield
        finally:
            self._show.end()
            signal.signal(signal.SIGINT, before)

    def _begin(self) -> None:
        self._show.phase = "starting"
        for actor in self._actors:
            self._start(actor)
        self._until(lambda: bool(self._failures or self._tally.bugs) or self._all_there(), START)
        if missing := [actor for actor in self._actors if not actor.ready]:
            failed = (self._failures or missing)[0]
            raise TortureError(f"{failed.name} did not start: {failed.last_words()}")

    def _trouble(self) -> None:
        self._world.note("trouble")
        self._show.phase = "trouble"
        self._show.until = until = self.now() + self.about.minutes * 60.0
        deck = Deck(self.random)
        pending: list[Callable[..., bool]] = []

        def act() -> None:
            if self._tally.open < OUTSTANDING:
                # Whoever has nothing to do suffers nothing.
                self.later(SOON, act)
                return
            self.later(self.random.uniform(*PAUSE), act)
            chosen = pending.pop() if pending else deck.draw()
            hit = {actor.name: sum(actor.kills.values()) for actor in self._actors}
            if not chosen(self):
                # Whom it is for is not there: as soon as he is.
                pending.append(chosen)
                return
            victims = [a.name for a in self._actors if sum(a.kills.values()) > hit[a.name]]
            self._world.note("act", act=chosen.__name__, victims=victims, open=self._tally.open)
            self._show.acted(self.now(), f"{chosen.__name__}: {', '.join(victims)}")

        self.later(self.random.uniform(*PAUSE), act)
        self._until(lambda: self.hurry, until - self.now())
        self._timers.clear()

    def _calm(self) -> None:
        self._show.phase = "calm"
        self._show.until = self.now() + CALM
        for actor in self._actors:
            if not actor.stopping:
                self.revive(actor)
        self._until(self._all_there, START)
        # Nobody waits for a broker that is away for reasons of ours.
        self._world.note("calm")
        self.place.calm.touch()
        self._until(self._all_rested, CALM)
        self._world.note("over")

    def _end(self) -> None:
        self._show.phase = "ending"
        for actors in (self.clients, self.agents, [self.broker]):
            for actor in actors:
                if actor.up and not actor.stopping:
                    self._stop(actor)
            self._until(partial(self._all_gone, actors), STOP)

    def _all_there(self) -> bool:
        return all(actor.ready for actor in self._actors)

    def _all_rested(self) -> bool:
        return self._tally.rested >= {client.who for client in self.clients}

    def _all_gone(self, actors: list[Actor]) -> bool:
        return not any(actor.up for actor in actors)

    # -- What acts need

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """
        Have something done, unless the trouble is over by then.
        """
        heapq.heappush(self._timers, (self.now() + seconds, next(self._order), function))

    def revive(self, actor: Actor) -> None:
        """
        Start a process if it is dead, and continue it if it is stopped.
        """
        if not actor.up:
            self._start(actor)
        else:
            actor.thaw()

    # -- Step by step

    def _start(self, actor: Actor) -> None:
        actor.start()
        self._born[actor.name] = self.now()
        self._asked.pop(actor.name, None)

    def _stop(self, actor: Actor) -> None:
        actor.stop()

    def _until(self, condition: Callable[[], bool], limit: float) -> None:
        until = self.now() + limit
        while not condition() and self.now() < until:
            self._step()
            sleep(STEP)

    def _step(self) -> None:
        now = self.now()
        self._tally.read()
        for actor in self._actors:
            self._look_after(actor, now)
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self._show.look(now)

    def _look_after(self, actor: Actor, now: float) -> None:
        if actor.up and not actor.ready and actor.who in self._tally.there:
            actor.here()
        stopping = actor.stopping
        since = self._asked.setdefault(actor.name, now) if stopping else now
        status = actor.look()
        if status is not None:
            if not stopping or status not in (0, 1):
                self._broken(actor, f"ended by itself with status {status}")
            if self._show.phase != "ending":
                self.later(self.random.uniform(0.0, 3.0), lambda: self.revive(actor))
        elif stopping and not actor.frozen and now - since > STOP:
            self._broken(actor, f"did not end within {STOP:.0f} seconds of SIGTERM")
            actor.end()
        elif (
            actor.up
            and not actor.ready
            and not actor.frozen
            and now - self._born[actor.name] > START
        ):
            self._broken(actor, f"was not there within {START:.0f} seconds")
            actor.end()

    def _broken(self, actor: Actor, how: str) -> None:
        self._failures.append(actor)
        text = f"It {how}: {actor.last_words()}"
        self._world.add(self.now(), actor.who, "broken", {"text": text})
