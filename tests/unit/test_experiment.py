"""The whole job in one process on a tiny model: what fails, what is interrupted, what is gone on with."""

import json
import os
import signal
from collections import Counter

import pytest
import torch
from torch import nn

from maskprof import experiment
from maskprof.cli import main as cli
from maskprof.config.schema import RunConfig
from maskprof.errors import MaskError, MaskprofError, ResultError
from maskprof.interruption import handled
from maskprof.measuring.phases import GreedyPass
from maskprof.models.load import LoadedModel
from maskprof.models.tiny import architectures, tiny_model
from maskprof.results.store import RESULT_NAME, ResultStore
from maskprof.sweep import setup
from tests.unit.models.checkpoints import tiny_llama

BLOCKS = 4
# Looking at a model for the first time takes two tokens, the default prompt without a tokenizer ten.
_LONGEST_PROBE = 2


class Watched(nn.Module):
    """A block's MLP that calls `on_call(tokens)` first; a skipped block does not come by here."""

    def __init__(self, inner, on_call):
        super().__init__()
        self.inner, self.on_call = inner, on_call

    def forward(self, hidden):
        self.on_call(hidden.shape[1])
        return self.inner(hidden)


class Display:
    """Remembers what it was told; `at` may interrupt the run at a stage or sample."""

    def __init__(self, at=None):
        self.stages, self.samples, self.expected = [], [], None
        self._at = at

    def stage(self, text):
        self.stages.append(text)
        self._interrupt(text)

    def start(self, total_samples, configurations):
        self.expected = total_samples, configurations

    def advance(self, configuration_name, stage):
        self.samples.append(configuration_name)
        self._interrupt(len(self.samples))

    def _interrupt(self, now):
        if now == self._at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def watch(monkeypatch):
    """`watch(block, on_call)` makes the model that is loaded a tiny llama of 4 blocks, watched at one of them."""
    model = tiny_llama(num_hidden_layers=BLOCKS).requires_grad_(requires_grad=False)
    loaded = LoadedModel(
        model=model,
        tokenizer=None,
        processor=None,
        name="tiny",
        source="directory",
        architecture="LlamaForCausalLM",
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        dtype="float32",
        has_vision=False,
    )
    monkeypatch.setattr(setup, "load_model", lambda config, device: loaded)

    def install(block, on_call):
        model.model.layers[block].mlp = Watched(model.model.layers[block].mlp, on_call)

    return install


def out_of_memory(tokens):
    if tokens > _LONGEST_PROBE:
        raise MemoryError("no room for\n10 tokens")


def settings(**changes):
    brief = {"num_samples": 3, "num_warmup": 1, "max_new_tokens": (3,), "trace": False, "device": "cpu"}
    return RunConfig(**(brief | {"output_dir": "out", "num_active_blocks": (2, 4)} | changes))


def saved():
    return ResultStore(experiment.Path("out")).load()


def ids(result):
    """How often each sample is there."""
    return Counter((s.configuration, s.reference, s.sample_id) for s in result.samples)


def test_how_it_went_is_stored(watch):
    watch(1, lambda tokens: None)
    result = experiment.run(settings(num_warmup=2), Display()).result
    (sitting,) = result.sittings
    assert sitting.warmup.rounds >= 2
    assert len(sitting.warmup.round_ms) == sitting.warmup.rounds
    assert [state.round for state in sitting.states] == [0, 1, 2]
    assert (sitting.number, sitting.configuration) == (1, None)
    assert sitting.environment == result.environment
    assert {sample.sitting for sample in result.samples} == {1}
    assert result.environment["processor"]["logical"] == result.environment["cpu_count"]
    assert saved().sittings == result.sittings
    assert saved().findings == result.findings


