"""The scripts that pods run: storing a rotated token, and waiting for the exporter."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from tools.chart.paths import CHART

_FILES: Final = CHART / "files"
_OLD: Final = base64.b64encode(b"old-token").decode()


@dataclass(slots=True)
class ApiServer:
    """A Kubernetes API server that knows one Secret; ``failures`` answers come first."""

    port: int = 0
    data: dict[str, str] = field(default_factory=lambda: {"coder-token": _OLD, "other": "kept"})
    failures: int = 0
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Return status and document."""
        self.requests.append((method, path, headers.get("Authorization", "")))
        if self.failures:
            self.failures -= 1
            return 503, {"message": "etcd is away"}
        if method == "PATCH":
            assert headers["Content-Type"] == "application/merge-patch+json"
            self.data |= json.loads(body)["data"]
        return 200, {"data": self.data}


@pytest.fixture(name="api")
def _api(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, document = server.answer(
                self.command, self.path, dict(self.headers), self.rfile.read(length)
            )
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        do_PATCH = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("service-account\n", encoding="utf-8")
    (tmp_path / "coder-token").write_text("new-token\n", encoding="utf-8")
    with ThreadingHTTPServer(("localhost", 0), Handler) as listener:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        server.port = listener.server_port
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield server
        listener.shutdown()
        thread.join()


def _store(api: ApiServer, folder: Path) -> subprocess.CompletedProcess[str]:
    script = (_FILES / "store_token.py").read_text(encoding="utf-8")
    script = script.replace("https://kubernetes.default.svc", f"https://localhost:{api.port}")
    script = script.replace("/var/run/secrets/kubernetes.io/serviceaccount", str(folder))
    (folder / "store_token.py").write_text(script, encoding="utf-8")
    command = [sys.executable, str(folder / "store_token.py"), str(folder / "coder-token")]
    return subprocess.run(
        [*command, "monitoring", "coder", "coder-token"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_rotated_token_is_stored(api: ApiServer, tmp_path: Path) -> None:
    done = _store(api, tmp_path)

    assert done.returncode == 0, done.stderr
    assert base64.b64decode(api.data["coder-token"]) == b"new-token"
    assert api.data["other"] == "kept"
    assert {path for _, path, _ in api.requests} == {"/api/v1/namespaces/monitoring/secrets/coder"}
    assert {login for _, _, login in api.requests} == {"Bearer service-account"}
    assert "new-token" not in done.stdout + done.stderr


def test_storing_repeats_until_the_api_server_has_it(api: ApiServer, tmp_path: Path) -> None:
    api.failures = 1
    done = _store(api, tmp_path)

    assert done.returncode == 0
    assert "retry in 1 s" in done.stderr
    assert "etcd" not in done.stderr
    assert base64.b64decode(api.data["coder-token"]) == b"new-token"


def test_a_stored_token_is_not_written_again(api: ApiServer, tmp_path: Path) -> None:
    api.data["coder-token"] = base64.b64encode(b"new-token").decode()
    _store(api, tmp_path)

    assert [method for method, _, _ in api.requests] == ["GET"]


def test_the_test_pod_waits_until_the_exporter_is_ready(api: ApiServer) -> None:
    """It accepts any certificate, and a status of 503 is not the end."""
    api.failures = 1
    url = f"https://localhost:{api.port}/-/ready"
    command = [sys.executable, "-c", (_FILES / "scrape.py").read_text(encoding="utf-8"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 0, done.stderr
    assert len(api.requests) == 2
