"""Prometheus and a browser log in over TLS, as they do in earnest; curl is in the tests of TLS."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, Error, HttpCredentials, async_playwright

from insights_exporter.config.settings import ServerSettings
from insights_exporter.secrets import LiteralSecret, Secret
from tests.server.auth.auth_server import auth_server, bcrypt_hash
from tests.server.auth.conftest import WebConfigDir

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TOKEN = "a-token-for-scrapes"
TIMEOUT = 60.0


def write_web_config(web_config_dir: WebConfigDir) -> Path:
    """Write a configuration with TLS and a login."""
    file = web_config_dir.path / "web.yml"
    file.write_text(
        (web_config_dir.path / "certificate-and-key.yml").read_text()
        + f"basic_auth_users:\n  ada: {bcrypt_hash('p')}\n"
    )
    return file


def scrape_job(name: str, address: str, login: str) -> str:
    target = address.removeprefix("https://")
    return f"""
  - job_name: {name}
    scheme: https
    tls_config: {{ca_file: ca.pem}}
    {login}
    static_configs: [{{targets: ["{target}"]}}]"""


@asynccontextmanager
async def run_prometheus(folder: Path, jobs: str) -> AsyncIterator[str]:
    """Run Prometheus in a folder and yield its address."""
    if (program := shutil.which("prometheus")) is None:
        pytest.skip("Prometheus is not installed.")
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:{jobs}\n"
    )
    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free_socket.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        program,
        f"--web.listen-address={address}",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--log.level=error",
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def last_scrape_errors(address: str, count: int) -> dict[str, str]:
    """Return why the last scrape of each job failed, once all were scraped; nothing where it did not."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(TIMEOUT):
        while True:
            try:
                async with session.get(address + "/api/v1/targets") as response:
                    active = (await response.json())["data"]["activeTargets"]
            except aiohttp.ClientError:
                active = []
            if len(active) == count and all(target["health"] != "unknown" for target in active):
                return {target["labels"]["job"]: target["lastError"] for target in active}
            await asyncio.sleep(0.05)


async def test_prometheus_scrapes_with_password_or_token(web_config_dir: WebConfigDir) -> None:
    settings = ServerSettings(bearer_token=LiteralSecret(Secret(TOKEN)))
    async with auth_server(write_web_config(web_config_dir), settings) as server:
        jobs = "".join(
            scrape_job(name, server.url, login)
            for name, login in (
                ("password", "basic_auth: {username: ada, password: p}"),
                ("token", f"authorization: {{credentials: {TOKEN}}}"),
                ("wrong", "basic_auth: {username: ada, password: q}"),
                ("nobody", ""),
            )
        )
        async with run_prometheus(web_config_dir.path, jobs) as address:
            errors = await last_scrape_errors(address, 4)

    assert (errors["password"], errors["token"]) == ("", "")
    assert "401" in errors["nobody"]
    assert any(status in errors["wrong"] for status in ("401", "429"))


async def is_unauthorized(browser: Browser, address: str, login: tuple[str, str] | None) -> bool:
    """Say whether the server refuses a page; the browser shows the refusal or an error of its own."""
    credentials: HttpCredentials | None = (
        None if login is None else {"username": login[0], "password": login[1]}
    )
    page = await browser.new_page(http_credentials=credentials)
    try:
        response = await page.goto(address)
    except Error as error:
        return "ERR_INVALID_AUTH_CREDENTIALS" in error.message
    return response is not None and response.status == 401


async def test_browser_login_over_tls(web_config_dir: WebConfigDir) -> None:
    if CHROMIUM is None:
        pytest.skip("No Chromium is installed.")
    certificate = x509.load_pem_x509_certificate((web_config_dir.path / "server.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    spki_hash = base64.b64encode(hashlib.sha256(key).digest()).decode()
    async with auth_server(write_web_config(web_config_dir)) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", f"--ignore-certificate-errors-spki-list={spki_hash}"],
        )
        unauthorized = [await is_unauthorized(browser, server.url, login) for login in (None, ("ada", "q"))]
        authenticated_page = await browser.new_page(http_credentials={"username": "ada", "password": "p"})
        response = await authenticated_page.goto(server.url)
        body_text = await authenticated_page.inner_text("body")
        await browser.close()

    assert unauthorized == [True, True]
    assert response is not None
    assert response.status == 200
    assert "inside" in body_text
