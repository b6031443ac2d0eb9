"""Prometheus and Chromium log in over TLS."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
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
from tests.support.chromium import CHROMIUM
from tests.support.prometheus import Prometheus

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
    """Run Prometheus and yield its URL; it starts in a thread, because it scrapes this process at once."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is not installed.")
    # The address has ten login attempts: a short interval would exhaust them before the assertion.
    config = f"global: {{scrape_interval: 2s, scrape_timeout: 2s}}\nscrape_configs:{jobs}\n"
    running = Prometheus.run(folder / "data", config=config)
    prometheus = await asyncio.to_thread(running.__enter__)
    try:
        yield prometheus.url
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def last_scrape_errors(address: str, count: int) -> dict[str, str]:
    """Return the last error of each job when all are scraped; an empty text is success."""
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
    assert "401" in errors["wrong"]


async def is_unauthorized(browser: Browser, address: str, login: tuple[str, str] | None) -> bool:
    """Return whether the server answers 401, which the browser reports as a response or an error."""
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
