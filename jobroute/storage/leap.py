# -*- test-case-name: tests.storage.test_backup -*-
"""
Going on without knowing what was used.

Agents outlive brokers and their disks: they hold numbers that a lost store
gave out, and have heard its epoch.  When a store begins, and there was one
before of which it does not know everything, its epoch and its numbers begin
where the wall clock says, which is beyond all that can have been used.
"""

from __future__ import annotations

from attrs import evolve

from jobroute.storage.batch import Totals

#: The time stands for the epochs of which nothing is known: so many a second.
EPOCHS_A_SECOND = 10

#: How many numbers, and events, an epoch that is gone may have used.
NUMBERS_AN_EPOCH = 100_000


def latest_epoch(wall: float) -> int:
    """
    The latest epoch that there can have been at this time.
    """
    return int(EPOCHS_A_SECOND * wall)


def first_number(epoch: int) -> int:
    """
    The first number that no epoch up to this one can have used.
    """
    return epoch * NUMBERS_AN_EPOCH + 1


def leapt(found: Totals, wall: float) -> Totals:
    """
    What a store counts, beyond everything that was used by this time.
    """
    epoch = latest_epoch(wall)
    return evolve(
        found,
        epoch=max(found.epoch, epoch),
        numbers=max(found.numbers, first_number(epoch)),
        event=max(found.event, first_number(epoch)),
    )
