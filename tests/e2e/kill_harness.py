"""Kills runs at random moments, goes on with them, and looks at what is left after each kill.

    python -m tests.e2e.kill_harness --kills 200

A process that has imported everything forks one run after the other, since importing torch would take most of the
time. A story is one sweep: begun, killed, resumed, killed, ... until it ends by itself. What must hold is in
`look_after`.
"""

import argparse
import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.e2e.command import RESULT

SAMPLES = 40
REFERENCES = 6
NAMES = [f"first-{count:02d}-of-04" for count in range(1, 5)]
EVERY_SAMPLE = {(name, False, i) for name in NAMES for i in range(SAMPLES)}
EVERY_SAMPLE |= {(name, True, i) for name in NAMES[:-1] for i in range(REFERENCES)}
_PATIENCE_S = 120
# A run of its own takes about so long after the fork, on a slow machine.
_USUAL_S = 4.0
_WAYS = ("SIGINT", "SIGTERM", "SIGKILL", "SIGINT twice", "SIGTERM twice")


class BrokenError(AssertionError):
    """Something that must hold does not."""


@dataclass
class Report:
    """What was done, and the moments at which it hit."""

    kills: Counter = field(default_factory=Counter)
    moments: Counter = field(default_factory=Counter)
    stories: int = 0
    samples: int = 0
    in_flight: int = 0


@dataclass
class Story:
    """One sweep and what is known of it."""

    folder: Path
    model: Path
    journal: bytes = b""
    witnessed: set = field(default_factory=set)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def traces(self) -> Path:
        return self.folder / "traces" / "out"

    def whole_journal(self) -> bytes:
        path = self.out / "journal.jsonl"
        return path.read_bytes().rpartition(b"\n")[0] + b"\n" if path.is_file() else b""

    def samples(self) -> list[dict]:
        return self.entries("sample")

    def entries(self, kind: str) -> list[dict]:
        lines = self.whole_journal().splitlines()
        return [entry[kind] for entry in map(json.loads, filter(None, lines)) if kind in entry]

    def measured(self) -> set:
        """What the runs say they have measured, written down by themselves ahead of the journal."""
        path = self.folder / "witness"
        lines = path.read_text().splitlines() if path.is_file() else []
        return {tuple(json.loads(line)) for line in lines}


def words(story: Story, *, resume: bool) -> list[str]:
    given = [
        *("run", "--model_path", str(story.model), "--output_dir", "out", "--device", "cpu"),
        *("--num_samples", SAMPLES, "--closure_samples", REFERENCES, "--num_warmup", 1),
        *("--max_new_tokens", 3, *(["--resume"] if resume else [])),
    ]
    return [str(word) for word in given]


