from collections import defaultdict
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from maskprof.measuring.runner import Plan, Runner
from maskprof.measuring.timers import PassTimes
from maskprof.results.schema import Configuration


def configuration(name, active, skip_mode="mask"):
    return Configuration(
        name=name, active=active, strategy="first", skip_mode=skip_mode, dummy_cache="virtual", mask_on="host"
    )


FULL = configuration("full", (True, True))
HALF = configuration("half", (True, False))


class FakeTimer:
    """Says that each pass took as long as a list tells, the last entry again and again."""

    def __init__(self, totals_ms):
        self.totals_ms = list(totals_ms)

    def times(self):
        total = self.totals_ms.pop(0) if len(self.totals_ms) > 1 else self.totals_ms[0]
        return PassTimes(
            vision_ms=1.0,
            projector_ms=0.5,
            prefill_ms=2.0,
            decode_step_ms=(3.0, 4.0),
            total_ms=total,
            host_vision_ms=1.0,
            host_prefill_ms=2.0,
            host_decode_ms=7.0,
        )


class Bench:
    """A runner over a model that is not there: notes what is put in force and what is heard."""

    def __init__(self, fails=lambda _name, _reference: False, totals_ms=(10.5,)):
        self.in_force, self.passes = None, []
        self.warmups, self.samples, self.failures, self.states = [], [], [], []
        self.fails = fails
        greedy = SimpleNamespace(
            run=self.run_pass, inputs=SimpleNamespace(num_input_text_tokens=5, num_vision_tokens=3)
        )
        self.runner = Runner(lambda _configuration: greedy, FakeTimer(totals_ms), self.masked_as, self)

    @contextmanager
    def masked_as(self, configuration, reference):
        assert self.in_force is None, "one mask at a time"
        self.in_force = (configuration.name, reference)
        try:
            yield
        finally:
            self.in_force = None

    def run_pass(self, steps, _watch):
        self.passes.append(self.in_force)
        if self.fails(*self.in_force):
            raise MemoryError("no room")

    def on_warmup(self, configuration):
        self.warmups.append(configuration.name)

    def on_settled(self, warmup):
        self.settled = warmup

    def on_state(self, state):
        self.states.append((state, len(self.samples)))

    def on_sample(self, sample):
        self.samples.append(sample)

    def on_failure(self, failure):
        self.failures.append(failure)


def plan(**changes):
    settings = {
        **{"samples": 4, "references": 2, "warmups": 2, "steps": defaultdict(lambda: 2), "seed": 0},
        **{"done": {}, "references_done": {}, **changes},
    }
    return Plan(**settings)


def test_samples_references_and_their_numbers():
    bench = Bench()
    bench.runner.measure([FULL, HALF], plan())
    clean = [s for s in bench.samples if not s.reference]
    assert sorted((s.configuration, s.sample_id) for s in clean) == [
        (n, i) for n in ("full", "half") for i in range(4)
    ]
    references = [s for s in bench.samples if s.reference]
    assert [(s.configuration, s.sample_id, s.round) for s in references] == [("half", 0, 0), ("half", 1, 1)]
    sample = clean[0]
    assert (sample.decode_ms, sample.num_output_tokens, sample.num_vision_tokens) == (7.0, 3, 3)
    assert sample.remainder_ms == pytest.approx(0.5)
    assert not bench.failures


def test_warm_up_ends_when_rounds_stop_getting_faster():
    steady = Bench(totals_ms=[10.0])
    steady.runner.measure([FULL], plan(references=0))
    assert len(steady.warmups) == 2
    falling = Bench(totals_ms=[100, 50, 10, 10, 10, 10])
    falling.runner.measure([FULL], plan(references=0))
    assert len(falling.warmups) == 5
    assert (falling.settled.changed_at, falling.settled.rounds) == (2, 5)
    endless = Bench(totals_ms=[2.0**-i for i in range(40)])
    endless.runner.measure([FULL], plan(references=0))
    assert len(endless.warmups) == 9
    none = Bench()
    none.runner.measure([FULL], plan(warmups=0, references=0))
    assert none.warmups == []


def test_a_failing_configuration_is_left_out_and_the_others_go_on():
    bench = Bench(fails=lambda name, _reference: name == "half")
    bench.runner.measure([FULL, HALF], plan())
    assert [(f.configuration, f.stage, f.error) for f in bench.failures] == [
        ("half", "warm-up", "MemoryError: no room")
    ]
    assert {s.configuration for s in bench.samples} == {"full"}
    assert len(bench.samples) == 4
    assert sum(name == "half" for name, _ in bench.passes) == 1


def test_a_failing_reference_costs_the_reference_only():
    bench = Bench(fails=lambda _name, reference: reference)
    bench.runner.measure([FULL, HALF], plan())
    assert [f.stage for f in bench.failures] == ["removed-blocks reference"]
    assert not bench.failures[0].costs_configuration
    assert len(bench.samples) == 8


def test_what_is_done_is_not_measured_again():
    bench = Bench()
    bench.runner.measure(
        [FULL, HALF], plan(done={"full": 4, "half": 3}, references_done={"half": 2}, first_round=7)
    )
    assert [(s.configuration, s.sample_id, s.round) for s in bench.samples] == [("half", 3, 7)]
    assert set(bench.warmups) == {"half"}


def test_removed_blocks_need_no_reference():
    removed = configuration("removed", (True, False), skip_mode="remove")
    assert plan().missing_references(removed) == 0
    assert plan().missing_references(FULL) == 0
    assert plan().missing_references(HALF) == 2


def test_the_machine_is_looked_at_once_a_round():
    class Watch:
        def __init__(self):
            self.looked = []

        def look(self, number):
            self.looked.append((number, bench.in_force))
            return None if number in [looked for looked, _ in self.looked[:-1]] else f"state {number}"

    bench, watch = Bench(), Watch()
    bench.runner._watch = watch
    bench.runner.measure([FULL, HALF], plan())
    assert {number for number, _ in watch.looked} == {0, 1, 2, 3}
    assert all(in_force is None for _, in_force in watch.looked), "never inside a sample"
    # Half of the samples of the first two rounds are references.
    assert bench.states == [("state 0", 0), ("state 1", 3), ("state 2", 6), ("state 3", 8)]


def test_an_interruption_passes_through():
    def interrupt(_name, _reference):
        raise KeyboardInterrupt

    bench = Bench(fails=interrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.runner.measure([FULL], plan())
    assert bench.in_force is None
