"""Certificates beside the configurations."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class WebConfigDir:
    """A folder with every configuration, the certificates they name, and the authority behind them."""

    path: Path
    authority: trustme.CA

    def renew_certificate(self, name: str = "localhost") -> bytes:
        """Put a new certificate and key in place, and return the certificate."""
        certificate = self.authority.issue_cert(name, "127.0.0.1")
        certificate.private_key_pem.write_to_path(self.path / "server.key")
        certificate.cert_chain_pems[0].write_to_path(self.path / "server.pem")
        return certificate.cert_chain_pems[0].bytes()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def web_config_dir(tmp_path: Path, authority: trustme.CA) -> WebConfigDir:
    for file in CONFIGS.glob("*/*.yml"):
        shutil.copy(file, tmp_path / file.name)
    config_dir = WebConfigDir(tmp_path, authority)
    config_dir.renew_certificate()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("other").private_key_pem.write_to_path(tmp_path / "other.key")
    return config_dir
