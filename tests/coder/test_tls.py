"""Certificates on the way to Coder, with real ones."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import ClientConnectorCertificateError, web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from yarl import URL

from insights_exporter import errors
from insights_exporter.coder.client import CoderClient, open_session
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secret import LiteralSecret, Secret
from tests.coder.conftest import TOKEN

ME = {"id": "u1", "username": "exporter"}


def serving_tls(authority: trustme.CA, *, ask_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    if ask_client:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def greet(request: web.Request) -> web.Response:
    return web.json_response(ME)


async def ask_over_tls(context: ssl.SSLContext, **settings: Any) -> str:
    application = web.Application()
    application.router.add_get("/api/v2/users/me", greet)
    server = TestServer(application, scheme="https", host="localhost")
    await server.start_server(ssl=context)
    try:
        chosen = CoderSettings(
            url=f"https://localhost:{server.port}", token=LiteralSecret(Secret(TOKEN)), retries=0, **settings
        )
        async with CoderClient(chosen) as client:
            return (await client.me()).id
    finally:
        await server.close()


async def test_an_unknown_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.TlsFailed, match=r"set ca_file to the authority"):
        await ask_over_tls(serving_tls(trustme.CA()))


async def test_where_a_redirect_first_leads_to_tls_certificates_are_checked_as_well() -> None:
    server = TestServer(web.Application(), scheme="https", host="localhost")
    await server.start_server(ssl=serving_tls(trustme.CA()))
    settings = CoderSettings(url="http://localhost", token=LiteralSecret(Secret(TOKEN)))
    try:
        async with await open_session(settings, URL(settings.url)) as session:
            with pytest.raises(ClientConnectorCertificateError):
                await session.get(server.make_url("/"))
    finally:
        await server.close()


async def test_our_authority_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))

    assert await ask_over_tls(serving_tls(authority), ca_file=path) == "u1"


async def test_a_client_certificate_opens_the_door(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mine = authority.issue_cert("exporter")
    mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    context = serving_tls(authority, ask_client=True)

    assert (
        await ask_over_tls(
            context,
            ca_file=tmp_path / "ca.pem",
            cert_file=tmp_path / "cert.pem",
            key_file=tmp_path / "key.pem",
        )
        == "u1"
    )


@pytest.mark.parametrize("missing", [True, False])
async def test_a_bad_certificate_file_is_named(tmp_path: Path, *, missing: bool) -> None:
    path = tmp_path / "ca.pem"
    if not missing:
        path.write_text("no certificate")
    settings = CoderSettings(url="https://localhost", token=LiteralSecret(Secret(TOKEN)), ca_file=path)

    with pytest.raises(errors.ConfigError, match=rf"ca_file: expected certificates in PEM form in {path}"):
        await CoderClient(settings).__aenter__()


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example.com").configure_cert(context)

    with pytest.raises(errors.TlsFailed, match="not valid for 'localhost'"):
        await ask_over_tls(context, ca_file=tmp_path / "ca.pem")


async def test_a_missing_client_certificate_is_hinted_at(tmp_path: Path) -> None:
    """Since TLS 1.3 the server refuses after the connection stands, and simply hangs up."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    with pytest.raises(errors.Unreachable, match="may want a client certificate"):
        await ask_over_tls(serving_tls(authority, ask_client=True), ca_file=tmp_path / "ca.pem")


async def test_an_encrypted_key_is_named_and_never_asked_for(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    mine = trustme.CA().issue_cert("exporter")
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    plain = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    settings = CoderSettings(
        url="https://localhost",
        token=LiteralSecret(Secret(TOKEN)),
        cert_file=tmp_path / "cert.pem",
        key_file=key,
    )

    with pytest.raises(errors.ConfigError, match=rf"expected a certificate and its unencrypted key .*{key}"):
        await CoderClient(settings).__aenter__()
