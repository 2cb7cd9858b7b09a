"""The real command on machines and models that fail it: no sample is lost, and a sentence says what to do."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

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
    said = run_on("segfault", tmp_path, modules, "--isolate", "--num_active_blocks", 3, 4)
    assert said.code == 1, said.err
    assert failures(tmp_path) == [
        (NAMES[3], "its process", "the process of this configuration was ended by SIGSEGV")
    ]
    assert counts(tmp_path) == {NAMES[2]: 4}
    assert "One configuration after the other, each in a process of its own" in said.out
    result = read_result(tmp_path / "out")
    assert result["environment"]["order_of_measuring"] == (
        "one configuration after the other, each in a process of its own"
    )
    assert len(list((tmp_path / "traces" / "out" / NAMES[2]).glob("*.gz"))) == 1

    # The next time it is native code that hangs, after one sample; the samples of before are there.
    (tmp_path / "model" / "config.json").unlink()
    troubled.save(tmp_path / "model", "hang_in_native_code", after=1)
    words = ("run", "--model_path", tmp_path / "model", "--trust_remote_code", "--output_dir", "out2", *BRIEF)
    said = maskprof(
        *(*words, "--isolate", "--no_trace", "--num_warmup", 0),
        *("--num_active_blocks", 4, 2, "--timeout_per_config", 1),
        cwd=tmp_path,
        **modules,
    )
    assert said.code == 1, said.err
    result = read_result(tmp_path / "out2")
    assert [(f["configuration"], f["error"]) for f in result["failures"]] == [
        (
            NAMES[3],
            "the process of this configuration was ended: it took longer than the 1 s of --timeout_per_config",
        )
    ]
    assert {s["name"]: s["num_samples"] for s in result["summary"]} == {NAMES[3]: 1, NAMES[1]: 4}


def test_an_isolated_run_is_interrupted_and_gone_on_with(tmp_path, llama):
    words = ("run", "--model_path", llama, "--output_dir", "out", *BRIEF, "--num_samples", 300, "--isolate")
    words = (*words, "--num_active_blocks", 3, 4, "--no_trace")
    with started(*words, cwd=tmp_path) as process:
        wait_until(lambda: len(read_journal(tmp_path / "out")) > 100, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert "interrupted: what was measured is saved" in (tmp_path / "stderr.txt").read_text()
    before = read_journal(tmp_path / "out")
    assert len(read_result(tmp_path / "out")["all_samples"]) + 2 >= len(before) > 100
    said = maskprof(*words, "--resume", cwd=tmp_path)
    assert said.code == 0, said.err
    after = read_journal(tmp_path / "out")
    assert after[: len(before)] == before
    assert sorted((s["configuration"], s["reference"], s["sample_id"]) for s in after) == sorted(
        [(name, False, i) for name in NAMES[2:] for i in range(300)] + [(NAMES[2], True, i) for i in range(2)]
    )


def test_native_code_that_hangs_ends_the_process_and_resuming_leaves_it_out(tmp_path, modules):
    limit = ("--timeout_per_config", 2, "--num_active_blocks", 2, 4)
    said = run_on("hang_in_native_code", tmp_path, modules, *limit, after=3)
    assert said.code == 1, said.err
    assert said.err.splitlines()[-1] == (
        "maskprof: first-04-of-04 hangs where no exception reaches it, and only the end of the process stops it; what "
        "was measured is saved, and the same command with --resume goes on without it"
    )
    error = "it took longer than the 2 s of --timeout_per_config, and no exception reaches it"
    assert failures(tmp_path) == [(NAMES[3], "hung", error)]
    before = read_journal(tmp_path / "out")
    given = ("run", "--model_path", tmp_path / "model", "--trust_remote_code", "--output_dir", "out", *BRIEF)
    said = maskprof(*given, *limit, "--resume", cwd=tmp_path, **modules)
    assert said.code == 1, said.err
    assert failures(tmp_path) == [(NAMES[3], "hung", error)]
    assert counts(tmp_path)[NAMES[1]] == 4
    assert read_journal(tmp_path / "out")[: len(before)] == before


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
