"""A disk that is full, or a process that dies, at every single step of writing; then the run is gone on with."""

import errno
import itertools
import json
import os
import signal
import tempfile
import time
import weakref
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from maskprof import experiment
from maskprof.errors import ConfigError
from maskprof.results import journal as journals
from maskprof.results.journal import Journal, read_journal
from maskprof.results.lock import locked
from maskprof.results.schema import HUNG_STAGE, Failure
from maskprof.results.store import RESULT_NAME, ResultStore
from maskprof.sweep import assembling
from tests.support.small_runs import EVERY_SAMPLE, Display, ids, settings

JOURNAL = Path("out/journal.jsonl")


class Died(BaseException):
    """Stands for the end of the process."""


class Steps:
    """Counts the steps of writing and lets one of them fail."""

    def __init__(self, monkeypatch, fatal, error):
        self.taken, self.fatal, self.error = [], fatal, error
        for owner, name in (
            (os, "fsync"),
            (os, "link"),
            (tempfile, "mkstemp"),
            (Path, "write_text"),
            (Path, "replace"),
        ):
            monkeypatch.setattr(owner, name, self.counted(name, getattr(owner, name)))
        begin = Journal.__init__
        monkeypatch.setattr(
            Journal,
            "__init__",
            lambda journal, path, file, contents: begin(journal, path, Faulty(file, self), contents),
        )
        # Every sample is then followed by a step of its own.
        monkeypatch.setattr(journals, "_SYNC_EVERY_S", -1.0)

    def take(self, name):
        self.taken.append(name)
        if len(self.taken) - 1 == self.fatal:
            raise self.error

    def counted(self, name, call):
        def counted(*words, **options):
            self.take(name)
            return call(*words, **options)

        return counted


class Faulty:
    """The journal's file; a write that fails has written a part."""

    def __init__(self, file, steps):
        self.file, self.steps = file, steps

    def write(self, data):
        try:
            self.steps.take("write")
        except BaseException:
            self.file.write(data[: len(data) // 2])
            raise
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def run(**changes):
    return experiment.run(settings(**changes), Display())


def whole_files():
    """Every file with a name of ours is whole, and drafts have names that nobody looks for."""
    for path in Path("out").iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text())
        assert path.suffix in (".json", ".jsonl", ".csv", ".part", ".lock"), path


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), Died()], ids=["full disk", "death"]
)
def test_at_every_step(model, monkeypatch, error):
    said = set()
    for fatal in itertools.count():
        with monkeypatch.context() as patched:
            steps = Steps(patched, fatal, error)
            try:
                run()
                # Folders cannot be synced everywhere, so that this is no error.
                assert fatal >= len(steps.taken) or steps.taken[fatal] == "fsync"
            except ConfigError as ended:
                said.add(str(ended).partition("; ")[0])
            except Died:
                said.add("died")
        whole_files()
        taken = read_journal(JOURNAL).samples if JOURNAL.is_file() else ()
        result = run(resume=True).result
        assert ids(result.samples) == EVERY_SAMPLE
        assert result.samples[: len(taken)] == taken
        assert read_journal(JOURNAL).samples == result.samples
        assert ResultStore(Path("out")).load() == result
        assert sorted(path.name for path in Path("out").iterdir() if ".old" not in path.name) == [
            *("attribution.csv", "attribution.json", RESULT_NAME, "journal.jsonl"),
        ]
        for path in Path("out").iterdir():
            path.unlink()
        if fatal >= len(steps.taken):
            break
    reason = "No space left on device"
    sentences = {f"out/journal.jsonl cannot be written: {reason}", f"out cannot be written to: {reason}"}
    assert said in (sentences, {"died"})
    assert {"write", "fsync", "replace", "mkstemp", "write_text"} <= set(steps.taken)
    assert len(steps.taken) > 30


def test_a_full_disk_says_what_is_safe_and_what_to_do(model, monkeypatch):
    def full(journal, line):
        if len(journal._known) == 3:
            journal._file = Full(journal._file)
        append(journal, line)

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.file, name)

    append = Journal._append
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "_append", full)
        with pytest.raises(ConfigError) as ended:
            run()
    assert str(ended.value) == (
        "out/journal.jsonl cannot be written: No space left on device; the samples before are safe in it: mend that, "
        "and the same command with --resume goes on"
    )
    assert len(read_journal(JOURNAL).samples) == 3
    assert JOURNAL.read_bytes().endswith(b"\n")
    assert ids(run(resume=True).result.samples) == EVERY_SAMPLE


