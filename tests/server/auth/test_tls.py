"""TLS with curl and other clients: versions, ciphers, client certificates, certificate rotation."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme

from tests.server.auth.auth_server import AuthServer, auth_server, bcrypt_hash, curl
from tests.server.auth.conftest import WebConfigDir


def client_ssl_context(web_config_dir: WebConfigDir) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(web_config_dir.path / "ca.pem"))


async def served_fingerprint(server: AuthServer, web_config_dir: WebConfigDir) -> str:
    """Return the fingerprint of the certificate on a new connection."""
    url = urlsplit(server.url)
    _, writer = await asyncio.open_connection(url.hostname, url.port, ssl=client_ssl_context(web_config_dir))
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return hashlib.sha256(certificate).hexdigest()


def fingerprint(pem: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


async def test_curl_login_over_tls(web_config_dir: WebConfigDir) -> None:
    file = web_config_dir.path / "web.yml"
    file.write_text(
        (web_config_dir.path / "certificate-and-key.yml").read_text()
        + f"basic_auth_users:\n  ada: {bcrypt_hash('p')}\n"
    )
    async with auth_server(file) as server:
        trust = ("--cacert", str(web_config_dir.path / "ca.pem"), server.url)

        assert await curl("-u", "ada:p", *trust) == (200, "inside 1\n")
        assert (await curl("-u", "ada:q", *trust))[0] == 401
        assert (await curl("-u", "ada:p", server.url))[0] == 0


@pytest.mark.parametrize(("name", "version"), [("newest-tls-only", "1.3"), ("tls12-only", "1.2")])
async def test_only_configured_tls_versions_are_accepted(
    web_config_dir: WebConfigDir, name: str, version: str
) -> None:
    async with auth_server(web_config_dir.path / f"{name}.yml") as server:
        trust = ("--cacert", str(web_config_dir.path / "ca.pem"), server.url)
        statuses = {
            tls_version: (await curl(f"--tlsv{tls_version}", "--tls-max", tls_version, *trust))[0]
            for tls_version in ("1.2", "1.3")
        }

    assert {tls_version: 200 if tls_version == version else 0 for tls_version in ("1.2", "1.3")} == statuses


async def test_only_configured_ciphers_are_accepted(web_config_dir: WebConfigDir) -> None:
    web_config_dir.renew_certificate(key_type=trustme.KeyType.RSA)
    async with auth_server(web_config_dir.path / "ciphers.yml") as server:
        arguments = ("--tls-max", "1.2", "--cacert", str(web_config_dir.path / "ca.pem"), server.url)

        assert (await curl("--ciphers", "ECDHE-RSA-AES128-GCM-SHA256", *arguments))[0] == 200
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
async def test_client_certificate_san_is_checked(
    web_config_dir: WebConfigDir, policy: str, client: str, expected: int
) -> None:
    file = web_config_dir.path / "newer-client-names.yml"
    file.write_text(file.read_text().replace("RequireAndVerifyClientCert", policy))
    client_cert_arguments: tuple[str, ...] = ()
    if client:
        web_config_dir.authority.issue_cert(client).private_key_and_cert_chain_pem.write_to_path(
            web_config_dir.path / "client.pem"
        )
        client_cert_arguments = ("--cert", str(web_config_dir.path / "client.pem"))
    async with auth_server(file) as server:
        status, _ = await curl(
            "--cacert", str(web_config_dir.path / "ca.pem"), *client_cert_arguments, server.url
        )

    assert expected == status


async def test_inline_certificates(web_config_dir: WebConfigDir) -> None:
    indented_pems = {
        name: (web_config_dir.path / file).read_text().replace("\n", "\n    ").rstrip()
        for name, file in (("cert", "server.pem"), ("key", "server.key"))
    }
    file = web_config_dir.path / "web.yml"
    file.write_text(
        "tls_server_config:\n" + "".join(f"  {name}: |\n    {text}\n" for name, text in indented_pems.items())
    )
    async with auth_server(file) as server:
        assert (await curl("--cacert", str(web_config_dir.path / "ca.pem"), server.url))[0] == 200


async def test_certificate_rotation_under_load_fails_no_request(web_config_dir: WebConfigDir) -> None:
    """Key and certificate change one after the other; in between, the server uses the old pair."""
    async with auth_server(web_config_dir.path / "certificate-and-key.yml") as server:
        statuses: list[int] = []
        done = asyncio.Event()

        async def scrape() -> None:
            connector = aiohttp.TCPConnector(ssl=client_ssl_context(web_config_dir), force_close=True)
            async with aiohttp.ClientSession(connector=connector) as session:
                while not done.is_set():
                    async with session.get(server.url) as response:
                        statuses.append(response.status)

        scrapers = [asyncio.create_task(scrape()) for _ in range(4)]
        rotations = []
        for _ in range(10):
            certificate = await asyncio.to_thread(web_config_dir.renew_certificate)
            rotations.append(await served_fingerprint(server, web_config_dir) == fingerprint(certificate))
        done.set()
        await asyncio.gather(*scrapers)

    assert rotations == [True] * 10
    assert {200} == set(statuses)


async def test_invalid_certificate_keeps_the_last_good_one(web_config_dir: WebConfigDir) -> None:
    async with auth_server(web_config_dir.path / "certificate-and-key.yml") as server:
        before = await served_fingerprint(server, web_config_dir)
        await asyncio.to_thread((web_config_dir.path / "server.pem").write_text, "nonsense")

        assert before == await served_fingerprint(server, web_config_dir)
        assert server.telemetry.reload_results == [False]