def test_phases_and_remainder_are_the_total_in_every_stored_sample(watch):
    watch(1, lambda tokens: None)
    experiment.run(settings(), Display())
    document = json.loads((experiment.Path("out") / RESULT_NAME).read_text(encoding="utf-8"))
    samples = document["all_samples"] + document["reference_samples"]
    assert len(samples) == 3 * 2 + 3
    for sample in samples:
        parts = ("T_vision_total", "T_LLM_prefill", "T_LLM_decode", "T_remainder")
        assert sum(sample[part] for part in parts) == pytest.approx(sample["T_total"], rel=1e-12)
        assert sample["T_remainder"] > 0


EVERY_SAMPLE = {("first-02-of-04", False, i): 1 for i in range(3)}
EVERY_SAMPLE |= {("first-02-of-04", True, i): 1 for i in range(3)}
EVERY_SAMPLE |= {("first-04-of-04", False, i): 1 for i in range(3)}


def test_the_bar_ends_where_it_said_it_would(watch):
    display = Display()
    outcome = experiment.run(settings(), display)
    assert not outcome.interrupted
    assert display.expected == (9, 2)
    assert len(display.samples) == 9
    assert display.stages == ["loading the model", *["warm-up"] * display.stages.count("warm-up"), "saving"]
    assert ids(outcome.result) == EVERY_SAMPLE


def test_what_is_returned_is_what_is_saved(watch):
    outcome = experiment.run(settings(trace=True), Display())
    assert saved() == outcome.result


def test_an_interruption_while_saving_comes_when_all_is_saved(watch):
    class Stopping(Display):
        def stage(self, text):
            if text == "saving":
                os.kill(os.getpid(), signal.SIGINT)

    told = []
    with handled(), pytest.raises(KeyboardInterrupt):
        experiment.run(settings(), Stopping(), told.append)
    (outcome,) = told
    assert not outcome.interrupted
    assert saved() == outcome.result
    assert ids(outcome.result) == EVERY_SAMPLE


def test_each_round_visits_every_configuration(watch):
    result = experiment.run(settings(), Display()).result
    rounds = Counter((s.round, s.configuration) for s in result.samples if not s.reference)
    assert rounds == {
        (number, name): 1 for number in range(3) for name in ("first-02-of-04", "first-04-of-04")
    }


def test_samples_come_from_runs_without_a_profiler(watch):
    seen, display = [], Display()
    watch(0, lambda tokens: seen.append((len(display.samples), torch.autograd._profiler_enabled())))
    experiment.run(settings(trace=True), display)
    assert {samples for samples, profiled in seen if profiled} == {9}
    assert {samples for samples, profiled in seen if not profiled} >= set(range(9))


def test_a_failing_configuration_does_not_stop_the_others(watch):
    watch(3, out_of_memory)
    outcome = experiment.run(settings(trace=True), Display())
    (failure,) = outcome.result.failures
    assert (failure.configuration, failure.stage) == ("first-04-of-04", "warm-up")
    assert failure.error == "MemoryError: no room for\n10 tokens"
    assert [summary.configuration.name for summary in outcome.result.summary] == ["first-02-of-04"]
    assert {s.configuration for s in outcome.result.samples} == {"first-02-of-04"}
    assert [path.name for path in experiment.Path("traces/out").iterdir()] == ["first-02-of-04"]
    assert saved().failures == (failure,)


def test_a_failure_after_some_samples_keeps_them(watch):
    display = Display()

    def later(tokens):
        if display.samples.count("first-04-of-04") == 2:
            raise RuntimeError("lost")

    watch(3, later)
    result = experiment.run(settings(), display).result
    assert [(f.configuration, f.stage, f.error) for f in result.failures] == [
        ("first-04-of-04", "measuring", "RuntimeError: lost")
    ]
    assert {s.configuration.name: s.num_samples for s in result.summary} == {
        "first-02-of-04": 3,
        "first-04-of-04": 2,
    }