def test_a_result_that_cannot_be_saved_leaves_the_journal_to_make_it_from(model, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(ResultStore, "result_path", property(lambda _self: Path("out/absent/result.json")))
        with pytest.raises(ConfigError) as ended:
            run()
    assert str(ended.value) == (
        "out cannot be written to: No such file or directory; every sample is in journal.jsonl there: mend that, and "
        "the same command with --resume saves the result"
    )
    display = Display()
    result = experiment.run(settings(resume=True), display).result
    assert display.samples == []
    assert ids(result.samples) == EVERY_SAMPLE


def test_what_a_killed_run_left_half_written_is_removed(model):
    for folder in (Path("out"), Path("traces/out/first-02-of-04")):
        folder.mkdir(parents=True)
        (folder / ".maskprof-draft-x-trace.json.part").write_text("{")
    run(trace=True)
    assert list(Path().rglob(".*")) == []


def test_a_sample_is_written_down_though_the_signal_comes_in_between(model, monkeypatch):
    add_sample = Journal.add_sample

    def struck(journal, sample):
        if len(journal._known) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        add_sample(journal, sample)

    monkeypatch.setattr(Journal, "add_sample", struck)
    outcome = run()
    assert outcome.interrupted
    assert len(outcome.result.samples) == 3
    assert read_journal(JOURNAL).samples == outcome.result.samples


def test_a_journal_with_samples_is_never_thrown_away(model):
    first = run().result.samples
    second = run().result.samples
    with pytest.raises(KeyboardInterrupt):
        experiment.run(settings(num_warmup=1), Display(at=stop_at("warm-up")))
    third = run().result.samples
    kept = [read_journal(Path(f"out/journal{name}.jsonl")).samples for name in (".old", ".old2", "")]
    assert kept == [first, second, third]
    assert len(list(Path("out").glob("journal*"))) == 3, "one without a sample is not kept"


def stop_at(moment):
    def stop(what):
        if what == moment:
            raise KeyboardInterrupt

    return stop


def test_a_trace_of_another_run_is_not_taken_for_ours(model):
    run(trace=True)
    stale = next(Path("traces/out/first-02-of-04").iterdir())
    run(trace=False)
    result = run(trace=True, resume=True).result
    (fresh,) = Path("traces/out/first-02-of-04").iterdir()
    assert fresh.name != stale.name
    assert {item.trace for item in result.attribution if item.configuration == "first-02-of-04"} == {
        str(fresh)
    }


def test_finished_traces_are_kept_and_gone_ones_taken_again(model):
    run(trace=True)
    kept, gone = (next(Path(f"traces/out/first-0{count}-of-04").iterdir()) for count in (2, 4))
    gone.unlink()
    display = Display()
    experiment.run(settings(trace=True, resume=True), display)
    assert display.stages == ["loading the model", "tracing first-04-of-04", "saving"]
    assert kept.is_file()


@pytest.mark.parametrize("where", ["the exporter", "the reader", "its stop"])
def test_a_profiler_that_crashes_costs_its_own_row(model, monkeypatch, where):
    def crash(*_words, **_options):
        raise ValueError("the profiler broke")

    owner, name, stage = {
        "the exporter": (torch.profiler.profile, "export_chrome_trace", "tracing"),
        "the reader": (assembling.__dict__, "attribute", "reading the trace"),
        "its stop": (torch.profiler.profile, "stop_trace", "tracing"),
    }[where]
    if isinstance(owner, dict):
        monkeypatch.setitem(owner, name, crash)
    else:
        monkeypatch.setattr(owner, name, crash)
    result = run(trace=True).result
    assert [(f.configuration, f.stage, f.error) for f in result.failures] == [
        (f"first-0{count}-of-04", stage, "ValueError: the profiler broke") for count in (2, 4)
    ]
    assert ids(result.samples) == EVERY_SAMPLE
    assert ResultStore(Path("out")).load() == result
    monkeypatch.undo()


def test_clean_figures_are_saved_before_anything_is_traced(model, monkeypatch):
    def die(*_words):
        raise Died

    monkeypatch.setattr("maskprof.sweep.in_process.trace", die)
    with pytest.raises(Died):
        run(trace=True)
    assert ids(ResultStore(Path("out")).load().samples) == EVERY_SAMPLE


def test_a_trace_that_was_cut_off_by_a_full_disk_is_no_trace(model, monkeypatch):
    export = torch.profiler.profile.export_chrome_trace

    def cut(profiler, path):
        export(profiler, path)
        os.truncate(path, Path(path).stat().st_size // 2)

    monkeypatch.setattr(torch.profiler.profile, "export_chrome_trace", cut)
    result = run(trace=True).result
    assert [f.stage for f in result.failures] == ["tracing"] * 2
    assert "the profiler wrote only a part of its trace, as on a full disk" in result.failures[0].error
    assert list(Path("traces").rglob("*.gz")) == []


def hang():
    while True:
        time.sleep(0.001)


def no_room():
    raise MemoryError("no room")


def allocator_fails():
    torch.empty(1 << 62, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (hang, "TimeLimitError: it took longer than the 1.5 s of --timeout_per_config"),
        (no_room, "MemoryError: no room"),
        (allocator_fails, "RuntimeError: [enforce fail at alloc_cpu"),
    ],
)
def test_a_troubled_configuration_keeps_its_samples_and_leaves_the_model_as_it_was(model, trouble, said):
    mlp, prefills = model.model.layers[3].mlp, itertools.count()
    forward = mlp.forward

    def troubled(hidden):
        # Looking at the model takes two tokens; a skipped block does not come by here.
        if hidden.shape[1] > 2 and next(prefills) == 1:
            trouble()
        return forward(hidden)

    mlp.forward = troubled
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    result = run(timeout_per_config=1.5, closure_samples=0).result
    (failure,) = result.failures
    assert (failure.configuration, failure.stage) == ("first-04-of-04", "measuring")
    assert failure.error.startswith(said)
    assert {s.configuration.name: s.num_samples for s in result.summary} == {
        "first-02-of-04": 2,
        "first-04-of-04": 1,
    }
    assert {name: dict(module.__dict__) for name, module in model.named_modules()} == before
    again = run(resume=True, closure_samples=0).result
    assert not again.failures
    assert [s.num_samples for s in again.summary] == [2, 2]


def test_what_a_failed_pass_held_is_free_before_the_next_one(model):
    alive = []

    class Big:
        """Stands for a tensor that a frame of the failed pass holds."""

    def troubled(hidden):
        big = Big()
        alive.append(weakref.ref(big))
        if hidden.shape[1] > 2:
            raise MemoryError("no room")
        return forward(hidden)

    def look(_what):
        if alive:
            left.append(sum(ref() is not None for ref in alive))

    left = []
    mlp = model.model.layers[3].mlp
    forward, mlp.forward = mlp.forward, troubled
    experiment.run(settings(), Display(look))
    assert left
    assert set(left) == {0}


@pytest.mark.parametrize("taken", ["out", "traces/out"])
def test_a_folder_that_another_run_works_in_is_refused(model, taken):
    Path(taken).mkdir(parents=True)
    display = Display()
    with (
        locked([Path(taken)]),
        pytest.raises(ConfigError, match=rf"/{taken} is in use by process {os.getpid()}"),
    ):
        experiment.run(settings(trace=True), display)
    assert display.stages == []


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


def broken_profiler():
    if torch.autograd._profiler_enabled():
        raise RuntimeError("cannot be traced")


@pytest.mark.parametrize(("trouble", "interrupted"), [(interrupt, True), (broken_profiler, False)])
def test_the_model_is_as_it_was_after_an_interruption_and_a_broken_trace(model, trouble, interrupted):
    mlp, prefills = model.model.layers[3].mlp, itertools.count()
    forward = mlp.forward

    def troubled(hidden):
        if hidden.shape[1] > 2 and next(prefills) >= 1:
            trouble()
        return forward(hidden)

    mlp.forward = troubled
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    assert run(trace=True).interrupted is interrupted
    assert {name: dict(module.__dict__) for name, module in model.named_modules()} == before


def test_what_hung_the_process_is_left_out_when_the_run_goes_on(model):
    run(num_samples=1)
    failure = Failure(configuration="first-04-of-04", stage=HUNG_STAGE, error="it hung")
    with JOURNAL.open("ab") as journal:
        journal.write(json.dumps({"failure": asdict(failure)}).encode() + b"\n")
    result = run(resume=True).result
    assert result.failures == (failure,)
    assert {s.configuration.name: s.num_samples for s in result.summary} == {
        "first-02-of-04": 2,
        "first-04-of-04": 1,
    }
