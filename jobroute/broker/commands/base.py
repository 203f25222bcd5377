# -*- test-case-name: tests.broker.test_commands -*-
"""
What a command is, and the one registry of them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from attrs import define, field
from msgspec import Meta, Raw

from jobroute.errors import BadProperty, CommandError, UnknownCommand
from jobroute.interfaces import Caller, IReplyTo
from jobroute.model import Frames
from jobroute.wire import text

#: What each role may do, and all that the ones before it may.
ROLES = ("observer", "operator", "admin")

Name = Annotated[str, Meta(pattern=text.NAME)]
Seconds = Annotated[float, Meta(gt=0, lt=text.YEAR)]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
Token = Annotated[str, Meta(min_length=16, max_length=128)]
Stream = list[Literal["progress", "partial", "part"]]


_encode = msgspec.json.Encoder().encode


class Later:
    """
    What C{execute} returns when the answer is given by somebody else.
    """


LATER = Later()


class Properties(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """
    What every request has beside the properties of its command.
    """

    command: str = ""
    id: Raw = Raw(b"")
    version: int = 1


class JobName(Properties, kw_only=True):
    """
    Names a stored job.
    """

    job: Annotated[Name, Meta(description="the job's id")]
    namespace: Annotated[Name, Meta(description="the namespace of the id")] = "default"


class JobOrCall(Properties, kw_only=True):
    """
    Names a stored job, or a call by its token.
    """

    job: Annotated[Name | None, Meta(description="the job's id")] = None
    namespace: Annotated[Name, Meta(description="the namespace of the id")] = "default"
    token: Annotated[Token | None, Meta(description="the token of a call")] = None

    def __post_init__(self) -> None:
        if (self.job is None) == (self.token is None):
            raise ValueError("either job or token must be given")


class Command:
    """
    One thing that a client can ask of the broker.

    @cvar name: as it stands on the wire.
    @cvar properties: the schema of its properties.
    @cvar role: the least role that may give it.
    """

    name: ClassVar[str]
    properties: ClassVar[type[Properties]] = Properties
    role: ClassVar[str] = "observer"

    def execute(self, properties: Any, payload: Frames, caller: Caller, reply_to: IReplyTo) -> Any:
        """
        Do it.

        @return: the result, or a Deferred of it, or L{LATER}.
        @raise JobrouteError: if it is refused.
        """
        raise CommandError(f"{self.name} does nothing.")


class Denied(CommandError):
    """
    The role of the caller does not allow the command.
    """

    code = "denied"


@define(eq=False, repr=False)
class _Entry:
    command: Command
    decoder: msgspec.json.Decoder[Any]
    rank: int


@define(eq=False, repr=False)
class Registry:
    """
    The commands by name; nothing else can be called from a wire.
    """

    _entries: dict[str, _Entry] = field(factory=dict, init=False)

    def register(self, command: Command) -> None:
        """
        Let clients give a command.

        @raise ValueError: if its name is taken.
        """
        if command.name in self._entries:
            raise ValueError(f"There are two commands {command.name}.")
        decoder = msgspec.json.Decoder(command.properties)
        self._entries[command.name] = _Entry(command, decoder, ROLES.index(command.role))

    def names(self) -> list[str]:
        """
        All names, sorted.
        """
        return sorted(self._entries)

    def prepare(
        self, name: str, properties: bytes | dict[str, Any], caller: Caller
    ) -> tuple[Command, Any]:
        """
        Find a command, authorise the caller, and validate the properties.

        @raise UnknownCommand: if there is no such command.
        @raise Denied: if the caller's role is too low.
        @raise BadProperty: if a property is unknown, missing or wrong.
        """
        entry = self._entries.get(name)
        if entry is None:
            known = ", ".join(self.names())
            raise UnknownCommand(f"There is no command {name[:64]!r}; there are {known}.")
        if entry.rank and entry.rank > ROLES.index(caller.role):
            raise Denied(
                f"{name} needs the role {entry.command.role}, and this connection is {caller.role}."
            )
        try:
            if not isinstance(properties, bytes):
                # So that both are held to the same.
                properties = _encode(properties)
            return entry.command, entry.decoder.decode(properties)
        except (msgspec.MsgspecError, RecursionError, UnicodeError, TypeError) as e:
            raise BadProperty(text.sentence(e)) from e