def test_a_trace_that_fails_costs_no_samples(watch):
    def only_under_a_profiler(tokens):
        if torch.autograd._profiler_enabled():
            raise RuntimeError("cannot be traced")

    watch(3, only_under_a_profiler)
    result = experiment.run(settings(trace=True), Display()).result
    assert [(f.configuration, f.stage) for f in result.failures] == [("first-04-of-04", "tracing")]
    assert ids(result) == EVERY_SAMPLE
    assert [item.configuration for item in result.attribution] == ["first-02-of-04"]


def test_the_command_lists_the_failures_and_ends_with_1(watch, capsys):
    watch(3, out_of_memory)
    words = ["--num_active_blocks", "2", "4", "--num_samples", "2", "--output_dir", "out", "--device", "cpu"]
    assert cli.main(["run", *words]) == 1
    out, err = capsys.readouterr()
    assert "Failed: 1 configuration\n" in out
    failed = out.partition("Failed: ")[2]
    assert "first-04-of-04" in failed
    assert "MemoryError: no room for 10 tokens" in failed
    assert "Latency (2 samples per configuration)" in out
    assert "Traceback" not in err
    document = json.loads(experiment.Path("out", RESULT_NAME).read_text())
    assert document["failures"] == [
        {
            "configuration": "first-04-of-04",
            "stage": "warm-up",
            "error": "MemoryError: no room for\n10 tokens",
        }
    ]


def test_where_everything_fails_the_command_says_so(watch, capsys):
    watch(0, out_of_memory)
    assert cli.main(["run", "--num_samples", "2", "--output_dir", "out", "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert "No configuration could be measured." in out
    assert "Failed: 4 configurations" in out
    assert saved().summary == ()


def test_what_failed_is_tried_again_when_the_run_is_resumed(watch):
    broken = [True]
    watch(3, lambda tokens: out_of_memory(tokens) if broken else None)
    assert experiment.run(settings(), Display()).result.failures
    broken.clear()
    result = experiment.run(settings(resume=True), Display()).result
    assert result.failures == ()
    assert ids(result) == EVERY_SAMPLE


@pytest.mark.parametrize("samples", [1, 4, 8])
def test_an_interrupted_run_is_saved_and_can_be_resumed(watch, samples):
    outcome = experiment.run(settings(), Display(at=samples))
    assert outcome.interrupted
    assert len(outcome.result.samples) == samples
    assert saved() == outcome.result
    display = Display()
    resumed = experiment.run(settings(resume=True), display)
    assert not resumed.interrupted
    assert len(display.samples) == display.expected[0] == 9 - samples
    assert ids(resumed.result) == EVERY_SAMPLE
    assert resumed.result.samples[:samples] == outcome.result.samples


def test_more_samples_can_be_asked_for_afterwards(watch):
    before = experiment.run(settings(), Display()).result
    after = experiment.run(settings(num_samples=5, resume=True), Display()).result
    assert after.samples[:9] == before.samples
    assert sorted(s.sample_id for s in after.samples if s.configuration == "first-04-of-04") == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert [summary.num_samples for summary in after.summary] == [5, 5]


def test_an_interruption_while_tracing_keeps_what_is_there(watch):
    outcome = experiment.run(settings(trace=True), Display(at="tracing first-04-of-04"))
    assert outcome.interrupted
    assert ids(outcome.result) == EVERY_SAMPLE
    assert [item.configuration for item in outcome.result.attribution if item.trace] == ["first-02-of-04"]


def test_an_interruption_before_the_first_sample_leaves_an_earlier_result_alone(watch):
    earlier = experiment.run(settings(), Display()).result
    with pytest.raises(KeyboardInterrupt):
        experiment.run(settings(), Display(at="warm-up"))
    assert saved() == earlier


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"max_new_tokens": (4,)}, r"settings.max_new_tokens was \[3\], now \[4\]"),
        ({"num_active_blocks": (2,)}, "configurations was "),
        ({"batch_size": 2}, "settings.batch_size was 1, now 2"),
        ({"seed": 1}, "settings.seed was 0, now 1"),
    ],
)
def test_a_run_of_something_else_is_not_gone_on_with(watch, changes, named):
    experiment.run(settings(), Display())
    journal = experiment.Path("out/journal.jsonl").read_bytes()
    with pytest.raises(ResultError, match=named):
        experiment.run(settings(resume=True, **changes), Display())
    assert experiment.Path("out/journal.jsonl").read_bytes() == journal


