"""
A broker that believes what a file says of its clock: C{python -m
tests.service.stepped FILE OPTIONS}.  The file has a number of seconds that
are added to the time of day.
"""

from __future__ import annotations

import sys
import time

from twisted.python.reflect import namedAny

_real = time.time  # noqa: TID251


def _stepped() -> float:
    with open(sys.argv[1], encoding="ascii") as file:
        return _real() + float(file.read())


def main() -> None:
    """
    Set the clock before anybody has asked for it, and be a broker.
    """
    time.time = _stepped  # noqa: TID251
    sys.exit(namedAny("jobroute.cli.broker.run")(sys.argv[2:]))


if __name__ == "__main__":
    main()
