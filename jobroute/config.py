# -*- test-case-name: tests.test_config -*-
"""
The settings of a broker: names, types, defaults and units, and where they
come from.

Command line wins over file over default.  Every problem is a
L{jobroute.errors.ConfigurationError} of one sentence that names the key.
"""

from __future__ import annotations

import os
import tomllib
from ipaddress import ip_address
from typing import Any

import attrs
from attrs import field, frozen

from jobroute.errors import ConfigurationError

MIB = 1024 * 1024

#: In this order on consecutive ports with C{--tcp}.
SOCKETS = ("frontend", "backend", "register", "receiver", "publisher", "heartbeat")

#: The sockets that this broker serves.
SERVED = ("frontend", "backend", "register", "heartbeat")

DEFAULT_PORT = 7780


def _limit(default: float, help: str, least: float = 1, most: float = 2**53) -> Any:
    def within(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        whole = isinstance(default, int)
        kinds: Any = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            what = "a whole number" if whole else "a number"
            raise ConfigurationError(f"{attribute.name} must be {what}, not {value!r}.")
        if not least <= value <= most:
            raise ConfigurationError(
                f"{attribute.name} must be between {least} and {most}, not {value}."
            )

    return field(default=default, validator=within, metadata={"help": help})


@frozen(kw_only=True)
class Limits:
    """
    Every limit of a broker.  C{doc/limits.rst} is made from this class.
    """

    message: int = _limit(64 * MIB, "bytes of one message; twice that cuts the connection")
    header: int = _limit(MIB, "bytes of one JSON header", 1024)
    frames: int = _limit(64, "frames of one message", 4)
    depth: int = _limit(64, "levels of nesting in JSON", 4, 256)
    queued_parts: int = _limit(1_000_000, "parts in the queue of one service")
    services: int = _limit(10_000, "services")
    agents: int = _limit(20_000, "agents")
    pending_registrations: int = _limit(1_000, "registrations that are not confirmed yet")
    client_jobs: int = _limit(100_000, "jobs of one client that have not ended")
    claimed_bytes: int = _limit(256 * MIB, "bytes of submissions whose ids are being looked up")
    clients: int = _limit(100_000, "peers of the frontend with something outstanding")
    batch: int = _limit(10_000, "jobs in one SUBMIT_MANY")
    batch_parts: int = _limit(100_000, "parts, and agents named, in one SUBMIT_MANY")
    reads: int = _limit(10_000, "requests that wait for the store to be read")
    page: int = _limit(1_000, "entries in one page")
    targets: int = _limit(20_000, "agents named in one job")
    partials: int = _limit(10_000, "partial results of one part")
    labels: int = _limit(64, "labels of one agent")
    agent_services: int = _limit(256, "services that one agent offers")
    slots: int = _limit(1_000, "slots of one agent, prefetch included")
    attempts: int = _limit(1_000, "attempts of one part")
    waits: int = _limit(100_000, "waits of one client")
    outbox: int = _limit(1_000, "answers held for one client that reads too slowly")
    outbox_bytes: int = _limit(64 * MIB, "bytes held for one client that reads too slowly")
    payload_cache: int = _limit(64 * MIB, "bytes of queued payloads kept in memory", 0)
    journal: int = _limit(100_000, "changes not yet on disk before new work is refused")
    events: int = _limit(1_000_000, "events kept in the store")
    jobs: int = _limit(10_000_000, "ended jobs kept in the store")


@frozen(kw_only=True)
class Settings:
    """
    Everything that a broker can be told.

    @ivar data_dir: where the store, the lock and the C{ipc://} sockets are.
    @ivar endpoints: the URL of each socket; the empty text is none.
    @ivar advertise: the host that others are told where a socket is bound to
        all addresses; this machine's name if empty.
    @ivar no_restore: whether the broker begins anew, and sets aside what is in
        the store.  Never from a file: each start would do it.
    """

    data_dir: str
    endpoints: dict[str, str]
    storage: str = "sqlite"
    io_threads: int = _limit(1, "threads of libzmq", 1, 64)
    log_level: str = "info"
    insecure: bool = False
    advertise: str = ""
    no_restore: bool = False
    heartbeat_interval: float = _limit(2.0, "seconds between two beats", 0.05, 3600)
    liveness: int = _limit(5, "silent intervals after which an agent is lost", 2, 1000)
    registration_timeout: float = _limit(10.0, "seconds a registration may take", 0.1, 3600)
    grace: float = _limit(30.0, "seconds in which agents come back after a restart", 0.1, 86400)
    max_lost: int = _limit(
        3, "agents that a part may cost their lives before it is quarantined", 1, 1000
    )
    drain: float = _limit(10.0, "seconds a stop waits for running calls", 0.0, 86400)
    deadline: float = _limit(
        86400.0, "seconds a part may live if its job says nothing", 1, 31536000
    )
    retention: float = _limit(7 * 86400.0, "seconds an ended job is kept", 1, 3153600000)
    limits: Limits = field(factory=Limits)


LOG_LEVELS = ("debug", "info", "warn", "error", "critical")

#: Keys that a file and the command line may set besides the endpoints.
_PLAIN = tuple(
    a.name for a in attrs.fields(Settings) if a.name not in ("data_dir", "endpoints", "limits")
)


def default_data_dir(environ: dict[str, str] | None = None) -> str:
    """
    C{$JOBROUTE_DATA_DIR}, or C{jobroute} in the user's state directory.
    """
    env = os.environ if environ is None else environ
    if env.get("JOBROUTE_DATA_DIR"):
        return env["JOBROUTE_DATA_DIR"]
    state = env.get("XDG_STATE_HOME") or os.path.join(
        env.get("HOME") or os.path.expanduser("~"), ".local", "state"
    )
    return os.path.join(state, "jobroute")


def frontend_url(data_dir: str) -> str:
    """
    Where a broker with this data directory listens if it is told nothing.
    """
    return f"ipc://{data_dir}/frontend.ipc"


def read_file(path: str) -> dict[str, Any]:
    """
    Read a TOML file.

    @raise ConfigurationError: if it cannot be read, or is no TOML.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as e:
        raise ConfigurationError(
            f"The configuration file {path} cannot be read: {e.strerror}."
        ) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"The configuration file {path} is not TOML: {e}.") from e


def tcp_endpoints(value: str) -> dict[str, str]:
    """
    The URLs that C{--tcp HOST[:PORT]} stands for.

    @raise ConfigurationError: if it is neither, or a port is over 65535.
    """
    host, colon, port = value, "", ""
    if value.startswith("["):
        host, bracket, rest = value.partition("]")
        host += bracket
        if rest and not rest.startswith(":"):
            raise ConfigurationError(f"tcp must be HOST or HOST:PORT, not {value!r}.")
        colon, port = rest[:1], rest[1:]
    elif value.count(":") == 1:
        host, colon, port = value.partition(":")
    elif value.count(":") > 1:
        host = f"[{value}]"
    if not host or (colon and not port.isdecimal()):
        raise ConfigurationError(f"tcp must be HOST or HOST:PORT, not {value!r}.")
    first = int(port) if port else DEFAULT_PORT
    last = first + len(SOCKETS) - 1
    if first < 1 or last > 65535:
        raise ConfigurationError(
            f"tcp {value} needs the ports {first} to {last}; choose one between 1 and "
            f"{65535 - len(SOCKETS) + 1}."
        )
    return {name: f"tcp://{host}:{first + i}" for i, name in enumerate(SOCKETS)}


def is_private(url: str) -> bool:
    """
    Whether only this machine can reach an endpoint.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    if host in ("localhost", "lo"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def check_endpoint(name: str, url: Any) -> str:
    """
    Check the URL of a socket.

    @raise ConfigurationError: if no socket can be bound there.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"{name} must be a ZeroMQ URL, not {url!r}.")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("tcp", "ipc", "inproc") or not rest:
        raise ConfigurationError(
            f"{name} must be a ZeroMQ URL such as tcp://127.0.0.1:7780 or "
            f"ipc:///path/to/socket, not {url!r}."
        )
    if scheme == "ipc" and len(os.fsencode(rest)) > 107:
        raise ConfigurationError(
            f"{name}: the path {rest} has {len(os.fsencode(rest))} bytes, and a socket's may "
            "have 107; choose a shorter data_dir or another endpoint."
        )
    if scheme == "tcp":
        host, colon, port = rest.rpartition(":")
        if not host or not colon or not (port.isdecimal() or port == "*"):
            raise ConfigurationError(f"{name} must be tcp://HOST:PORT, not {url!r}.")
        if port != "*" and int(port) > 65535:
            raise ConfigurationError(f"{name}: port {port} is over 65535.")
    return url


def load(
    command_line: dict[str, Any],
    file: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
) -> Settings:
    """
    Put settings together.

    @param command_line: what was given there; L{None} values were not.
    @param file: what L{read_file} returned.
    @raise ConfigurationError: names the key that is unknown or wrong.
    """
    file = dict(file or {})
    limits = file.pop("limits", {})
    if not isinstance(limits, dict):
        raise ConfigurationError("limits must be a table of limits.")
    known = (*_PLAIN, *SOCKETS, "data_dir", "tcp")
    for key in file:
        if key not in known:
            raise ConfigurationError(
                f"There is no setting {key!r}; there are {', '.join(sorted((*known, 'limits')))}."
            )
    names = [a.name for a in attrs.fields(Limits)]
    for key in limits:
        if key not in names:
            raise ConfigurationError(f"There is no limit {key!r}; see the list of limits.")
    given = {key: value for key, value in command_line.items() if value is not None}

    data_dir = given.get("data_dir", file.get("data_dir", default_data_dir(environ)))
    if not isinstance(data_dir, str) or not data_dir:
        raise ConfigurationError(f"data_dir must be a path, not {data_dir!r}.")
    data_dir = os.path.abspath(data_dir)

    endpoints = {name: f"ipc://{data_dir}/{name}.ipc" for name in SOCKETS}
    for source in (file, given):
        if "tcp" in source:
            if not isinstance(source["tcp"], str):
                raise ConfigurationError("tcp must be HOST or HOST:PORT.")
            endpoints = tcp_endpoints(source["tcp"])
        endpoints.update({n: source[n] for n in SOCKETS if n in source})
    if endpoints["heartbeat"] in ("", "none"):
        endpoints["heartbeat"] = ""
    insecure = given.get("insecure") or file.get("insecure", False)
    if not isinstance(insecure, bool):
        raise ConfigurationError("insecure must be true or false.")
    for name in SOCKETS:
        if name == "heartbeat" and not endpoints[name]:
            continue
        if name not in SERVED and name not in given and name not in file and "tcp" not in given:
            # Nobody asked for it, and nobody binds it.
            continue
        check_endpoint(name, endpoints[name])
        if not insecure and not is_private(endpoints[name]):
            raise ConfigurationError(
                f"{name}: {endpoints[name]} can be reached from other machines, and nothing "
                "protects it; use a loopback address or ipc://, or say --insecure."
            )
    served = [
        endpoints[n] for n in SERVED if endpoints[n] and not endpoints[n].endswith((":*", ":0"))
    ]
    for url in served:
        if served.count(url) > 1:
            raise ConfigurationError(f"The endpoint {url} is given to two sockets.")

    values = {k: v for k, v in file.items() if k in _PLAIN}
    values.update({k: v for k, v in given.items() if k in _PLAIN})
    values["insecure"] = insecure
    if "no_restore" in file:
        raise ConfigurationError(
            "no_restore is for the command line: in a file it would set the store aside at each "
            "start."
        )
    if values.get("log_level", "info") not in LOG_LEVELS:
        raise ConfigurationError(
            f"log_level must be one of {', '.join(LOG_LEVELS)}, not {values['log_level']!r}."
        )
    for key in ("storage", "advertise"):
        if not isinstance(values.get(key, ""), str):
            raise ConfigurationError(f"{key} must be a text, not {values[key]!r}.")
    return Settings(data_dir=data_dir, endpoints=endpoints, limits=Limits(**limits), **values)