def test_without_a_journal_there_resuming_starts_anew(watch):
    assert ids(experiment.run(settings(resume=True), Display()).result) == EVERY_SAMPLE


def test_a_mask_that_does_not_fit_costs_nothing_that_was_there(watch):
    earlier = experiment.run(settings(), Display()).result
    with pytest.raises(MaskError, match="has 4 blocks, 5 cannot be active"):
        experiment.run(settings(num_active_blocks=(5,)), Display())
    assert saved() == earlier
    assert experiment.run(settings(resume=True), Display()).result.samples == earlier.samples


def test_every_combination_of_knobs_is_measured_on_its_own_inputs(watch):
    config = settings(prompt_tokens=(5, 9), max_new_tokens=(1, 3), trace=True)
    result = experiment.run(config, Display()).result
    assert len(result.summary) == 8
    found = {
        s.configuration: (s.num_input_text_tokens, s.num_output_tokens)
        for s in result.samples
        if "first-04" in s.configuration
    }
    assert found == {
        "first-04-of-04-prompt0005-new0001": (5, 1),
        "first-04-of-04-prompt0005-new0003": (5, 3),
        "first-04-of-04-prompt0009-new0001": (9, 1),
        "first-04-of-04-prompt0009-new0003": (9, 3),
    }
    assert len([item for item in result.attribution if item.trace]) == 8
    assert {fit.knob for fit in result.knob_fits} == {"prompt_tokens", "max_new_tokens"}
    assert saved() == result


@pytest.fixture
def mixture(monkeypatch):
    architecture = next(a for a in architectures() if a.model_type == "olmoe")
    model = tiny_model(architecture).requires_grad_(requires_grad=False)
    loaded = LoadedModel(
        model=model,
        tokenizer=None,
        processor=None,
        name="tiny",
        source="directory",
        architecture="OlmoeForCausalLM",
        num_parameters=1,
        dtype="float32",
        has_vision=False,
    )
    monkeypatch.setattr(setup, "load_model", lambda config, device: loaded)
    return model


def test_the_number_of_experts_is_in_force_in_clean_runs_and_traces(mixture, monkeypatch):
    routers = [module for module in mixture.modules() if "Router" in type(module).__name__]
    seen = Counter()
    run = GreedyPass.run
    monkeypatch.setattr(
        GreedyPass, "run", lambda self, *words: seen.update(r.top_k for r in routers) or run(self, *words)
    )
    result = experiment.run(settings(moe_top_k=(1, 4), trace=True), Display()).result
    assert not result.failures
    assert set(seen) == {1, 4}
    assert seen[1] == seen[4]
    assert {router.top_k for router in routers} == {2}
    assert [s.configuration.knobs.moe_top_k for s in result.summary] == [1, 1, 4, 4]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"moe_top_k": (2, 5)},
            "--moe_top_k: OlmoeForCausalLM has 4 experts in a block, so 5 cannot be active",
        ),
        ({"num_crops": (4,)}, "--num_crops: tiny is a text model"),
    ],
)
def test_a_knob_that_does_not_fit_is_told_before_anything_is_measured(mixture, changes, sentence):
    display = Display()
    with pytest.raises(MaskprofError, match=sentence):
        experiment.run(settings(**changes), display)
    assert not display.samples


def test_a_model_without_experts_is_told(watch):
    with pytest.raises(MaskprofError, match="--moe_top_k: LlamaForCausalLM has no experts"):
        experiment.run(settings(moe_top_k=(2,)), Display())
