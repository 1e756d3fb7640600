"""Files that users and strangers name: endless ones, pipes, and names that no file can have."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from intelligence.errors import InvalidInputError
from intelligence.given_files import expanded, given_text, is_file, is_folder, read_capped

ENDLESS = Path("/dev/zero")
no_devices = pytest.mark.skipif(not ENDLESS.exists(), reason="no /dev/zero on this system")

NAMES = ["a" * 5000, "a\0b", "", "/dev/null/x", "~no-such-user/x"]


@pytest.mark.parametrize("name", NAMES)
def test_name_that_no_file_has(name: str) -> None:
    assert (is_file(name), is_folder(name), is_file(expanded(name))) == (False, False, False)


def test_expanded_takes_the_home() -> None:
    assert expanded("~/x") == Path.home() / "x"


def test_read_capped(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"1234")
    assert read_capped(path, 4) == b"1234"
    with pytest.raises(ValueError, match="larger than 0 MB"):
        read_capped(path, 3)


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """A shell's `<(command)` is one."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"x" * 200_000,))
    writer.start()
    assert given_text(path) == "x" * 200_000
    writer.join()


@no_devices
def test_endless_file_is_read_up_to_the_limit() -> None:
    with pytest.raises(InvalidInputError, match=r"^/dev/zero: cannot be read \(larger than 1 MB\)$"):
        given_text(ENDLESS, 1024 * 1024)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file or directory"), (b"\xff{}", "no UTF-8 text: 'utf-8' codec")]
)
def test_given_text_refuses(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError) as refused:
        given_text(path)
    assert str(refused.value).startswith(f"{path}: cannot be read ({said}")


def test_given_text_has_no_mark_of_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert given_text(path) == "{}"