def forked_run(story: Story, *, resume: bool) -> int:
    """The process id of a run in a fork of this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(story.folder)
        for number, name in ((1, "stdout.txt"), (2, "stderr.txt")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _write_a_witness()
        from maskprof.cli.main import main

        code = main(words(story, resume=resume))
        sys.stderr.flush()
    except KeyboardInterrupt:
        # Before the command began or after it ended, as while the interpreter starts.
        code = 130
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _write_a_witness() -> None:
    from maskprof.results.journal import Journal

    descriptor = os.open("witness", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    add_sample = Journal.add_sample

    def witnessed(journal, sample):
        identity = [sample.configuration, sample.reference, sample.sample_id]
        os.write(descriptor, json.dumps(identity).encode() + b"\n")
        add_sample(journal, sample)

    Journal.add_sample = witnessed


def due_moment(story: Story, chance: random.Random):
    """`(name, due)`: `due()` is true when the moment to strike has come."""
    kind = chance.choice(("any time", "a number of samples", "a number of samples", "tracing", "saving"))
    if kind == "any time":
        at = time.monotonic() + chance.uniform(0, _USUAL_S)
        return kind, lambda: time.monotonic() >= at
    if kind == "a number of samples":
        lines = chance.randrange(1, len(EVERY_SAMPLE))
        path = story.out / "journal.jsonl"
        return kind, lambda: path.is_file() and path.read_bytes().count(b"\n") > lines
    text = b"tracing first-0" + str(chance.randrange(1, 5)).encode() if kind == "tracing" else b"saving"
    return kind, lambda: text in (story.folder / "stderr.txt").read_bytes()


def strike(story: Story, way: str, chance: random.Random, *, resume: bool, report: Report) -> int | None:
    """Start a run and kill it; its exit code, negative for a signal that ended it, or None if it was not hit."""
    (story.folder / "stderr.txt").write_bytes(b"")
    child = forked_run(story, resume=resume)
    kind, due = due_moment(story, chance)
    limit = time.monotonic() + _PATIENCE_S
    try:
        while not due():
            if (ended := ended_with(child, limit, story)) is not None:
                return _not_hit(story, ended)
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        for _ in range(2 if way.endswith("twice") else 1):
            os.kill(child, getattr(signal, way.split(maxsplit=1)[0]))
            time.sleep(chance.uniform(0, 0.05) if way.endswith("twice") else 0)
        while (ended := ended_with(child, limit, story)) is None:
            time.sleep(0.001)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        raise
    report.kills[way] += 1
    report.moments[kind] += 1
    return ended


def _not_hit(story: Story, ended: int) -> None:
    if ended != 0:
        raise BrokenError(f"a run that was left alone ended with {ended}: {said(story)}")


def ended_with(child: int, limit: float, story: Story) -> int | None:
    check(time.monotonic() < limit, f"the run does not come to its end: {said(story)}")
    finished, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if finished else None


def said(story: Story) -> str:
    return (story.folder / "stderr.txt").read_text()[-2000:]


def look_after(story: Story, way: str, code: int | None) -> int:
    """Check all that must hold after a run has ended; how many samples were on their way when it was killed."""
    text = said(story)
    check("Traceback" not in text, f"a traceback after {way}: {text}")
    before_it_began = not text and code in (-signal.SIGINT, -signal.SIGTERM, 130)
    # A fork has no time in which it ends and hears nothing more, as a process of its own has.
    after_its_end = "saving" in text and code == -signal.SIGTERM and (story.out / RESULT).is_file()
    allowed = {-signal.SIGKILL, 0} if way == "SIGKILL" else {130, 0}
    check(
        code is None or code in allowed or before_it_began or after_its_end,
        f"exit code {code} after {way}: {text}",
    )

    whole = story.whole_journal()
    check(whole.startswith(story.journal), "the journal lost or changed what it held")
    story.journal = whole
    samples = {identity(s): s for s in story.samples()}
    check(len(samples) == len(story.samples()), "a sample is in the journal twice")
    sittings = [sitting["number"] for sitting in story.entries("sitting")]
    check(sittings == list(range(1, len(sittings) + 1)), f"sittings out of order: {sittings}")
    taken_in = [s["sitting"] for s in story.samples()]
    check(taken_in == sorted(taken_in) and set(taken_in) <= set(sittings), "a sample is of no sitting")
    lost = story.measured() - set(samples)
    check(len(lost) <= (1 if code == -signal.SIGKILL else 0), f"measured, and not in the journal: {lost}")
    # A sample that a SIGKILL tore from between its measuring and the journal is measured again.
    (story.folder / "witness").write_text("".join(json.dumps(key) + "\n" for key in samples))

    for path in story.folder.rglob("*"):
        look_at_file(path)
    saved = story.out / RESULT
    if saved.is_file():
        document = json.loads(saved.read_text())
        check_result(document, samples, complete=code in (0, None))
        check_sittings(document, story, complete=code in (0, None))
    if "interrupted: what was measured is saved" in text:
        document = json.loads(saved.read_text())
        check(set(in_result(document)) == set(samples), "an interruption was saved without all samples")
    return len(lost)


def identity(sample: dict) -> tuple:
    return sample["configuration"], sample["reference"], sample["sample_id"]


def in_result(document: dict) -> dict:
    return {
        (s["configuration"], reference, s["sample_id"]): s
        for key, reference in (("all_samples", False), ("reference_samples", True))
        for s in document[key]
    }


def check_result(document: dict, samples: dict, *, complete: bool) -> None:
    """The samples of the result are the journal's, and its statistics are those of exactly these samples."""
    found = in_result(document)
    check(set(found) <= set(samples), "the result has a sample that the journal lacks")
    for key, entry in found.items():
        check(entry["T_LLM_prefill"] == samples[key]["prefill_ms"], f"{key} was changed")
    for entry in document["summary"]:
        mine = [s for (name, reference, _), s in found.items() if name == entry["name"] and not reference]
        check(entry["num_samples"] == len(mine), "a summary counts other samples than there are")
        check(
            np.isclose(entry["prefill"]["P50"], np.median([s["T_LLM_prefill"] for s in mine])),
            "a median is not that of the samples",
        )
    if complete:
        check(set(found) == EVERY_SAMPLE, "a run that ended by itself is not complete")
        check(document["failures"] == [], f"failures: {document['failures']}")


