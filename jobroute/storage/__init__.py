# -*- test-case-name: tests.storage.test_selection -*-
"""
What is kept, and where.

A storage is chosen by name: C{sqlite}, C{memory}, or one that an installed
package offers as an entry point of the group C{jobroute.storages}.  What the
entry point names is called with the settings, the reactor and the clock, and
returns a provider of L{IStorage}.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from jobroute.config import Settings
from jobroute.errors import ConfigurationError
from jobroute.interfaces import IClock, IStorage

#: The group of the entry points.
GROUP = "jobroute.storages"

# Entry points like all others, so that a storage is loaded only if chosen.
_OURS = (
    EntryPoint("memory", "jobroute.storage.memory:made_for", GROUP),
    EntryPoint("sqlite", "jobroute.storage.sqlite:made_for", GROUP),
)


def storage_named(name: str, settings: Settings, reactor: Any, clock: IClock) -> IStorage:
    """
    Make the storage of a name.

    @raise ConfigurationError: if there is none, or it cannot be loaded.
    """
    known = {point.name: point for point in (*entry_points(group=GROUP), *_OURS)}
    if name not in known:
        raise ConfigurationError(
            f"There is no storage {name!r}; there are {', '.join(sorted(known))}."
        )
    try:
        make = known[name].load()
    except (ImportError, AttributeError) as e:
        raise ConfigurationError(f"The storage {name!r} cannot be loaded: {e}.") from e
    storage: IStorage = make(settings, reactor, clock)
    if not IStorage.providedBy(storage):
        raise ConfigurationError(f"The storage {name!r} does not provide IStorage.")
    return storage
