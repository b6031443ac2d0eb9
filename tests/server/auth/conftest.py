"""A directory with the web configuration files and their certificates."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class WebConfigDir:
    """A directory with every configuration file, the certificates they name, and their CA."""

    path: Path
    authority: trustme.CA

    def renew_certificate(
        self, name: str = "localhost", *, key_type: trustme.KeyType = trustme.KeyType.ECDSA
    ) -> bytes:
        """Replace the server certificate and its key; return the certificate."""
        certificate = self.authority.issue_cert(name, "127.0.0.1", key_type=key_type)
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
