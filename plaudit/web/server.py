"""The server around a web application: its port, the names it answers to, and bounded connections.

What uvicorn leaves open stands here: how long a sender may take, how many connections one address
may hold, and which Host a request may name.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Collection, Sequence
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import h11
import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol

from plaudit.errors import PlauditError
from plaudit.web.limits import network_of

MOST_CONNECTIONS = 1000
PER_ADDRESS = 256  # an office behind one address, several connections a browser
LARGEST_HEADER = 32 << 10
HEADER_SECONDS = (
    15.0  # from the first byte of a request, or from the connection, to its headers' end
)
BODY_SECONDS = 30.0  # a body may take so long,
SLOWEST = 2000.0  # and beyond that a second for so many bytes
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises PlauditError, in one line, where that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PlauditError(f"--host {host}: no address of this machine: {error}") from error
    try:
        if os.name == "posix":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1024)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            reason = "already in use, perhaps by another plaudit collect; stop that"
        else:
            reason = f"cannot be used: {error.strerror}"
        raise PlauditError(
            f"port {port} of {host} is {reason}, or choose another: --port {port % 65535 + 1}"
        ) from error
    found.set_inheritable(True)
    return found


def make_server(
    app: ASGIApp, *, hosts: Collection[str], proxies: Sequence[str] = (), **settings: Any
) -> uvicorn.Server:
    """A server of the application; `run(sockets=[listen(…)])` serves it.

    Args:
        hosts: the names that a request's Host may have, beside the loopback names.
        proxies: addresses or networks whose X-Forwarded headers are believed.
        settings: further ones of uvicorn.Config.
    """
    outermost: ASGIApp = app
    if proxies:
        outermost = ProxyHeadersMiddleware(outermost, [*proxies])
    config = uvicorn.Config(
        HostCheck(outermost, hosts, proxies),
        http=_bounded(proxies),
        h11_max_incomplete_event_size=LARGEST_HEADER,
        # Beyond what we keep, with some that are being closed: it answers 503.
        limit_concurrency=MOST_CONNECTIONS + 100,
        timeout_keep_alive=75,  # people read longer than the default of 5 s
        ws="none",
        proxy_headers=False,  # only of `proxies`, above
        server_header=False,
        access_log=False,
        **settings,
    )
    _raise_file_limit()
    return uvicorn.Server(config)


def _raise_file_limit() -> None:
    """Connections and the store's files need more than the 1,024 that shells give."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MOST_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


# ----------------------------------------------------------------------------------- names


class HostCheck:
    """Refuses requests whose Host is none of ours: a page elsewhere may have led a name here.

    A listed proxy has checked the name itself; what it says in X-Forwarded-Host is the Host.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], proxies: Sequence[str]) -> None:
        self._app = app
        self._hosts = {host.lower().strip("[]") for host in (*LOOPBACK, *hosts)}
        self._any_address = bool({"0.0.0.0", "::"} & self._hosts)
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = MutableHeaders(scope=scope)
            if among((scope.get("client") or ("",))[0], self._proxies):
                if said := headers.get("x-forwarded-host"):
                    headers["host"] = said.partition(",")[0].strip()
            elif not self._ours(headers.getlist("host")):
                name = Request(scope).headers.get("host", "")[:100]
                message = (
                    f"{name!r} is no name of this server; its owner can allow it: "
                    "plaudit collect STUDY --host-name NAME"
                )
                return await PlainTextResponse(message, 400)(scope, receive, send)
        await self._app(scope, receive, send)

    def _ours(self, given: Sequence[str]) -> bool:
        if len(given) != 1:
            return False
        try:
            name = urlsplit(f"//{given[0]}").hostname or ""
            return name in self._hosts or (self._any_address and bool(ip_address(name)))
        except ValueError:
            return False


def among(address: str, networks: Sequence[str]) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in ip_network(network, strict=False) for network in networks)


# ----------------------------------------------------------------------------- connections


def _bounded(proxies: Sequence[str]) -> type[H11Protocol]:
    """Connections that know which addresses are proxies, for whom many others speak."""
    return type("BoundedConnection", (Connection,), {"proxies": tuple(proxies)})


class Connection(H11Protocol):  # type: ignore[misc]
    """A connection whose sender may not dawdle, one of a bounded number from its address.

    Where there are too many, the one that has been idle longest makes room, so that nobody can
    keep others out by holding connections open.
    """

    proxies: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self.network = network_of(address)
        self.active_at = self.loop.time()
        self._began: float | None = self.active_at  # of what is being received
        self._received = 0
        self._watch = self.loop.call_later(HEADER_SECONDS, self._look)
        if not self._find_room(alone=not among(address, self.proxies)):
            retry = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n"
            transport.write(retry + b"content-length: 0\r\nconnection: close\r\n\r\n")
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        now = self.loop.time()
        if self._began is None:
            self._began, self._received = now, 0
        self.active_at = now
        self._received += len(data)
        super().data_received(data)
        if not self._receiving():
            self._began = None

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _receiving(self) -> bool:
        """Whether a part of a request has come and the rest is awaited."""
        state = self.conn.their_state
        return state is h11.SEND_BODY or (state is h11.IDLE and bool(self.conn.trailing_data[0]))

    def _look(self) -> None:
        """Close where the sender has taken too long; look again later."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self._began is not None:
            if self.flow.read_paused:  # it is we who are slow
                self._began, self._received = now, 0
            allowed = HEADER_SECONDS
            if self.conn.their_state is h11.SEND_BODY:
                allowed = BODY_SECONDS + self._received / SLOWEST
            if now - self._began >= allowed:
                self.transport.abort()
                return
        self._watch = self.loop.call_later(HEADER_SECONDS / 3, self._look)

    def _find_room(self, alone: bool) -> bool:
        """Whether this connection may stay; `alone` is an address that speaks for itself."""
        others = [c for c in self.connections if c is not self and not c.transport.is_closing()]
        same = [c for c in others if c.network == self.network]
        if alone and len(same) >= PER_ADDRESS:
            return _drop_idlest(same)
        if len(others) >= MOST_CONNECTIONS:
            (most, _), *_ = Counter(c.network for c in others).most_common(1)
            return _drop_idlest([c for c in others if c.network == most])
        return True


def _drop_idlest(connections: Sequence[Connection]) -> bool:
    idle = [connection for connection in connections if connection.idle]
    if idle:
        min(idle, key=lambda connection: connection.active_at).transport.abort()
    return bool(idle)
