# -*- test-case-name: tests.torture.test_judgement -*-
"""
The settings of a torture: a broker in a hurry, and what the judge has to know
of it.
"""

from __future__ import annotations

import json

import msgspec
from attrs import frozen

from jobroute.errors import ConfigurationError
from jobroute.testing.evidence import Times
from jobroute.testing.torture.orders import Place

#: Seconds between two beats, and how many make a lease.
INTERVAL = 0.5
LIVENESS = 4

#: Seconds in which agents come back.
GRACE = 5.0

#: Seconds until a job expires that says nothing of it.
DEADLINE = 20.0

#: Seconds that something may be late, on a machine that has much to do.
SLACK = 3.0

#: Seconds after the trouble until everything has to be over.
CALM = DEADLINE + 60.0

_TOML = """\
# Beats come often, so that a dead agent is noticed soon.
heartbeat_interval = {interval}
liveness = {liveness}
grace = {grace}
registration_timeout = 5.0
drain = 1.0
deadline = {deadline}
"""


def toml(tcp: str | None = None) -> str:
    """
    The settings of the broker.

    @param tcp: where its sockets are, if not in its folder.
    """
    said = _TOML.format(interval=INTERVAL, liveness=LIVENESS, grace=GRACE, deadline=DEADLINE)
    return said if tcp is None else f"{said}tcp = {json.dumps(tcp)}\n"


@frozen
class About:
    """
    What a torture is, for who judges it.

    @ivar seed: of everything that is done to the processes.
    @ivar minutes: for how long.
    @ivar wall: what the wall clock said at the beginning.
    """

    seed: int
    minutes: float
    wall: float

    @property
    def times(self) -> Times:
        """
        The settings that the promises depend on.
        """
        return Times(
            interval=INTERVAL,
            lease=INTERVAL * LIVENESS,
            grace=GRACE,
            deadline=DEADLINE,
            slack=SLACK,
            wall=self.wall,
        )

    def write(self, place: Place) -> None:
        """
        Keep it with the rest.
        """
        place.about.write_bytes(msgspec.json.encode(self) + b"\n")

    @classmethod
    def read(cls, place: Place) -> About:
        """
        Read what L{write} wrote.

        @raise ConfigurationError: if there was no torture.
        """
        try:
            return msgspec.json.decode(place.about.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as e:
            raise ConfigurationError(f"In {place.folder} there is no torture to judge.") from e
