"""A model whose parts take known times, on a clock that only they turn: figures are exact.

On real clocks: benchmarks/known_answers.py.
"""

from collections import defaultdict
from contextlib import contextmanager

import pytest
import torch

from maskprof import BlockMaskWrapper, find_blocks
from maskprof.analysis.summary import closures, fit_lines, summarize
from maskprof.measuring import timers
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.runner import Plan, Runner
from maskprof.measuring.timers import HostTimer
from maskprof.models.inputs import ModelInputs
from maskprof.skipping import in_place, wrapper
from tests.support.results import make_configuration
from tests.support.tiny_models import tiny_model

EMBEDDING, HEAD, CHECK, PREFILL_BLOCK, DECODE_BLOCK, GAP = 7_000, 5_000, 300, 40_000, 11_000, 900
STEPS = 3


class Clock:
    """Nanoseconds that pass only when somebody says so."""

    def __init__(self):
        self.now_ns = 0

    def perf_counter_ns(self):
        return self.now_ns

    def perf_counter(self):
        return self.now_ns / 1e9

    def passes(self, ns):
        self.now_ns += ns


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timers, "time", clock)
    return clock


@pytest.fixture
def model(clock):
    """Its embedding, blocks and head take their times, and so does whatever happens after a forward."""
    model = tiny_model("llama")
    model.model.embed_tokens.register_forward_hook(lambda *_: clock.passes(EMBEDDING))
    model.lm_head.register_forward_hook(lambda *_: clock.passes(HEAD))
    for block in find_blocks(model):
        attention = block.self_attn

        def takes_its_time(_module, _args, kwargs, _output):
            tokens = kwargs["hidden_states"].shape[1]
            clock.passes(PREFILL_BLOCK if tokens > 1 else DECODE_BLOCK)

        attention.register_forward_hook(takes_its_time, with_kwargs=True)
    return model


class Samples:
    def __init__(self):
        self.taken, self.failures = [], []

    def on_warmup(self, configuration):
        pass

    def on_settled(self, warmup):
        pass

    def on_state(self, state):
        pass

    def on_sample(self, sample):
        self.taken.append(sample)

    def on_failure(self, failure):
        self.failures.append(failure)


def measured(model, clock, monkeypatch, *, samples=6):
    """Each mask read costs CHECK, and GAP goes by between a forward and the next."""

    class SlowFlags(in_place.Flags):
        def __init__(self, *words):
            super().__init__(*words)
            flags = self.host

            class SlowList(list):
                def __getitem__(self, index):
                    clock.passes(CHECK)
                    return flags[index]

            self.read_from = SlowList(flags)

    monkeypatch.setattr(wrapper, "Flags", SlowFlags)

    class SlowTimer(HostTimer):
        def leave(self, phase):
            super().leave(phase)
            clock.passes(GAP)

    total = len(find_blocks(model))
    configurations = [make_configuration(count, total) for count in (1, total - 1, total)]
    tensors = {"input_ids": torch.arange(3, 9)[None]}
    greedy = GreedyPass(
        model, ModelInputs(tensors=tensors, num_input_text_tokens=6, num_vision_tokens=0, batch_size=1)
    )

    @contextmanager
    def masked_as(configuration, reference):
        skip = "remove" if reference else configuration.skip_mode
        with BlockMaskWrapper(model, configuration.active, skip=skip):
            yield

    heard = Samples()
    plan = Plan(
        samples=samples,
        references=samples,
        warmups=2,
        steps=defaultdict(lambda: STEPS),
        seed=0,
        done={},
        references_done={},
    )
    Runner(lambda _configuration: greedy, SlowTimer(), masked_as, heard).measure(configurations, plan)
    assert not heard.failures
    return configurations, heard.taken


def test_every_phase_takes_what_its_parts_take(model, clock, monkeypatch):
    configurations, samples = measured(model, clock, monkeypatch)
    total = len(find_blocks(model))
    active = {c.name: c.num_active_blocks for c in configurations}
    assert len(samples) == 6 * (3 + 2)
    for sample in samples:
        looks = 0 if sample.reference else total * CHECK
        prefill = EMBEDDING + active[sample.configuration] * PREFILL_BLOCK + looks + HEAD
        step = EMBEDDING + active[sample.configuration] * DECODE_BLOCK + looks + HEAD
        assert sample.prefill_ms == pytest.approx(prefill / 1e6, rel=1e-12)
        assert sample.decode_step_ms == pytest.approx([step / 1e6] * STEPS, rel=1e-12)
        assert sample.decode_per_token_ms == pytest.approx(step / 1e6, rel=1e-12)
        assert sample.vision_ms == 0.0


def test_what_belongs_to_no_phase_is_the_remainder_and_all_of_it_is_the_total(model, clock, monkeypatch):
    _, samples = measured(model, clock, monkeypatch)
    for sample in samples:
        assert sample.remainder_ms == pytest.approx((1 + STEPS) * GAP / 1e6, rel=1e-9)
        parts = sample.vision_ms + sample.prefill_ms + sample.decode_ms + sample.remainder_ms
        assert parts == pytest.approx(sample.total_ms, rel=1e-12)


def test_lines_and_closures_are_what_was_planted(model, clock, monkeypatch):
    configurations, samples = measured(model, clock, monkeypatch)
    total = len(find_blocks(model))
    summaries = [summarize(c, samples) for c in configurations]
    prefill, step, _ = fit_lines(summaries, samples)
    fixed = EMBEDDING + HEAD + total * CHECK
    assert prefill.slope_ms_per_block == pytest.approx(PREFILL_BLOCK / 1e6)
    assert step.slope_ms_per_block == pytest.approx(DECODE_BLOCK / 1e6)
    assert prefill.intercept_ms == pytest.approx(fixed / 1e6)
    assert prefill.slope_ci95 == pytest.approx((PREFILL_BLOCK / 1e6,) * 2)
    for configuration in configurations[:2]:
        for closure in closures(configuration, samples, ()):
            # The removed blocks' model has nobody who looks at a mask, not even the blocks that are left.
            assert closure.clean_us == pytest.approx(total * CHECK / 1000)
            assert closure.clean_ci95_us == pytest.approx((total * CHECK / 1000,) * 2)
            assert closure.pairs == 6


@pytest.mark.gpu
def test_on_a_gpu_phases_are_the_devices_time():
    device = torch.device("cuda")
    model = tiny_model("llama").to(device)
    cycles = {True: 40_000_000, False: 10_000_000}
    for block in find_blocks(model):

        def takes_its_time(_module, _args, kwargs, _output):
            torch.cuda._sleep(cycles[kwargs["hidden_states"].shape[1] > 1])

        block.self_attn.register_forward_hook(takes_its_time, with_kwargs=True)
    tensors = {"input_ids": torch.arange(3, 9, device=device)[None]}
    inputs = ModelInputs(tensors=tensors, num_input_text_tokens=6, num_vision_tokens=0, batch_size=1)
    timer = timers.StreamTimer(device)
    greedy = GreedyPass(model, inputs)
    greedy.run(STEPS, timer)
    greedy.run(STEPS, timer)
    times = timer.times()
    # Ratios of what was planted, and no durations: the clock of the device is its own affair.
    assert times.prefill_ms / times.decode_step_ms[0] == pytest.approx(4.0, rel=0.2)
    assert times.prefill_ms + sum(times.decode_step_ms) <= times.total_ms
    assert times.host_prefill_ms < times.prefill_ms
