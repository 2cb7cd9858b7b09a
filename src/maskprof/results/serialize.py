"""A run's result to and from the text of its result file.

The keys of `summary` and `all_samples` are older than this code and stay as they are (`T_LLM_prefill`,
`P50`, ...). Every sample is written, so that all statistics can be computed again. What `config` and
`environment` hold are plain JSON values; sequences are tuples in `config` and lists in `environment`.
The attribution has a file of its own: `serialize_attribution`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from maskprof.errors import ResultError
from maskprof.results.jsonvalues import (
    from_text,
    number,
    optional_number,
    optional_pair,
    to_text,
    typed,
    whole,
)
from maskprof.results.schema import (
    SCHEMA_VERSION,
    Attribution,
    Configuration,
    ConfigurationSummary,
    Failure,
    Fit,
    ModelFacts,
    RunResult,
    Sample,
    Statistics,
)
from maskprof.results.serialize_circumstances import finding_entry, finding_from, sitting_entry, sitting_from
from maskprof.results.serialize_knobs import knob_fit_entry, knob_fit_from, knobs_from

_PHASES = ("vision", "prefill", "decode", "decode_per_token", "total")
_STATISTICS = ("p50", "p95", "p99", "mean", "std", "min", "max")
_MODEL_TYPES = {
    "name": str,
    "source": str,
    "architecture": str,
    "num_blocks": int,
    "num_parameters": int,
    "dtype": str,
    "has_vision": bool,
}


def dump_result(result: RunResult) -> str:
    """The text of the result file: all of `result` but its attribution, one entry of a list per line."""
    by_name = {configuration.name: configuration for configuration in result.configurations}
    samples = [
        (sample.reference, _sample_entry(sample, by_name[sample.configuration], order))
        for order, sample in enumerate(result.samples)
    ]
    document: dict[str, Any] = {
        "schema_version": result.schema_version,
        "model": {key: getattr(result.model, key) for key in _MODEL_TYPES},
        "config": result.config,
        "environment": result.environment,
        "configurations": [_mask_keys(c) | _way_keys(c) | c.knobs.to_dict() for c in result.configurations],
        "failures": [failure_entry(failure) for failure in result.failures],
        "findings": [finding_entry(finding) for finding in result.findings],
        "sittings": [sitting_entry(sitting) for sitting in result.sittings],
        "fits": [_fit_entry(fit) for fit in result.fits],
        "knob_fits": [knob_fit_entry(fit) for fit in result.knob_fits],
        "summary": [_summary_entry(summary) for summary in result.summary],
        "all_samples": [entry for reference, entry in samples if not reference],
        "reference_samples": [entry for reference, entry in samples if reference],
    }
    parts = (f"{to_text(key)}: {_laid_out(value)}" for key, value in document.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def load_result(text: str, origin: str, attribution: Sequence[Attribution] = ()) -> RunResult:
    """The result that the text of a result file holds, with the attribution read beside it.

    Args:
        text: what `dump_result` wrote.
        origin: the file's name, for errors.
        attribution: what `serialize_attribution.load_attribution` read.

    Raises:
        ResultError: no JSON, no result file, a newer version's, or a damaged one.
    """
    document = from_text(text, origin)
    if not isinstance(document, dict) or "schema_version" not in document or "all_samples" not in document:
        raise ResultError(f"{origin} is no result file of maskprof: it has no schema_version and all_samples")
    check_version(document["schema_version"], origin)
    try:
        return _result(document, tuple(attribution))
    except KeyError as error:
        raise ResultError(f"{origin} is damaged: an entry lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{origin} is damaged: {error}") from None


def check_version(version: Any, origin: str) -> None:
    """Refuse what this version cannot read.

    Raises:
        ResultError: the version is newer than ours, or none.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ResultError(f"{origin} has schema_version {version!r}, which is none of maskprof's")
    if version > SCHEMA_VERSION:
        raise ResultError(
            f"{origin} was written by a newer maskprof (schema_version {version}, this one reads up to "
            f"{SCHEMA_VERSION}): upgrade maskprof to read it"
        )


