"""Small results made by hand: round figures, so that every number in a table can be checked by eye."""

from maskprof.analysis.knob_fits import fit_knobs
from maskprof.analysis.summary import closures, fit_lines, summarize
from maskprof.config.knobs import Knobs, knob_suffix
from maskprof.config.schema import RunConfig, Variant
from maskprof.results.schema import (
    Attribution,
    BlockCost,
    Configuration,
    ConfigurationSummary,
    Failure,
    InstrumentCost,
    ModelFacts,
    PhaseCost,
    RunResult,
    Sample,
)

# Spread around the median, symmetric, so that the median is the round figure.
_SPREAD = (-0.02, -0.01, 0.0, 0.01, 0.02)
_DEFAULT = Variant()
_NO_KNOBS = Knobs()


def make_configuration(
    num_active: int, total: int = 16, variant: Variant = _DEFAULT, **options
) -> Configuration:
    return explicit_configuration(
        *(range(num_active), total, variant),
        name=f"first-{num_active:02d}-of-{total}",
        strategy="first",
        **options,
    )


def knob_configurations(depths=(4, 8, 16), variant: Variant = _DEFAULT, **axes) -> list[Configuration]:
    """First-N masks at every combination of the knobs given, as `num_crops=(1, 4)`."""
    settings = RunConfig(**axes).knobs
    return [
        make_configuration(n, 16, variant, knobs=knobs, among=settings) for knobs in settings for n in depths
    ]


def explicit_configuration(
    blocks,
    total: int = 16,
    variant: Variant = _DEFAULT,
    *,
    name: str | None = None,
    strategy: str = "blocks",
    knobs: Knobs = _NO_KNOBS,
    among=(),
) -> Configuration:
    chosen = tuple(blocks)
    base = name or f"blocks-{'_'.join(map(str, chosen))}-of-{total}"
    way = "" if variant == _DEFAULT else f"-{variant.name}"
    return Configuration(
        name=f"{base}{way}{knob_suffix(knobs, among)}",
        active=tuple(block in chosen for block in range(total)),
        strategy=strategy,
        skip_mode=variant.skip_mode,
        dummy_cache=variant.dummy_cache,
        mask_on=variant.mask_on,
        knobs=knobs,
    )


def make_sample(
    configuration: Configuration,
    sample_id: int = 0,
    *,
    scale: float = 1.0,
    vision_ms: float = 3.2,
    output_tokens: int = 5,
    reference: bool = False,
) -> Sample:
    """2 ms + 1.2 ms per active block of prefill, a tenth of that per token, 2 us per skipped block.

    Each expert adds 0.1 ms per active block of prefill, each crop 1 ms of vision.
    """
    knobs = configuration.knobs
    block_ms = 1.2 + 0.1 * (knobs.moe_top_k or 0)
    vision_ms += knobs.num_crops or 0
    output_tokens = knobs.max_new_tokens or output_tokens
    skipping_ms = 0.0 if reference else 0.002 * configuration.num_skipped_blocks
    prefill_ms = (2.0 + block_ms * configuration.num_active_blocks) * scale + skipping_ms
    step_ms = (0.2 + block_ms / 10 * configuration.num_active_blocks) * scale + skipping_ms
    steps = (step_ms,) * (output_tokens - 1)
    decode_ms = step_ms * len(steps)
    return Sample(
        configuration=configuration.name,
        sample_id=sample_id,
        round=sample_id,
        started_s=0.5 * sample_id,
        vision_ms=vision_ms,
        projector_ms=vision_ms / 4,
        prefill_ms=prefill_ms,
        decode_ms=decode_ms,
        total_ms=vision_ms + prefill_ms + decode_ms + 0.1,
        decode_step_ms=steps,
        host_ms={"prefill": prefill_ms, "decode": decode_ms},
        num_input_text_tokens=knobs.prompt_tokens or 10,
        num_vision_tokens=144 * (1 + (knobs.num_crops or 0)) if vision_ms else 0,
        num_output_tokens=output_tokens,
        reference=reference,
    )


def make_samples(configuration: Configuration, **options) -> list[Sample]:
    samples = []
    for sample_id, offset in enumerate(_SPREAD):
        samples.append(make_sample(configuration, sample_id, scale=1 + offset, **options))
        if configuration.num_skipped_blocks:
            samples.append(make_sample(configuration, sample_id, scale=1 + offset, reference=True, **options))
    return samples


def make_attribution(configuration: Configuration, samples, *, device: bool = False) -> Attribution:
    """Each skipped block's turn is 1.75 us on the host, its mask check below a resolution of 0.1 us."""
    phases = tuple(
        PhaseCost(
            phase=phase,
            steps=steps,
            host_us=active_us * configuration.num_active_blocks,
            device_us=active_us / 2 if device else None,
            blocks=tuple(
                BlockCost(
                    block=block,
                    active=active,
                    host_us=active_us if active else 1.75,
                    device_us=(active_us / 2 if active else 0.0) if device else None,
                    mask_check_us=0.05,
                    cache_us=None if active else 0.83,
                    kernel_count=12.0 if active else 0.0,
                )
                for block, active in enumerate(configuration.active)
            ),
        )
        for phase, steps, active_us in (("prefill", 1, 1200.0), ("decode", 4, 120.0))
    )
    return Attribution(
        configuration=configuration.name,
        trace=f"{configuration.name}/worker.1.pt.trace.json.gz",
        phases=phases,
        instrument=InstrumentCost(
            inner_us=0.5, inner_total_us=0.7, turn_us=6.0, inner_resolution_us=0.1, samples=200
        ),
        closure=closures(configuration, samples, phases),
        account={"events": 1000, "linked": 900, "before_window": 0},
    )


def make_result(
    configurations=None,
    *,
    device: bool = False,
    failures: tuple[Failure, ...] = (),
    trace: bool = True,
    **options,
) -> RunResult:
    """A run of first 4, 8, 12 and 16 of 16 blocks, or of the given configurations."""
    chosen = tuple(configurations) if configurations else tuple(map(make_configuration, (4, 8, 12, 16)))
    samples = [sample for configuration in chosen for sample in make_samples(configuration, **options)]
    summary: tuple[ConfigurationSummary, ...] = tuple(summarize(c, samples) for c in chosen)
    return RunResult(
        config=RunConfig(num_active_blocks=(4, 8, 12, 16), num_samples=5).to_dict(),
        environment={"device": "cpu", "torch": "2.13.0", "threads": 1, "flags": ["a", "b"]},
        model=ModelFacts(
            name="demo",
            source="demo",
            architecture="Molmo2ForConditionalGeneration",
            num_blocks=chosen[0].num_total_blocks,
            num_parameters=12_345_678,
            dtype="float32",
            has_vision=True,
        ),
        configurations=chosen,
        summary=summary,
        samples=tuple(samples),
        fits=fit_lines(summary),
        knob_fits=fit_knobs(summary),
        attribution=tuple(make_attribution(c, samples, device=device) for c in chosen) if trace else (),
        failures=failures,
    )