def check_sittings(document: dict, story: Story, *, complete: bool) -> None:
    """The result holds every sitting of its samples, with all looks at the machine that the journal has of it."""
    kept = {sitting["number"]: sitting for sitting in document["sittings"]}
    found = in_result(document).values()
    check({s["sitting"] for s in found} <= set(kept), "the result lacks a sitting of its samples")
    for number, sitting in kept.items():
        rounds = {s["round"] for s in found if s["sitting"] == number}
        looked_at = {state["round"] for state in sitting["states"]}
        check(rounds <= looked_at, f"sitting {number} lacks looks at its rounds {rounds - looked_at}")
    if complete:
        check(list(kept) == [s["number"] for s in story.entries("sitting")], "a sitting is missing")
        told = [f["text"] for f in document["findings"] if f["topic"] == "sittings"]
        several = len({s["sitting"] for s in found})
        says = [f"measured in {several} sittings"] if several > 1 else []
        check([text.partition(",")[0] for text in told] == says, f"of {several} sittings it says {told}")


def look_at_file(path: Path) -> None:
    """A file under a name that readers look for is whole."""
    if path.name.startswith(".maskprof-draft"):
        return
    if path.name.endswith(".json.gz"):
        json.loads(gzip.decompress(path.read_bytes()))
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        rows = path.read_text()
        check(rows.endswith("\n") and len({row.count(",") for row in rows.splitlines()}) == 1, f"{path}: cut")


def look_at_the_end(story: Story) -> None:
    """The story is over: all is there, and nothing else."""
    check({identity(s) for s in story.samples()} == EVERY_SAMPLE, "samples are missing at the end")
    traced = sorted(path.parent.name for path in story.traces.rglob("*.pt.trace.json.gz"))
    check(traced == NAMES, f"traces at the end: {traced}")
    hidden = [str(path) for path in story.folder.rglob(".*")]
    check(hidden == [], f"left behind: {hidden}")


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenError(otherwise)


def run(kills: int, seed: int, folder: Path, model: Path, *, most_per_story: int = 12) -> Report:
    """Make so many kills.

    Raises:
        BrokenError: something did not hold; the story's folder is left as it is.
    """
    import torch

    # For the forks.
    import transformers.models.llama.modeling_llama  # noqa: F401

    import maskprof.cli.run
    import maskprof.experiment
    import maskprof.reports.console
    import maskprof.reports.tensorboard  # noqa: F401

    torch.set_num_threads(1)
    chance, report = random.Random(seed), Report()
    while sum(report.kills.values()) < kills:
        story = Story(folder / f"story-{report.stories}", model)
        story.folder.mkdir(parents=True)
        resume, left = False, most_per_story
        while True:
            way = chance.choice(_WAYS)
            if left and sum(report.kills.values()) < kills:
                code = strike(story, way, chance, resume=resume, report=report)
            else:
                code = finish(story, resume=resume)
            report.in_flight += look_after(story, way, code)
            # A run that was killed before its journal began is begun again in the same way.
            resume = resume or bool(story.journal)
            left -= 1
            if code is None:
                break
        look_at_the_end(story)
        report.stories += 1
        report.samples += len(EVERY_SAMPLE)
        shutil.rmtree(story.folder)
    return report


def finish(story: Story, *, resume: bool) -> None:
    """Let a run come to its end."""
    (story.folder / "stderr.txt").write_bytes(b"")
    child = forked_run(story, resume=resume)
    limit = time.monotonic() + _PATIENCE_S
    while (ended := ended_with(child, limit, story)) is None:
        time.sleep(0.005)
    _not_hit(story, ended)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from tests.unit.models import checkpoints

    folder = Path(tempfile.mkdtemp(prefix="maskprof-kills-"))
    model = folder / "tiny-llama"
    checkpoints.tiny_llama(num_hidden_layers=4).save_pretrained(model)
    checkpoints.word_tokenizer().save_pretrained(model)
    began_s = time.monotonic()
    report = run(given.kills, given.seed, folder, model)
    shutil.rmtree(folder)
    for line in (
        f"{sum(report.kills.values())} kills in {report.stories} sweeps, {time.monotonic() - began_s:.0f} s",
        f"by signal: {dict(report.kills)}",
        f"by moment: {dict(report.moments)}",
        f"{report.samples} samples at the ends, none lost or counted twice",
        f"{report.in_flight} times a SIGKILL fell between measuring and writing down: measured again",
    ):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
