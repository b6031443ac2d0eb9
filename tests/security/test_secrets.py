"""No secret is seen anywhere, whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import bcrypt

from insights_exporter.config import load
from insights_exporter.errors import ConfigError
from insights_exporter.logs import JsonFormatter, Redactor, TextFormatter, secrets_of
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.faults import Drop, Fault, LoginPage, Redirect, Status
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from tests.security.process import started

PASSWORD = "zqpassword-of-a-login"
SECRETS = {
    "token": DEMO_TOKEN,
    "hash key": "zqhashkey-0123456789abcdef",
    "database password": "zqdsn%2Fpassword",
    "database password as it is meant": "zqdsn/password",
    "bearer token": "zqbearer-0123456789abcdef",
    "header": "zqheader-0123456789abcdef",
    "password": PASSWORD,
}


def nobody_listens() -> int:
    """Return a port that refuses connections."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def told(folder: Path, url: str, more: str = "", *, ca_file: str = "") -> None:
    """Write a configuration with every kind of secret; the database and the receiver are not there."""
    closed = nobody_listens()
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(f"basic_auth_users:\n  ada: {hashed}\n")
    for name, secret in (
        ("token", SECRETS["token"]),
        ("key", SECRETS["hash key"]),
        ("dsn", f"postgresql://ada:{SECRETS['database password']}@127.0.0.1:{closed}/coder"),
        ("bearer", SECRETS["bearer token"]),
        ("headers", f"authorization=Bearer {SECRETS['header']}"),
    ):
        (folder / name).write_text(secret)
    (folder / "exporter.yaml").write_text(
        f"coder: {{url: '{url}', token_file: token, retries: 0, {ca_file}}}\n"
        "poll: {interval: 60, offset: 0, jitter: 0, deadline: 50}\n"
        "insights: {windows: [7d], days: 1, weeks: 1}\n"
        "privacy: {users: hashed, hash_key_file: key}\n"
        "agent_stats: {source: postgres, dsn_file: dsn, interval: 1, state_file: state}\n"
        f"otlp: {{enabled: true, endpoint: 'http://127.0.0.1:{closed}', headers_file: headers, timeout: 1}}\n"
        "server: {port: 0, enable_reload: true, web_config_file: web.yml, bearer_token_file: bearer}\n"
        f"log: {{level: debug, format: text}}\n{more}"
    )


async def test_no_secret_is_seen_whatever_goes_wrong(tmp_path: Path) -> None:
    """The database and the receiver are away all the time; the rest fails one after the other."""
    found: dict[str, str] = {}
    coder = stage(Size(templates=1, users=3))
    bearer = {"Authorization": f"Bearer {SECRETS['bearer token']}"}
    faults: tuple[Fault, ...] = (
        Status(status=401, message=f"No {DEMO_TOKEN}.", detail=DEMO_TOKEN),
        Status(status=400, message=f"No {DEMO_TOKEN}."),
        Drop(after=10),
        LoginPage(),
        Redirect(location=f"https://login.example.test/?token={DEMO_TOKEN}"),
    )
    async with serve(coder) as url:
        told(tmp_path, url)
        arguments = ("run", "--config", str(tmp_path / "exporter.yaml"))
        async with started(*arguments, headers=bearer) as exporter:
            await exporter.until_said("Poll finished.")
            await exporter.until_said("collector=agent_stats")
            found |= await exporter.surfaces()
            for number, fault in enumerate(faults):
                coder.faults.on("*", fault)
                told(tmp_path, url, f"filters: {{templates: {{deny: [x{number}]}}}}\n")
                found[str(fault)] = await exporter.reload() + await exporter.get("/-/ready")
                coder.faults.clear()
            for name, broken in BROKEN.items():
                told(tmp_path, url, broken)
                found[name] = await exporter.reload()
                assert found[name].startswith("500 ")
            told(tmp_path, url.replace("http:", "https:"))
            found["no TLS there"] = await exporter.reload()
            told(tmp_path, url, ca_file="ca_file: token")
            found["no certificate"] = await exporter.reload()
            told(tmp_path, url)
            await asyncio.to_thread(
                (tmp_path / "web.yml").write_text, f"basic_auth_users:\n  ada: {PASSWORD}\n"
            )
            found["no hash"] = await exporter.reload()
            found |= {f"{path} at the end": text for path, text in (await exporter.surfaces()).items()}
            await exporter.stop()
            found["log"] = exporter.said
    for name, secret in SECRETS.items():
        assert not [surface for surface, text in found.items() if secret in text], name
    assert "collector=agent_stats" in found["log"]
    assert "***" in found["/config"] or "token_file" in found["/config"]


BROKEN = {
    "a token as an address": f"coder: {{url: '{DEMO_TOKEN}'}}\n",
    "a token as a key": f"{DEMO_TOKEN}: 1\n",
    "no YAML": f"{DEMO_TOKEN}: [\n",
    "a short key": "server: {bearer_token: short}\n",
}


def test_no_repr_and_no_traceback_shows_a_secret(tmp_path: Path) -> None:
    told(tmp_path, "http://127.0.0.1:1")
    settings = load(tmp_path / "exporter.yaml", {})
    redact = Redactor(secrets_of(settings))
    lines = [repr(settings), repr(redact)]
    for name, secret in SECRETS.items():
        if name == "password":
            continue
        error = ConfigError(f"This holds {secret}.")
        record = logging.LogRecord(
            "test", 40, "", 0, "Failed with %s.", (secret,), (type(error), error, None)
        )
        record.__dict__["url"] = f"postgresql://ada:{secret}@db/coder"
        lines += [form(redact).format(record) for form in (TextFormatter, JsonFormatter)]

    assert "Failed with ***" in lines[2]
    for secret in SECRETS.values():
        assert not [line for line in lines if secret in line]
