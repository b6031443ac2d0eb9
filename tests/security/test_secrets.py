"""No output contains a secret, also during failures."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import bcrypt

from insights_exporter.config.loading import load
from insights_exporter.config.settings import LogFormat
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor, create_formatter, secret_sources
from insights_exporter.simulator.api.fault_injection import DropConnection, Fault, LoginPage, Redirect, Status
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.security.exporter_process import start_exporter
from tests.support.network import free_port

PASSWORD = "zqpassword-of-a-login"
SECRETS = {
    "token": DEMO_TOKEN,
    "hash key": "zqhashkey-0123456789abcdef",
    "database password": "zqdsn%2Fpassword",
    "database password, decoded": "zqdsn/password",
    "bearer token": "zqbearer-0123456789abcdef",
    "header": "zqheader-0123456789abcdef",
    "password": PASSWORD,
}


def write_config(folder: Path, url: str, extra: str = "", *, ca_file: str = "") -> None:
    """Write a configuration with every kind of secret; database and OTLP receiver are unreachable."""
    closed_port = free_port()
    password_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "web.yml").write_text(f"basic_auth_users:\n  ada: {password_hash}\n")
    for name, secret in (
        ("token", SECRETS["token"]),
        ("key", SECRETS["hash key"]),
        ("dsn", f"postgresql://ada:{SECRETS['database password']}@127.0.0.1:{closed_port}/coder"),
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
        f"otlp: {{enabled: true, endpoint: 'http://127.0.0.1:{closed_port}', "
        "headers_file: headers, timeout: 1}\n"
        "server: {port: 0, enable_reload: true, web_config_file: web.yml, bearer_token_file: bearer}\n"
        f"log: {{level: debug, format: text}}\n{extra}"
    )


async def test_secrets_appear_on_no_surface(tmp_path: Path) -> None:
    """The database and the OTLP receiver are unreachable; other failures happen one after the other."""
    surfaces: dict[str, str] = {}
    deployment = demo_deployment(Size(templates=1, users=3))
    bearer = {"Authorization": f"Bearer {SECRETS['bearer token']}"}
    faults: tuple[Fault, ...] = (
        Status(status=401, message=f"No {DEMO_TOKEN}.", detail=DEMO_TOKEN),
        Status(status=400, message=f"No {DEMO_TOKEN}."),
        DropConnection(after_bytes=10),
        LoginPage(),
        Redirect(location=f"https://login.example.test/?token={DEMO_TOKEN}"),
    )
    async with serve(deployment) as url:
        write_config(tmp_path, url)
        arguments = ("run", "--config", str(tmp_path / "exporter.yaml"))
        async with start_exporter(*arguments, headers=bearer) as exporter:
            await exporter.wait_for_log("poll finished")
            await exporter.wait_for_log("collector=agent_stats")
            surfaces |= await exporter.surfaces()
            for index, fault in enumerate(faults):
                deployment.faults.inject("*", fault)
                write_config(tmp_path, url, f"filters: {{templates: {{deny: [x{index}]}}}}\n")
                surfaces[str(fault)] = await exporter.reload() + await exporter.get("/-/ready")
                deployment.faults.clear()
            for name, invalid_config in INVALID_CONFIGS.items():
                write_config(tmp_path, url, invalid_config)
                surfaces[name] = await exporter.reload()
                assert surfaces[name].startswith("500 ")
            write_config(tmp_path, url.replace("http:", "https:"))
            surfaces["no TLS there"] = await exporter.reload()
            write_config(tmp_path, url, ca_file="ca_file: token")
            surfaces["no certificate"] = await exporter.reload()
            write_config(tmp_path, url)
            await asyncio.to_thread(
                (tmp_path / "web.yml").write_text, f"basic_auth_users:\n  ada: {PASSWORD}\n"
            )
            surfaces["no hash"] = await exporter.reload()
            surfaces |= {f"{path} at the end": text for path, text in (await exporter.surfaces()).items()}
            await exporter.stop()
            surfaces["log"] = exporter.output
    for name, secret in SECRETS.items():
        assert not [surface for surface, text in surfaces.items() if secret in text], name
    assert "collector=agent_stats" in surfaces["log"]
    for key in ("token_file", "hash_key_file", "dsn_file", "bearer_token_file", "headers_file"):
        assert key in surfaces["/config"]


INVALID_CONFIGS = {
    "a token as an address": f"coder: {{url: '{DEMO_TOKEN}'}}\n",
    "a token as a key": f"{DEMO_TOKEN}: 1\n",
    "no YAML": f"{DEMO_TOKEN}: [\n",
    "a short key": "server: {bearer_token: short}\n",
}


def test_repr_and_traceback_show_no_secret(tmp_path: Path) -> None:
    write_config(tmp_path, "http://127.0.0.1:1")
    settings = load(tmp_path / "exporter.yaml", {})
    redact = Redactor(secret_sources(settings))
    lines = [repr(settings), repr(redact)]
    for name, secret in SECRETS.items():
        if name == "password":
            continue
        error = ConfigError(f"This holds {secret}.")
        for log_format in LogFormat:
            record = logging.LogRecord(
                "test", 40, "", 0, "Failed with %s.", (secret,), (type(error), error, None)
            )
            record.__dict__["url"] = f"postgresql://ada:{secret}@db/coder"
            lines.append(create_formatter(log_format, redact).format(record))

    assert "Failed with ***" in lines[2]
    for secret in SECRETS.values():
        assert not [line for line in lines if secret in line]
