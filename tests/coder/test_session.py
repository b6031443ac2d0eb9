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
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.session import open_session
from insights_exporter.config.settings import CoderSettings
from insights_exporter.secrets import LiteralSecret, Secret
from tests.coder.conftest import TOKEN

ME = {"id": "u1", "username": "exporter"}


def server_ssl_context(authority: trustme.CA, *, require_client_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    if require_client_certificate:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def respond(request: web.Request) -> web.Response:
    return web.json_response(ME)


async def request_over_tls(context: ssl.SSLContext, **settings: Any) -> str:
    application = web.Application()
    application.router.add_get("/api/v2/users/me", respond)
    server = TestServer(application, scheme="https", host="localhost")
    await server.start_server(ssl=context)
    try:
        coder_settings = CoderSettings(
            url=f"https://localhost:{server.port}", token=LiteralSecret(Secret(TOKEN)), retries=0, **settings
        )
        async with CoderClient(coder_settings) as client:
            return (await client.me()).id
    finally:
        await server.close()


async def test_unknown_ca_error_names_ca_file(tmp_path: Path) -> None:
    with pytest.raises(errors.TLSError, match=r"set coder\.ca_file to the CA"):
        await request_over_tls(server_ssl_context(trustme.CA()))


async def test_certificates_are_verified_after_redirect_to_tls() -> None:
    server = TestServer(web.Application(), scheme="https", host="localhost")
    await server.start_server(ssl=server_ssl_context(trustme.CA()))
    settings = CoderSettings(url="http://localhost", token=LiteralSecret(Secret(TOKEN)))
    try:
        async with await open_session(settings, URL(settings.url)) as session:
            with pytest.raises(ClientConnectorCertificateError):
                await session.get(server.make_url("/"))
    finally:
        await server.close()


async def test_custom_ca_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))

    assert await request_over_tls(server_ssl_context(authority), ca_file=path) == "u1"


async def test_client_certificate_is_sent(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("exporter")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    context = server_ssl_context(authority, require_client_certificate=True)

    assert (
        await request_over_tls(
            context,
            ca_file=tmp_path / "ca.pem",
            cert_file=tmp_path / "cert.pem",
            key_file=tmp_path / "key.pem",
        )
        == "u1"
    )


@pytest.mark.parametrize("missing", [True, False])
async def test_invalid_ca_file_error_names_path(tmp_path: Path, *, missing: bool) -> None:
    path = tmp_path / "ca.pem"
    if not missing:
        path.write_text("no certificate")
    settings = CoderSettings(url="https://localhost", token=LiteralSecret(Secret(TOKEN)), ca_file=path)

    with pytest.raises(errors.ConfigError, match=rf"coder.ca_file: expected PEM certificates in {path}"):
        await CoderClient(settings).__aenter__()


async def test_hostname_mismatch_is_rejected(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example.com").configure_cert(context)

    with pytest.raises(errors.TLSError, match="not valid for 'localhost'"):
        await request_over_tls(context, ca_file=tmp_path / "ca.pem")


async def test_missing_client_certificate_error_hints_at_cert_file(tmp_path: Path) -> None:
    """With TLS 1.3 the server closes the connection after the handshake."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    with pytest.raises(errors.Unreachable, match="may require a client certificate"):
        await request_over_tls(
            server_ssl_context(authority, require_client_certificate=True), ca_file=tmp_path / "ca.pem"
        )


async def test_encrypted_key_is_rejected_without_prompt(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    certificate = trustme.CA().issue_cert("exporter")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    private_key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    key.write_bytes(
        private_key.private_bytes(
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

    with pytest.raises(
        errors.ConfigError, match=rf"expected a PEM certificate and its unencrypted key in {key}"
    ):
        await CoderClient(settings).__aenter__()
