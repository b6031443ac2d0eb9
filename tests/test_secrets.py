from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from insights_exporter.errors import SecretError
from insights_exporter.secrets import EnvironmentSecret, FileSecret, LiteralSecret, Secret

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"


def test_secret_is_masked_in_every_format() -> None:
    secret = Secret(TOKEN)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", f"{[secret]}"]
    shown += [repr(LiteralSecret(secret)), repr(EnvironmentSecret("X", {"X": TOKEN}))]

    assert all(TOKEN not in text for text in shown)
    assert all("***" in text for text in shown[:-1])
    assert secret.reveal() == TOKEN


def test_secret_cannot_be_pickled_or_copied() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(TOKEN))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(TOKEN))


def test_secrets_compare_by_value() -> None:
    assert Secret(TOKEN) == Secret(TOKEN)
    assert len({Secret(TOKEN), Secret(TOKEN), Secret("other")}) == 2
    assert not Secret("")


def test_file_secret_is_stripped(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"\n {TOKEN} \n")

    assert FileSecret(path).read() == Secret(TOKEN)


def test_file_secret_equality_ignores_cache(tmp_path: Path) -> None:
    """A configuration that is read again must not look like another account's."""
    path = tmp_path / "token"
    path.write_text("first\n")
    used = FileSecret(path)
    used.read()

    assert used == FileSecret(path)
    assert used != FileSecret(tmp_path / "other")


def test_changed_file_is_reread(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    source = FileSecret(path)
    before = source.read()
    path.write_text("other\n")
    os.utime(path, ns=(1, 1))

    assert (before, source.read()) == (Secret("first"), Secret("other"))


def test_replaced_file_is_reread_despite_equal_mtime(tmp_path: Path) -> None:
    """Kubernetes swaps the file a name leads to, and the time of change may be the same."""
    path = tmp_path / "token"
    path.write_text("first\n")
    os.utime(path, ns=(1, 1))
    source = FileSecret(path)
    before = source.read()
    other = tmp_path / "other"
    other.write_text("other\n")
    os.utime(other, ns=(1, 1))
    other.replace(path)

    assert (before, source.read()) == (Secret("first"), Secret("other"))


def test_unchanged_file_is_cached(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    source = FileSecret(path)

    assert source.read() is source.read()


def test_missing_file_error_names_path(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"expected a readable file.*token: No such file"):
        FileSecret(tmp_path / "token").read()


@pytest.mark.parametrize("content", [b"", b" \n\n", f"{TOKEN}\n{TOKEN}".encode(), f"{TOKEN}\x00".encode()])
def test_invalid_file_error_names_path_without_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(SecretError, match=str(path)) as caught:
        FileSecret(path).read()

    assert TOKEN not in str(caught.value)


def test_binary_file_error_hides_content(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN.encode() + b"\xff")

    with pytest.raises(SecretError, match="not UTF-8") as caught:
        FileSecret(path).read()

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_environment_secret_is_reread() -> None:
    environment = {"CODER_SESSION_TOKEN": "first"}
    source = EnvironmentSecret("CODER_SESSION_TOKEN", environment)
    before = source.read()
    environment["CODER_SESSION_TOKEN"] = " other "

    assert (before, source.read()) == (Secret("first"), Secret("other"))


@pytest.mark.parametrize("environment", [{}, {"CODER_SESSION_TOKEN": " "}])
def test_unset_variable_error_names_variable(environment: dict[str, str]) -> None:
    with pytest.raises(SecretError, match="environment variable CODER_SESSION_TOKEN"):
        EnvironmentSecret("CODER_SESSION_TOKEN", environment).read()
