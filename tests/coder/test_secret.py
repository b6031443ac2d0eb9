from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from insights_exporter.errors import SecretError
from insights_exporter.secret import EnvironmentSecret, FileSecret, LiteralSecret, Secret

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret(TOKEN)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r}", f"{[secret]}"]
    shown += [repr(LiteralSecret(secret)), repr(EnvironmentSecret("X", {"X": TOKEN}))]

    assert all(TOKEN not in text for text in shown)
    assert all("***" in text for text in shown[:-1])
    assert secret.reveal() == TOKEN


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(TOKEN))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(TOKEN))


def test_secrets_compare_by_their_text() -> None:
    assert Secret(TOKEN) == Secret(TOKEN)
    assert len({Secret(TOKEN), Secret(TOKEN), Secret("other")}) == 2
    assert not Secret("")


def test_a_file_is_read_without_the_blanks_around_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"\n {TOKEN} \n")

    assert FileSecret(path).read() == Secret(TOKEN)


def test_the_same_file_is_the_same_secret_however_often_it_was_read(tmp_path: Path) -> None:
    """A configuration that is read again must not look like another account's."""
    path = tmp_path / "token"
    path.write_text("first\n")
    used = FileSecret(path)
    used.read()

    assert used == FileSecret(path)
    assert used != FileSecret(tmp_path / "other")


def test_a_rotated_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    source = FileSecret(path)
    before = source.read()
    path.write_text("other\n")
    os.utime(path, ns=(1, 1))

    assert (before, source.read()) == (Secret("first"), Secret("other"))


def test_a_replaced_file_is_read_anew_whatever_its_age(tmp_path: Path) -> None:
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


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    source = FileSecret(path)

    assert source.read() is source.read()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"token: No such file.*Expected a readable file"):
        FileSecret(tmp_path / "token").read()


@pytest.mark.parametrize("content", [b"", b" \n\n", f"{TOKEN}\n{TOKEN}".encode(), f"{TOKEN}\x00".encode()])
def test_a_file_that_holds_no_secret_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(SecretError, match=str(path)) as caught:
        FileSecret(path).read()

    assert TOKEN not in str(caught.value)


def test_a_file_that_is_no_text_is_named_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(TOKEN.encode() + b"\xff")

    with pytest.raises(SecretError, match="not text") as caught:
        FileSecret(path).read()

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_variable_is_read_at_each_use() -> None:
    environment = {"CODER_SESSION_TOKEN": "first"}
    source = EnvironmentSecret("CODER_SESSION_TOKEN", environment)
    before = source.read()
    environment["CODER_SESSION_TOKEN"] = " other "

    assert (before, source.read()) == (Secret("first"), Secret("other"))


@pytest.mark.parametrize("environment", [{}, {"CODER_SESSION_TOKEN": " "}])
def test_an_unset_variable_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(SecretError, match="environment variable CODER_SESSION_TOKEN"):
        EnvironmentSecret("CODER_SESSION_TOKEN", environment).read()
