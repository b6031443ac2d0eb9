"""Encrypted connections with real programs."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.web.conftest import Place
from tests.web.door import Door, curl, door, hashed


def trusting(place: Place) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(place.folder / "ca.pem"))


async def shown(one: Door, place: Place) -> str:
    """Return the fingerprint of the certificate that a new connection sees."""
    url = urlsplit(one.address)
    _, writer = await asyncio.open_connection(url.hostname, url.port, ssl=trusting(place))
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return hashlib.sha256(certificate).hexdigest()


def fingerprint(pem: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


async def test_curl_logs_in_over_tls(place: Place) -> None:
    file = place.folder / "web.yml"
    file.write_text(
        (place.folder / "certificate-and-key.yml").read_text() + f"basic_auth_users:\n  ada: {hashed('p')}\n"
    )
    async with door(file) as one:
        trust = ("--cacert", str(place.folder / "ca.pem"), one.address)

        assert await curl("-u", "ada:p", *trust) == (200, "inside 1\n")
        assert (await curl("-u", "ada:q", *trust))[0] == 401
        assert (await curl("-u", "ada:p", one.address))[0] == 0


@pytest.mark.parametrize(("name", "version"), [("newest-tls-only", "1.3"), ("tls12-only", "1.2")])
async def test_only_the_configured_versions_are_spoken(place: Place, name: str, version: str) -> None:
    async with door(place.folder / f"{name}.yml") as one:
        trust = ("--cacert", str(place.folder / "ca.pem"), one.address)
        found = {
            spoken: (await curl(f"--tlsv{spoken}", "--tls-max", spoken, *trust))[0]
            for spoken in ("1.2", "1.3")
        }

    assert {spoken: 200 if spoken == version else 0 for spoken in ("1.2", "1.3")} == found


async def test_only_the_configured_ciphers_are_spoken(place: Place) -> None:
    async with door(place.folder / "ciphers.yml") as one:
        arguments = ("--tls-max", "1.2", "--cacert", str(place.folder / "ca.pem"), one.address)

        assert (await curl("--ciphers", "ECDHE-RSA-AES128-GCM-SHA256", *arguments))[0] in {0, 200}
        assert (await curl("--ciphers", "ECDHE-RSA-CHACHA20-POLY1305", *arguments))[0] == 0


@pytest.mark.parametrize(
    ("policy", "client", "expected"),
    [
        ("RequireAndVerifyClientCert", "prometheus.example", 200),
        ("RequireAndVerifyClientCert", "10.0.0.1", 200),
        ("RequireAndVerifyClientCert", "2001:db8::1", 200),
        ("RequireAndVerifyClientCert", "other.example", 403),
        ("RequireAndVerifyClientCert", "", 0),
        ("VerifyClientCertIfGiven", "other.example", 403),
        ("VerifyClientCertIfGiven", "", 200),
    ],
)
async def test_clients_show_a_certificate_with_an_allowed_name(
    place: Place, policy: str, client: str, expected: int
) -> None:
    file = place.folder / "newer-client-names.yml"
    file.write_text(file.read_text().replace("RequireAndVerifyClientCert", policy))
    show: tuple[str, ...] = ()
    if client:
        place.authority.issue_cert(client).private_key_and_cert_chain_pem.write_to_path(
            place.folder / "client.pem"
        )
        show = ("--cert", str(place.folder / "client.pem"))
    async with door(file) as one:
        found, _ = await curl("--cacert", str(place.folder / "ca.pem"), *show, one.address)

    assert expected == found


async def test_certificates_inside_the_file_serve_too(place: Place) -> None:
    indented = {
        name: (place.folder / file).read_text().replace("\n", "\n    ").rstrip()
        for name, file in (("cert", "server.pem"), ("key", "server.key"))
    }
    file = place.folder / "web.yml"
    file.write_text(
        "tls_server_config:\n" + "".join(f"  {name}: |\n    {text}\n" for name, text in indented.items())
    )
    async with door(file) as one:
        assert (await curl("--cacert", str(place.folder / "ca.pem"), one.address))[0] == 200


async def test_certificates_change_under_load_and_no_request_fails(place: Place) -> None:
    """Key and certificate change one after the other: between the two, the old pair serves."""
    async with door(place.folder / "certificate-and-key.yml") as one:
        statuses: list[int] = []
        done = asyncio.Event()

        async def scrape() -> None:
            connector = aiohttp.TCPConnector(ssl=trusting(place), force_close=True)
            async with aiohttp.ClientSession(connector=connector) as session:
                while not done.is_set():
                    async with session.get(one.address) as response:
                        statuses.append(response.status)

        load = [asyncio.create_task(scrape()) for _ in range(4)]
        seen = []
        for _ in range(10):
            fresh = await asyncio.to_thread(place.renew)
            seen.append(await shown(one, place) == fingerprint(fresh))
        done.set()
        await asyncio.gather(*load)

    assert seen == [True] * 10
    assert {200} == set(statuses)


async def test_a_broken_certificate_never_replaces_a_good_one(place: Place) -> None:
    async with door(place.folder / "certificate-and-key.yml") as one:
        before = await shown(one, place)
        await asyncio.to_thread((place.folder / "server.pem").write_text, "nonsense")

        assert before == await shown(one, place)
        assert one.reloads.results == [False]
