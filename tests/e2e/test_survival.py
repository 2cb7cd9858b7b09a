"""The real command on machines and models that fail it: no sample is lost, and a sentence says what to do."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import kill_harness
from tests.e2e.command import environment, maskprof, read_journal, read_result
from tests.support import troubled

pytestmark = pytest.mark.e2e

NAMES = [f"first-0{count}-of-04" for count in range(1, 5)]
BRIEF = ("--num_samples", 4, "--closure_samples", 2, "--num_warmup", 1, "--max_new_tokens", 3)


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """Where transformers copies a checkpoint's own code to."""
    return {"HF_MODULES_CACHE": str(tmp_path_factory.mktemp("modules"))}


@contextmanager
def started(*words, cwd, **changes):
    """The command in a process of its own, with its stderr in a file; killed at the end if it still runs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with (cwd / "stderr.txt").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "maskprof", *map(str, words)],
                cwd=cwd,
                env=environment(**changes),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(due, process, patience_s=120):
    limit = time.monotonic() + patience_s
    while not due():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < limit
        time.sleep(0.005)


def run_on(trouble, tmp_path, modules, *words, **options):
    model = troubled.save(tmp_path / "model", trouble, **options)
    given = ("run", "--model_path", model, "--trust_remote_code", "--output_dir", "out", *BRIEF, *words)
    return maskprof(*given, cwd=tmp_path, **modules)


def failures(tmp_path):
    return [(f["configuration"], f["stage"], f["error"]) for f in read_result(tmp_path / "out")["failures"]]


def counts(tmp_path):
    return {s["name"]: s["num_samples"] for s in read_result(tmp_path / "out")["summary"]}


def test_random_kills(tmp_path, llama):
    report = kill_harness.run(8, 11, tmp_path, llama)
    assert sum(report.kills.values()) == 8
    assert report.stories >= 1


@pytest.mark.slow
def test_two_hundred_random_kills(tmp_path, llama):
    report = kill_harness.run(200, time.time_ns(), tmp_path, llama)
    assert sum(report.kills.values()) == 200
    assert set(report.kills) == {"SIGINT", "SIGTERM", "SIGKILL", "SIGINT twice", "SIGTERM twice"}


def test_isolated_configurations_survive_a_crash_a_hang_and_each_other(tmp_path, modules):
    troubles = {2: "hang_in_native_code", 3: "segfault"}
    masks = [word for block in (3, 2, 1) for word in ("--active_block_indices", 0, block)]
    limit = ("--isolate", "--num_warmup", 0, "--timeout_per_config", 4)
    said = run_on(troubles, tmp_path, modules, *limit, *masks, after=1)
    assert said.code == 1, said.err
    crashed, hung, fine = (f"blocks-0_{block}-of-04" for block in (3, 2, 1))
    reason = "it took longer than the 4 s of --timeout_per_config"
    assert failures(tmp_path) == [
        (crashed, "its process", "the process of this configuration was ended by SIGSEGV"),
        (hung, "its process", f"the process of this configuration was ended: {reason}"),
    ]
    assert counts(tmp_path)[fine] == 4
    assert {counts(tmp_path).get(name, 0) for name in (crashed, hung)} <= {0, 1}
    assert "One configuration after the other, each in a process of its own" in said.out
    assert read_result(tmp_path / "out")["environment"]["order_of_measuring"] == (
        "one configuration after the other, each in a process of its own"
    )
    assert len(list((tmp_path / "traces" / "out" / fine).glob("*.gz"))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system that ends processes with their parent")
def test_an_isolated_run_is_killed_interrupted_and_gone_on_with(tmp_path, llama):
    words = ("run", "--model_path", llama, "--output_dir", "out", *BRIEF, "--num_samples", 300, "--isolate")
    words = (*words, "--num_active_blocks", 3, 4, "--no_trace")
    with started(*words, cwd=tmp_path) as process:
        wait_until(lambda: len(read_journal(tmp_path / "out")) > 50, process)
        children = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(children) == 1
    limit = time.monotonic() + 20
    while any(Path(f"/proc/{child}/exe").exists() for child in children):
        assert time.monotonic() < limit, "a child goes on without its parent"
        time.sleep(0.01)
    first = read_journal(tmp_path / "out")
    with started(*words, "--resume", cwd=tmp_path) as process:
        wait_until(lambda: len(read_journal(tmp_path / "out")) > len(first) + 50, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert "interrupted: what was measured is saved" in (tmp_path / "stderr.txt").read_text()
    second = read_journal(tmp_path / "out")
    assert second[: len(first)] == first
    result = read_result(tmp_path / "out")
    assert len(result["all_samples"]) + len(result["reference_samples"]) == len(second)
    # Of the sitting that was killed, too; each configuration's process has a part of its own.
    assert {s["number"] for s in result["sittings"]} == {s["sitting"] for s in second} == {1, 2}
    assert all(s["warmup"]["rounds"] >= 1 and s["environment"]["host"] for s in result["sittings"])
    assert {s["configuration"] for s in result["sittings"]} <= set(NAMES)
    said = maskprof(*words, "--resume", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "measured in 3 sittings, by --resume" in " ".join(said.out.split())
    third = read_journal(tmp_path / "out")
    assert third[: len(second)] == second
    assert sorted((s["configuration"], s["reference"], s["sample_id"]) for s in third) == sorted(
        [(name, False, i) for name in NAMES[2:] for i in range(300)] + [(NAMES[2], True, i) for i in range(2)]
    )


def children_of(parent):
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(child) for child in listed.split()]


def test_native_code_that_hangs_ends_the_process_and_all_is_saved(tmp_path, modules):
    limit = ("--timeout_per_config", 2, "--num_active_blocks", 2, 4)
    said = run_on("hang_in_native_code", tmp_path, modules, *limit, after=3)
    assert said.code == 1, said.err
    assert said.err.splitlines()[-1] == (
        "maskprof: first-04-of-04 hangs where no exception reaches it, and only the end of the process stops it; what "
        "was measured is saved, and the same command with --resume goes on without it"
    )
    error = "it took longer than the 2 s of --timeout_per_config, and no exception reaches it"
    assert failures(tmp_path) == [(NAMES[3], "hung", error)]
    result = read_result(tmp_path / "out")
    saved = len(result["all_samples"]) + len(result["reference_samples"])
    assert saved == len(read_journal(tmp_path / "out"))


def test_two_runs_into_one_folder(tmp_path, llama):
    words = ("run", "--model_path", llama, "--output_dir", "out", *BRIEF, "--num_samples", 100_000)
    with started(*words, cwd=tmp_path) as process:
        wait_until(lambda: len(read_journal(tmp_path / "out")) > 3, process)
        said = maskprof("run", "--output_dir", "out", "--trace_dir", "elsewhere", cwd=tmp_path)
        assert (said.code, said.out) == (2, "")
        assert f" is in use by process {process.pid} on " in said.err
        assert said.err.endswith(": wait for its end, or choose another folder\n")
        assert len(said.err.splitlines()) == 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    said = maskprof(*words[:-1], 4, "--resume", cwd=tmp_path)
    assert said.code == 0, said.err


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tmp_path, llama, small_disk):
    words = (
        "run",
        "--model_path",
        llama,
        "--output_dir",
        "small/out",
        *BRIEF,
        "--num_samples",
        60,
        "--no_trace",
    )
    said = maskprof(*words, cwd=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1] == (
        "maskprof: small/out/journal.jsonl cannot be written: No space left on device; the samples before are safe in "
        "it: mend that, and the same command with --resume goes on"
    )
    before = read_journal(small_disk / "out")
    assert 20 < len(before) < 240
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    said = maskprof(*words, "--resume", cwd=tmp_path)
    assert said.code == 0, said.err
    assert read_journal(small_disk / "out")[: len(before)] == before
    assert len(read_result(small_disk / "out")["all_samples"]) == 240


def test_a_read_only_folder(tmp_path, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = maskprof("run", "--output_dir", "small/out", cwd=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert (
        said.err == "maskprof: small/out cannot be written to: Read-only file system; choose another folder\n"
    )
    assert list(small_disk.iterdir()) == []
