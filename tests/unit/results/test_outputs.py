"""Outputs that somebody names: what is written where, and what is refused because it would be overwritten."""

import os
import stat
import threading
from pathlib import Path

import pytest

from maskprof.errors import ConfigError
from maskprof.results.outputs import check_outputs, is_stdout, write_output
from tests.support.devices import FULL, NULL, device


@pytest.fixture
def node(tmp_path):
    """`node(number)` is a device of our own."""
    return lambda number: device(tmp_path / "node", number)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_new_and_again(tmp_path):
    write_output(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    write_output(tmp_path / "a.txt", b"\x00\xff")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_one_and_its_file_is_written(tmp_path, there):
    real = tmp_path / "elsewhere" / "real.txt"
    real.parent.mkdir()
    if there:
        real.write_text("old")
    (tmp_path / "second").symlink_to(real)
    (tmp_path / "first").symlink_to("second")
    write_output(tmp_path / "first", "new")
    assert real.read_text() == "new"
    assert (tmp_path / "first").readlink() == Path("second")
    assert names(real.parent) == ["real.txt"]


def test_a_device_stays_one(node):
    path = node(NULL)
    write_output(path, "lost")
    assert stat.S_ISCHR(path.stat().st_mode)
    assert path.stat().st_rdev == NULL
    assert names(path.parent) == ["node"]


def test_a_device_that_is_full(node):
    path = node(FULL)
    with pytest.raises(ConfigError) as caught:
        write_output(path, "too much")
    assert str(caught.value) == f"{path} cannot be written to: No space left on device; name another file"
    assert stat.S_ISCHR(path.stat().st_mode)


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_output(tmp_path / "pipe", "through" * 100_000)
    reader.join(timeout=60)
    assert read == [b"through" * 100_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_output(path, "old")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        write_output(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.json"]


def test_links_in_a_circle_and_no_folder(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match="loop cannot be written to: "):
        write_output(tmp_path / "loop", "x")
    with pytest.raises(ConfigError, match="a cannot be written to: No such file"):
        write_output(tmp_path / "no" / "a", "x")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with `read.json`, three more names of it, and a result."""
    monkeypatch.chdir(tmp_path)
    Path("read.json").write_text("read")
    Path("soft.json").symlink_to("read.json")
    os.link("read.json", "hard.json")
    Path("also").symlink_to(tmp_path)
    for name in ("exp3_transformer_blocks_mask_results.json", "journal.jsonl"):
        Path(name).write_text("measured")
    Path("to-journal").symlink_to("journal.jsonl")
    return tmp_path


def refused(*outputs):
    with pytest.raises(ConfigError) as caught:
        check_outputs(
            [(flag, Path(path)) for flag, path in outputs], {"one of the traces": [Path("read.json")]}
        )
    return str(caught.value)


@pytest.mark.parametrize("name", ["read.json", "./read.json", "soft.json", "hard.json", "also/read.json"])
def test_what_is_read_is_not_written_by_any_of_its_names(folder, name):
    assert refused(("--json", name)) == (
        f"--json: {Path(name)} is one of the traces and would be overwritten; name another file"
    )


@pytest.mark.parametrize("name", ["exp3_transformer_blocks_mask_results.json", "journal.jsonl", "to-journal"])
def test_what_was_measured_is_not_written_over(folder, name):
    assert refused(("--json", name)) == (
        f"--json: {name} holds what a run measured and would be overwritten; name another file"
    )


@pytest.mark.parametrize(("first", "second"), [("new", "new"), ("new", "also/new"), ("old", "other-old")])
def test_two_outputs_in_one_file(folder, first, second):
    Path("old").write_text("")
    os.link("old", "other-old")
    assert refused(("--json", first), ("--markdown", second)) == (
        f"--json and --markdown would be written to one file, {second}: name two"
    )


def test_places_that_cannot_be_files(folder):
    assert refused(("--html", "also")) == "--html: also is a directory; name a file in it"
    assert refused(("--html", "no/where")) == "--html: there is no folder no for where"


def test_what_is_in_nobodys_way(folder, node):
    twice = str(node(NULL))
    outputs = [("--json", "a"), ("--markdown", "b"), ("--html", twice), ("--svg", twice)]
    check_outputs(
        [(flag, Path(path)) for flag, path in outputs],
        {"one of the traces": [Path("read.json"), Path(twice)]},
    )


def test_stdout_by_its_other_names(tmp_path, monkeypatch):
    target = tmp_path / "stdout.txt"
    with target.open("wb") as file:
        monkeypatch.setattr("maskprof.results.outputs._STDOUT", file.fileno())
        assert is_stdout(target)
        assert not is_stdout(tmp_path)
        assert not is_stdout(tmp_path / "absent")
        file.write(b"before ")
        file.flush()
        # Not replaced below who writes there.
        write_output(target, "text")
        file.write(b" after")
    assert target.read_bytes() == b"before text after"
