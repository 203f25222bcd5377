# -*- test-case-name: tests.broker.test_commands -*-
"""
Lists that are too long for one answer: a page at a time, the newest first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta
from twisted.internet.defer import Deferred

from jobroute.broker.commands.base import Name, Properties
from jobroute.broker.reads import Reads
from jobroute.config import Limits
from jobroute.errors import TooLarge


class PageProperties(Properties, kw_only=True):
    """
    Which page of which.
    """

    namespace: Annotated[Name | None, Meta(description="only of this namespace")] = None
    service: Annotated[Name | None, Meta(description="only of this service")] = None
    limit: Annotated[int, Meta(ge=1, description="how many at most")] = 100
    before: Annotated[
        Annotated[int, Meta(ge=0, le=2**62)] | None, Meta(description="the next of the page before")
    ] = None


def page(
    member: str,
    p: PageProperties,
    limits: Limits,
    read: Callable[[int | None, int], Deferred[list[Any]]],
    entry: Callable[[Any], dict[str, Any]],
    number: Callable[[Any], int],
    reads: Reads,
) -> Deferred[dict[str, Any]]:
    """
    Read one.

    @param member: what the list is called in the answer.
    @param read: reads so many before a number.
    @param entry: how each is told.
    @param number: by which the next page is found.
    @raise TooLarge: if more is asked for than a page may have.
    """
    if p.limit > limits.page:
        raise TooLarge(f"limit is {p.limit}, and {limits.page} is the limit.")
    return reads.begin(read, p.before, p.limit).addCallback(
        lambda found: {
            member: [entry(each) for each in found],
            "next": number(found[-1]) if len(found) == p.limit else None,
        }
    )
