"""Ctrl-C while measuring, then while tracing: what was measured is saved, and `--resume` goes on."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.command import (
    RESULT,
    Finished,
    environment,
    maskprof,
    read_journal,
    read_result,
    traces_in,
)

pytestmark = pytest.mark.e2e

NUM_SAMPLES = 60
REFERENCES = 5
NAMES = ["first-01-of-04", "first-02-of-04", "first-03-of-04", "first-04-of-04"]
ADVICE = "interrupted: what was measured is saved; the same command with --resume goes on"
_PATIENCE_S = 120


def words(llama):
    return (
        *("run", "--model_path", llama, "--output_dir", "out", "--num_samples", NUM_SAMPLES),
        *("--closure_samples", REFERENCES, "--num_warmup", 1, "--trace_steps", 9),
    )


def interrupted_when(due, *words, cwd):
    """Start the command, press Ctrl-C as soon as `due()` says so, and wait for its end."""
    stdout, stderr = cwd / "stdout.txt", cwd / "stderr.txt"
    # A shell that starts this in the background ignores Ctrl-C, and so would the command.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "maskprof", *map(str, words)],
                cwd=cwd,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        limit = time.monotonic() + _PATIENCE_S
        while not due() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        code = process.wait(_PATIENCE_S)
    finally:
        process.kill()
    return Finished(code, stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8"))


@dataclass
class Stop:
    """What one of the runs said and left."""

    said: Finished
    result: dict
    journal: list
    traces: list


@dataclass
class Story:
    """Interrupted while measuring; resumed and interrupted while tracing; resumed to the end."""

    cwd: Path
    measuring: Stop
    tracing: Stop
    end: Stop


@pytest.fixture(scope="module")
def story(tmp_path_factory, llama):
    cwd = tmp_path_factory.mktemp("interrupted")
    output_dir, trace_dir = cwd / "out", cwd / "traces" / "out"

    def stop(said):
        assert said.code in (0, 130), said.err
        traces = sorted(path.parent.name for path in trace_dir.rglob("*.pt.trace.json.gz"))
        return Stop(said, read_result(output_dir), read_journal(output_dir), traces)

    def some_measured():
        return len(read_journal(output_dir)) >= 20

    def some_traced():
        return any(trace_dir.rglob("*.pt.trace.json.gz"))

    first = stop(interrupted_when(some_measured, *words(llama), cwd=cwd))
    second = stop(interrupted_when(some_traced, *words(llama), "--resume", cwd=cwd))
    third = stop(maskprof(*words(llama), "--resume", cwd=cwd))
    return Story(cwd, first, second, third)


def in_result(result):
    """(configuration, whether its blocks were removed, sample) -> prefill time."""
    lists = {False: result["all_samples"], True: result["reference_samples"]}
    return {
        (s["configuration"], reference, s["sample_id"]): s["T_LLM_prefill"]
        for reference, samples in lists.items()
        for s in samples
    }


def in_journal(samples):
    return {(s["configuration"], s["reference"], s["sample_id"]): s["prefill_ms"] for s in samples}


def test_what_was_measured_is_saved(story):
    stop = story.measuring
    assert stop.said.code == 130, stop.said.err
    assert stop.said.err.splitlines()[-1] == ADVICE
    assert "Traceback" not in stop.said.err
    assert "Latency (" in stop.said.out
    assert in_result(stop.result) == in_journal(stop.journal)
    assert 20 <= len(in_result(stop.result)) < NUM_SAMPLES * len(NAMES)
    assert stop.traces == []


def test_going_on_completes_the_samples_and_repeats_none(story):
    before, after = in_result(story.measuring.result), in_result(story.end.result)
    assert {key: after[key] for key in before} == before
    masked = {(name, False, sample) for name in NAMES for sample in range(NUM_SAMPLES)}
    removed = {(name, True, sample) for name in NAMES[:-1] for sample in range(REFERENCES)}
    assert after.keys() == masked | removed
    assert len(story.end.journal) == len(after), "no line of the journal is doubled"
    assert [entry["num_samples"] for entry in story.end.result["summary"]] == [NUM_SAMPLES] * len(NAMES)


def test_an_interruption_while_tracing_keeps_the_samples_and_the_finished_traces(story):
    stop = story.tracing
    assert stop.said.code == 130, stop.said.err
    assert stop.said.err.splitlines()[-1] == ADVICE
    assert "Traceback" not in stop.said.err
    assert stop.traces[:1] == NAMES[:1]
    assert in_result(stop.result) == in_result(story.end.result)
    assert stop.result["failures"] == []


def test_the_last_run_measures_nothing_and_traces_the_rest(story):
    said = story.end.said
    assert said.code == 0, said.err
    assert "4 configurations, 0 samples" in said.err.splitlines()
    assert "measuring" not in said.err.splitlines()
    assert list(traces_in(story.cwd / "traces" / "out")) == NAMES
    leftovers = [path.name for path in story.cwd.rglob(".*")]
    assert leftovers == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--max_new_tokens", 5), "settings.max_new_tokens was [10], now [5]"),
        (("--prompt", "the dog"), "settings.prompt was None, now 'the dog'"),
        (("--num_active_blocks", 2, 3), f"configurations was {NAMES}, now {NAMES[1:3]}"),
    ],
)
def test_going_on_with_other_settings_is_refused(story, call, llama, change, named):
    os.chdir(story.cwd)  # `call` goes back
    said = call(*words(llama), "--resume", *change)
    assert (said.code, said.out) == (2, "")
    sentence = said.err.splitlines()[-1]
    assert sentence.startswith("maskprof: out/journal.jsonl is of another run, so it cannot be resumed: ")
    assert named in sentence
    assert in_result(read_result(story.cwd / "out")) == in_result(story.end.result)
    assert len(read_journal(story.cwd / "out")) == len(story.end.journal)


def long_warm_up(llama, *more):
    return (
        *("run", "--model_path", llama, "--output_dir", "out", "--num_samples", 4, "--no_trace"),
        *("--closure_samples", 1, "--num_warmup", 100_000, *more),
    )


def short_run(llama):
    return (
        *("run", "--model_path", llama, "--output_dir", "out", "--num_samples", 2, "--no_trace"),
        *("--closure_samples", 1, "--num_warmup", 1),
    )


def test_in_the_warm_up_there_is_nothing_to_keep(tmp_path, llama):
    said = interrupted_when((tmp_path / "out" / "journal.jsonl").is_file, *long_warm_up(llama), cwd=tmp_path)
    assert (said.code, said.out) == (130, "")
    assert said.err.splitlines()[-1] == (
        "maskprof: interrupted before the first sample, while loading or warming up: nothing was measured yet, there "
        "is nothing to keep, and the same command begins again"
    )
    assert not (tmp_path / "out" / RESULT).exists()


def test_in_the_warm_up_of_another_run_what_was_there_is_kept(tmp_path, llama):
    assert maskprof(*short_run(llama), cwd=tmp_path).code == 0
    before = read_result(tmp_path / "out")
    kept = tmp_path / "out" / "journal.old.jsonl"
    said = interrupted_when(kept.is_file, *long_warm_up(llama), cwd=tmp_path)
    assert (said.code, said.out) == (130, "")
    assert said.err.splitlines()[-1].endswith(
        "nothing was measured yet, what an earlier run measured is kept in out, and the same command begins again"
    )
    assert read_result(tmp_path / "out") == before


def test_while_loading_what_is_gone_on_with_stays(tmp_path, llama):
    words = short_run(llama)
    assert maskprof(*words, cwd=tmp_path).code == 0
    journal = (tmp_path / "out" / "journal.jsonl").read_bytes()
    begun = time.monotonic()
    said = interrupted_when(lambda: time.monotonic() > begun + 1.5, *words, "--resume", cwd=tmp_path)
    if said.code == 0:
        pytest.skip("the machine loaded the model before it could be interrupted")
    assert (said.code, said.out) == (130, "")
    assert said.err.splitlines()[-1] == (
        "maskprof: interrupted before another sample was taken: the 11 samples of before stay in out/journal.jsonl, "
        "and the same command goes on with them"
    )
    assert (tmp_path / "out" / "journal.jsonl").read_bytes() == journal


def test_once_all_is_saved_only_showing_it_is_ended(tmp_path, llama):
    words = ("run", "--model_path", llama, "--output_dir", "out", "--num_samples", 2, "--num_warmup", 1)
    words = (*words, "--closure_samples", 1)

    def saving():
        return b"saving" in (tmp_path / "stderr.txt").read_bytes()

    said = interrupted_when(saving, *words, cwd=tmp_path)
    if said.code == 0:
        pytest.skip("the machine showed all before it could be interrupted")
    assert said.code == 130
    sentence = said.err.splitlines()[-1]
    begun = "maskprof: interrupted after the measuring was done and everything saved in out"
    assert sentence.startswith(begun), said.err
    assert "Traceback" not in said.err
    assert len(read_result(tmp_path / "out")["all_samples"]) == 2 * len(NAMES)
    if sentence.startswith(f"{begun}: only the tables"):
        assert "maskprof report out shows it" in sentence
    again = maskprof(*words, "--resume", cwd=tmp_path)
    assert again.code == 0, again.err
    assert "4 configurations, 0 samples" in again.err.splitlines()
    assert "Latency (" in again.out
    assert any((tmp_path / "traces" / "out").rglob("events.out.tfevents.*"))