def failure_entry(failure: Failure) -> dict[str, Any]:
    """A failure as JSON values."""
    return {"configuration": failure.configuration, "stage": failure.stage, "error": failure.error}


def failure_from(entry: dict[str, Any]) -> Failure:
    """The failure that `failure_entry` wrote.

    Raises:
        KeyError, TypeError: a key is absent or of the wrong type.
    """
    return Failure(**{key: typed(entry, key, str) for key in ("configuration", "stage", "error")})


def _laid_out(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {to_text(entry)}" for entry in value) + "\n]"
    return to_text(value)


def _mask_keys(configuration: Configuration) -> dict[str, Any]:
    return {
        "num_active_blocks": configuration.num_active_blocks,
        "num_total_blocks": configuration.num_total_blocks,
        "active_block_indices": list(configuration.active_block_indices),
    }


def _way_keys(configuration: Configuration) -> dict[str, Any]:
    return {
        "name": configuration.name,
        "strategy": configuration.strategy,
        "skip_mode": configuration.skip_mode,
        "dummy_cache": configuration.dummy_cache,
        "mask_on": configuration.mask_on,
    }


def _summary_entry(summary: ConfigurationSummary) -> dict[str, Any]:
    return (
        _mask_keys(summary.configuration)
        | {phase: _statistics_entry(getattr(summary, phase)) for phase in _PHASES}
        | _way_keys(summary.configuration)
        | summary.configuration.knobs.to_dict()
        | {"num_samples": summary.num_samples}
    )


def _statistics_entry(statistics: Statistics | None) -> dict[str, Any]:
    if statistics is None:
        return {}
    entry = {_statistic_key(name): getattr(statistics, name) for name in _STATISTICS}
    return entry | {"P50_ci95": statistics.median_ci95, "effective_samples": statistics.effective_samples}


def _statistic_key(name: str) -> str:
    return name.upper() if name.startswith("p") else name


def _sample_entry(sample: Sample, configuration: Configuration, order: int) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        **_mask_keys(configuration),
        "T_vision_total": sample.vision_ms,
        "T_vision_encoder": sample.vision_ms - sample.projector_ms,
        "T_projector": sample.projector_ms,
        "T_LLM_prefill": sample.prefill_ms,
        "T_LLM_decode": sample.decode_ms,
        "T_total": sample.total_ms,
        "T_remainder": sample.remainder_ms,
        "T_decode_per_token": sample.decode_per_token_ms,
        "num_input_text_tokens": sample.num_input_text_tokens,
        "num_vision_tokens": sample.num_vision_tokens,
        "num_output_tokens": sample.num_output_tokens,
        "configuration": sample.configuration,
        "skip_mode": configuration.skip_mode,
        "dummy_cache": configuration.dummy_cache,
        "mask_on": configuration.mask_on,
        **configuration.knobs.to_dict(),
        "round": sample.round,
        "order": order,
        "sitting": sample.sitting,
        "started_s": sample.started_s,
        "decode_step_ms": sample.decode_step_ms,
        "host_ms": sample.host_ms,
    }


def _fit_entry(fit: Fit) -> dict[str, Any]:
    return {
        "phase": fit.phase,
        "variant": fit.variant,
        **fit.knobs.to_dict(),
        "num_points": fit.num_points,
        "slope_ms_per_block": fit.slope_ms_per_block,
        "intercept_ms": fit.intercept_ms,
        "slope_ci95": fit.slope_ci95,
        "intercept_ci95": fit.intercept_ci95,
        "r2": fit.r2,
        "departures": [{"configuration": name, "departure_ms": ms} for name, ms in fit.departures],
    }


