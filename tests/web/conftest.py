"""Certificates beside the configurations."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Place:
    """A folder with every configuration, the certificates they name, and the authority behind them."""

    folder: Path
    authority: trustme.CA

    def renew(self, name: str = "localhost") -> bytes:
        """Put a new certificate and key in place, and return the certificate."""
        fresh = self.authority.issue_cert(name, "127.0.0.1")
        fresh.private_key_pem.write_to_path(self.folder / "server.key")
        fresh.cert_chain_pems[0].write_to_path(self.folder / "server.pem")
        return fresh.cert_chain_pems[0].bytes()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def place(tmp_path: Path, authority: trustme.CA) -> Place:
    for file in CONFIGS.glob("*/*.yml"):
        shutil.copy(file, tmp_path / file.name)
    place = Place(tmp_path, authority)
    place.renew()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("other").private_key_pem.write_to_path(tmp_path / "other.key")
    return place
