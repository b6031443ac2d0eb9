"""Clients that are slow, many, or speak no HTTP: they cost little, and scrapers notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import ClientSession

from insights_exporter.server import Listening, Patience, Site, application
from tests.server.made_up import FakePages, Scrapes, site_of

LARGE = b"x" * 2**24


@dataclass
class Stranger:
    """Bytes to and from a server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def said(self, request: bytes) -> bytes:
        """Send something and return all that comes until the server closes."""
        self.writer.write(request)
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def cut_off(self) -> bool:
        """Wait until the server breaks the connection off."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(2**20):
                    pass
            except ConnectionError:
                return True
        return self.reader.at_eof()


@dataclass
class Place:
    """A server and whoever comes to it."""

    address: str
    site: Site
    strangers: list[Stranger] = field(default_factory=list)

    async def stranger(self) -> Stranger:
        """Connect."""
        host, _, port = self.address.removeprefix("http://").rpartition(":")
        one = Stranger(*await asyncio.open_connection(host, int(port)))
        self.strangers.append(one)
        return one

    async def scrape(self) -> int:
        """Return the status of a scrape over a new connection."""
        async with ClientSession() as session, session.get(self.address + "/metrics") as response:
            await response.read()
            return response.status


@asynccontextmanager
async def serving(patience: Patience | None = None, pages: FakePages | None = None) -> AsyncIterator[Place]:
    """Serve a made-up site with that much patience."""
    places: list[Place] = []
    app = application(lambda: places[0].site)
    async with Listening(app, host="127.0.0.1", port=0, patience=patience) as listening:
        place = Place(listening.address, site_of(pages or FakePages(), Scrapes()))
        places.append(place)
        yield place
        for one in place.strangers:
            one.writer.close()


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"GET /-/healthy HTTP/1.1\r\n\r\nGET"],
)
async def test_who_does_not_finish_a_request_is_cut_off(beginning: bytes) -> None:
    async with serving(Patience(headers=0.2)) as place:
        slow = [await place.stranger() for _ in range(20)]
        for one in slow:
            one.writer.write(beginning)

        assert await place.scrape() == 200
        assert all([await one.cut_off() for one in slow])


async def test_bytes_that_trickle_buy_no_time() -> None:
    async with serving(Patience(headers=0.3)) as place:
        slow = await place.stranger()
        slow.writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")

        async def trickle() -> None:
            while True:
                slow.writer.write(b"a")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        try:
            assert await slow.cut_off()
        finally:
            trickling.cancel()


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    async with serving(Patience(writing=0.3), FakePages(body=LARGE)) as place:
        slow = await place.stranger()
        slow.writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n" * 50)

        # Its time runs from the first byte of the answer.
        received = len(await slow.reader.read(1))
        await asyncio.sleep(0.6)
        try:
            async with asyncio.timeout(10):
                while chunk := await slow.reader.read(2**20):
                    received += len(chunk)
        except ConnectionError:
            pass

    # One answer was begun, none after it, and it was not finished.
    assert received < len(LARGE)


async def test_who_asks_nothing_more_is_forgotten() -> None:
    async with serving(Patience(idle=0.2)) as place:
        one = await place.stranger()

        answer = await one.said(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")

    assert answer.endswith(b"Healthy.\n")


async def test_many_silent_connections_keep_no_scraper_out() -> None:
    async with serving(Patience(connections=8)) as place:
        silent = [await place.stranger() for _ in range(40)]

        assert [await place.scrape() for _ in range(5)] == [200] * 5
        assert all([await one.cut_off() for one in silent[:32]])


async def test_requests_under_way_are_not_cut_off_for_newcomers() -> None:
    going_on = asyncio.Event()
    entered = asyncio.Semaphore(0)

    async def reload() -> None:
        entered.release()
        await going_on.wait()

    async with serving(Patience(connections=4)) as place:
        place.site = replace(place.site, reload=reload)
        async with ClientSession() as session:
            asking = [asyncio.create_task(session.post(place.address + "/-/reload")) for _ in range(4)]
            for _ in asking:
                await entered.acquire()
            newcomer = await place.stranger()
            turned_away = await newcomer.cut_off()
            going_on.set()
            statuses = [(await one).status for one in asking]

    assert turned_away
    assert statuses == [200] * 4


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /metrics SSH\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 500 + b"\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
        (b"FLY / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET //etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"40"),
        (b"GET /metrics/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
    ],
)
async def test_nonsense_gets_a_line_that_tells_nothing(
    request_: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as place:
        answer = await (await place.stranger()).said(request_)
        head, _, body = answer.partition(b"\r\n\r\n")

    assert head.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
    assert body.startswith(status)
    assert len(body.splitlines()) == 1
    assert b"\r\nServer: insights_exporter\r\n" in head + b"\r\n"
    assert not any(word in answer.lower() for word in (b"python", b"aiohttp", b"traceback", b"passwd"))
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


@pytest.mark.parametrize("host", [b"evil.example", b"'><script>", b"a" * 4000, b""])
async def test_the_name_by_which_a_client_calls_us_changes_nothing(host: bytes) -> None:
    async with serving() as place:
        answer = await (await place.stranger()).said(
            b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        )

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert not host or host not in answer


async def test_a_body_is_never_held() -> None:
    """A body that nobody asked for is skimmed for a moment, then the connection ends."""
    async with serving(Patience(headers=0.4)) as place:
        place.site = replace(place.site, reload=nothing)
        one = await place.stranger()
        one.writer.write(b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")

        answer = await one.said(b"x" * 1000)

    assert answer.startswith(b"HTTP/1.1 200 OK")


async def nothing() -> None:
    return None


async def test_a_request_under_way_ends_well_when_the_server_stops() -> None:
    entered, going_on = asyncio.Event(), asyncio.Event()

    async def reload() -> None:
        entered.set()
        await going_on.wait()

    async with ClientSession() as session:
        async with serving() as place:
            place.site = replace(place.site, reload=reload)
            idle = await place.stranger()
            asking = asyncio.create_task(session.post(place.address + "/-/reload"))
            await entered.wait()
            asyncio.get_running_loop().call_later(0.2, going_on.set)
        status = (await asking).status
        with pytest.raises(OSError, match="Connect"):
            await place.stranger()

    assert status == 200
    assert await idle.cut_off()