def _result(document: dict[str, Any], attribution: tuple[Attribution, ...]) -> RunResult:
    configurations = tuple(_configuration(entry) for entry in document["configurations"])
    by_name = {configuration.name: configuration for configuration in configurations}
    ordered = [
        (whole(entry, "order"), _sample(entry, reference=reference))
        for key, reference in (("all_samples", False), ("reference_samples", True))
        for entry in document[key]
    ]
    return RunResult(
        config=_with_tuples(typed(document, "config", dict)),
        environment=typed(document, "environment", dict),
        model=ModelFacts(**{key: typed(document["model"], key, kind) for key, kind in _MODEL_TYPES.items()}),
        configurations=configurations,
        summary=tuple(_summary(entry, by_name) for entry in document["summary"]),
        samples=tuple(sample for _, sample in sorted(ordered, key=lambda pair: pair[0])),
        fits=tuple(_fit(entry) for entry in document["fits"]),
        attribution=attribution,
        failures=tuple(failure_from(entry) for entry in document["failures"]),
        # Results of before there were knobs have none of their keys.
        knob_fits=tuple(knob_fit_from(entry) for entry in document.get("knob_fits", ())),
        sittings=tuple(sitting_from(entry) for entry in document.get("sittings", ())),
        findings=tuple(finding_from(entry) for entry in document.get("findings", ())),
        schema_version=document["schema_version"],
    )


def _configuration(entry: dict[str, Any]) -> Configuration:
    active = set(typed(entry, "active_block_indices", list))
    ways = ("name", "strategy", "skip_mode", "dummy_cache", "mask_on")
    return Configuration(
        active=tuple(block in active for block in range(whole(entry, "num_total_blocks"))),
        **{key: typed(entry, key, str) for key in ways},
        knobs=knobs_from(entry),
    )


def _summary(entry: dict[str, Any], by_name: Mapping[str, Configuration]) -> ConfigurationSummary:
    phases: dict[str, Any] = {phase: _statistics(entry[phase]) for phase in _PHASES}
    return ConfigurationSummary(
        configuration=by_name[typed(entry, "name", str)], num_samples=whole(entry, "num_samples"), **phases
    )


def _statistics(entry: dict[str, Any]) -> Statistics | None:
    if not entry:
        return None
    return Statistics(
        **{name: number(entry, _statistic_key(name)) for name in _STATISTICS},
        median_ci95=optional_pair(entry, "P50_ci95"),
        # Files of before this was known lack it.
        effective_samples=optional_number({"effective_samples": None} | entry, "effective_samples"),
    )


def _sample(entry: dict[str, Any], *, reference: bool) -> Sample:
    return Sample(
        configuration=typed(entry, "configuration", str),
        sample_id=whole(entry, "sample_id"),
        round=whole(entry, "round"),
        started_s=number(entry, "started_s"),
        vision_ms=number(entry, "T_vision_total"),
        projector_ms=number(entry, "T_projector"),
        prefill_ms=number(entry, "T_LLM_prefill"),
        decode_ms=number(entry, "T_LLM_decode"),
        total_ms=number(entry, "T_total"),
        decode_step_ms=tuple(number({"step": step}, "step") for step in entry["decode_step_ms"]),
        host_ms={key: number(entry["host_ms"], key) for key in entry["host_ms"]},
        num_input_text_tokens=whole(entry, "num_input_text_tokens"),
        num_vision_tokens=whole(entry, "num_vision_tokens"),
        num_output_tokens=whole(entry, "num_output_tokens"),
        reference=reference,
        # Files of before sittings were told apart lack it.
        sitting=whole({"sitting": 1} | entry, "sitting"),
    )


def _fit(entry: dict[str, Any]) -> Fit:
    return Fit(
        phase=typed(entry, "phase", str),
        variant=typed(entry, "variant", str),
        knobs=knobs_from(entry),
        num_points=whole(entry, "num_points"),
        slope_ms_per_block=number(entry, "slope_ms_per_block"),
        intercept_ms=number(entry, "intercept_ms"),
        slope_ci95=optional_pair(entry, "slope_ci95"),
        intercept_ci95=optional_pair(entry, "intercept_ci95"),
        r2=optional_number(entry, "r2"),
        departures=tuple(
            (typed(item, "configuration", str), number(item, "departure_ms")) for item in entry["departures"]
        ),
    )


def _with_tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return value
