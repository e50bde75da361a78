"""The server's own bounds, over real sockets: ports, names, slow senders, many connections."""

import socket
import threading
import time
from contextlib import closing, contextmanager

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from plaudit.errors import PlauditError
from plaudit.web import server as web
from plaudit.web.server import HostCheck, among, listen, make_server


def app():
    made = FastAPI()

    @made.get("/")
    def who(request: Request):
        host = request.client.host if request.client else ""
        return PlainTextResponse(f"{request.headers['host']} {request.url.scheme} {host}")

    @made.post("/")
    async def read(request: Request):
        return PlainTextResponse(str(len(await request.body())))

    return made


@contextmanager
def running(made=None, **settings):
    """A server of the app; gives its port."""
    with listen("127.0.0.1", 0) as port:
        server = make_server(
            made or app(), **{"hosts": ["127.0.0.1"], "log_level": "critical", **settings}
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield port.getsockname()[1]
        server.should_exit = True
        thread.join(timeout=10)


def connect(port):
    return closing(socket.create_connection(("127.0.0.1", port), timeout=10))


def closed(connection):
    """Whether the server has closed or reset the connection by now; waits up to its timeout."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_a_port_in_use_is_one_line_that_says_what_to_do():
    with listen("127.0.0.1", 0) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(PlauditError, match=f"port {number} of 127.0.0.1 is already in use"):
            listen("127.0.0.1", number)
    with pytest.raises(PlauditError, match="--port"):
        listen("192.0.2.1", 8700)  # an address of documentations, of no machine
    with pytest.raises(PlauditError, match="--host no.such.name.invalid"):
        listen("no.such.name.invalid", 8700)


@pytest.mark.parametrize(
    ("host", "hosts", "good"),
    [
        ("127.0.0.1:8700", [], True),
        ("localhost", [], True),
        ("LOCALHOST:1", [], True),
        ("[::1]:8700", [], True),
        ("evil.example", [], False),
        ("10.0.0.5", [], False),
        ("127.0.0.1.evil.example", [], False),
        ("", [], False),
        ("[half", [], False),
        ("127.0.0.1@evil.example", [], False),
        ("desk.example:8700", ["desk.example"], True),
        ("Desk.Example", ["desk.example"], True),
        ("other.example", ["desk.example"], False),
        ("10.0.0.5:8700", ["0.0.0.0"], True),  # listening on every address
        ("[fe80::1]", ["::"], True),
        ("evil.example", ["0.0.0.0"], False),
    ],
)
def test_requests_name_one_of_our_hosts(host, hosts, good):
    headers = [(b"host", host.encode())]
    assert HostCheck(app(), hosts, ())._ours([v.decode() for _, v in headers]) == good


def test_another_name_is_refused_and_two_are():
    with running() as port:
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(base).status_code == 200
        refused = httpx.get(base, headers={"host": "evil.example"})
        assert refused.status_code == 400
        assert "--host-name" in refused.text
        with connect(port) as connection:
            connection.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n")
            assert b" 400 " in connection.recv(1000)


def test_only_a_trusted_proxy_speaks_for_others():
    said = {"x-forwarded-for": "10.9.8.7", "x-forwarded-proto": "https"}
    said |= {"x-forwarded-host": "desk.example", "host": "inner"}
    with running() as port:
        refused = httpx.get(f"http://127.0.0.1:{port}", headers=said)
        assert refused.status_code == 400
        believed = httpx.get(f"http://127.0.0.1:{port}", headers={**said, "host": "localhost"})
        assert believed.text == "localhost http 127.0.0.1"
    with running(proxies=["127.0.0.0/8"]) as port:
        believed = httpx.get(f"http://127.0.0.1:{port}", headers=said)
        assert believed.text == "desk.example https 10.9.8.7"


@pytest.mark.parametrize(
    ("address", "inside"),
    [("10.0.0.5", True), ("10.0.1.5", False), ("::1", True), ("", False), ("name", False)],
)
def test_networks_of_proxies(address, inside):
    assert among(address, ["10.0.0.0/24", "::1"]) == inside


# ----------------------------------------------------------------------------- connections


def test_an_endless_header_is_refused_within_its_first_part():
    with running() as port, connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        began, sent = time.perf_counter(), 0
        try:
            while sent < 64 << 20:
                sent += connection.send(b"x-a: " + b"a" * 65_000 + b"\r\n")
        except OSError:
            pass
        assert sent < 8 << 20
        assert time.perf_counter() - began < 5
        assert httpx.get(f"http://127.0.0.1:{port}").status_code == 200


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(web, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(web, "BODY_SECONDS", 0.5)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: loc",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\nabc",
    ],
    ids=["nothing", "half a header", "half a body"],
)
def test_who_stops_sending_is_hung_up_on(quick, sent):
    with running() as port, connect(port) as connection:
        connection.sendall(sent)
        began = time.perf_counter()
        assert closed(connection)
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize("part", ["header", "body"])
def test_who_sends_drop_by_drop_is_hung_up_on(quick, part):
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\n"
    if part == "body":
        head += b"content-length: 100000\r\n\r\n"
    with running() as port, connect(port) as connection:
        connection.sendall(head)
        began = time.perf_counter()
        try:
            while time.perf_counter() - began < 8:
                connection.send(b"a")
                time.sleep(0.05)
        except OSError:
            pass
        assert time.perf_counter() - began < 5


def test_who_pauses_between_requests_or_sends_much_is_not(quick):
    with running() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for _ in range(3):
            assert client.get("/").status_code == 200
            time.sleep(0.7)
        assert client.post("/", content=b"x" * (3 << 20)).text == str(3 << 20)


def test_an_upload_is_not_cut_while_it_is_we_who_are_slow(quick):
    made = FastAPI()

    @made.post("/")
    async def read(request: Request):
        import asyncio

        count = 0
        async for part in request.stream():
            count += len(part)
            if count < 300_000:
                await asyncio.sleep(0.3)
        return PlainTextResponse(str(count))

    with running(made) as port:
        assert httpx.post(f"http://127.0.0.1:{port}", content=b"x" * 400_000).text == "400000"


def test_whoever_holds_many_connections_loses_the_idlest_and_keeps_nobody_out(monkeypatch):
    monkeypatch.setattr(web, "PER_ADDRESS", 20)
    with running() as port:
        held = [socket.create_connection(("127.0.0.1", port), timeout=2) for _ in range(60)]
        for connection in held:
            connection.send(b"GET / HTTP/1.1\r\nhost: loc")
        assert httpx.get(f"http://127.0.0.1:{port}").status_code == 200
        open_still = 0
        for connection in held:
            connection.settimeout(0.05)
            open_still += not closed(connection)
            connection.close()
        assert 0 < open_still <= 20


def test_in_all_so_many_and_no_more(monkeypatch):
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 10)
    with running(proxies=["127.0.0.1"]) as port:  # one for whom no count of its own holds
        held = [socket.create_connection(("127.0.0.1", port), timeout=2) for _ in range(40)]
        assert httpx.get(f"http://127.0.0.1:{port}").status_code == 200
        for connection in held:
            connection.close()
