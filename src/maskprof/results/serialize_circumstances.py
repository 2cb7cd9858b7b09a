"""The circumstances of a run to and from the plain values of the result file."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from maskprof.results.circumstances import Finding, GpuState, MachineState, Sitting, Warmup
from maskprof.results.jsonvalues import number, optional_number, typed, whole


def finding_entry(finding: Finding) -> dict[str, Any]:
    """A finding as plain values."""
    return asdict(finding)


def finding_from(entry: Mapping[str, Any]) -> Finding:
    """What `finding_entry` made.

    Raises:
        KeyError, TypeError: a value is absent or of another type.
    """
    values = dict(entry)
    return Finding(
        topic=typed(values, "topic", str),
        is_warning=typed(values, "is_warning", bool),
        text=typed(values, "text", str),
        advice=typed(values, "advice", str),
    )


def sitting_entry(sitting: Sitting) -> dict[str, Any]:
    """A sitting as plain values."""
    return asdict(sitting)


def sitting_from(entry: Mapping[str, Any]) -> Sitting:
    """What `sitting_entry` made.

    Raises:
        KeyError, TypeError: a value is absent or of another type.
    """
    # Of before sittings were told apart.
    told = {"number": 1, "configuration": None, "environment": {}} | dict(entry)
    return Sitting(
        number=whole(told, "number"),
        configuration=None if told["configuration"] is None else typed(told, "configuration", str),
        environment=typed(told, "environment", dict),
        warmup=None if told["warmup"] is None else warmup_from(told["warmup"]),
        states=tuple(state_from(state) for state in told["states"]),
    )


def warmup_from(entry: Mapping[str, Any]) -> Warmup:
    """The warm-up of a sitting's plain values.

    Raises:
        KeyError, TypeError: a value is absent or of another type.
    """
    values = dict(entry)
    return Warmup(
        rounds=whole(values, "rounds"),
        changed_at=whole(values, "changed_at"),
        ended=typed(values, "ended", str),
        round_ms=tuple(number({"ms": ms}, "ms") for ms in values["round_ms"]),
    )


def state_from(values: Mapping[str, Any]) -> MachineState:
    """One state of a sitting's plain values.

    Raises:
        KeyError, TypeError: a value is absent or of another type.
    """
    entry = dict(values)
    gpu = entry["gpu"]
    return MachineState(
        round=whole(entry, "round"),
        cpu_mhz=optional_number(entry, "cpu_mhz"),
        probe_us=number(entry, "probe_us"),
        others_share=optional_number(entry, "others_share"),
        stolen_share=optional_number(entry, "stolen_share"),
        load=optional_number(entry, "load"),
        gpu=None
        if gpu is None
        else GpuState(
            sm_mhz=_optional_whole(gpu, "sm_mhz"),
            temperature_c=_optional_whole(gpu, "temperature_c"),
            power_w=optional_number(gpu, "power_w"),
            slowed_by=tuple(map(str, gpu["slowed_by"])),
        ),
    )


def _optional_whole(entry: dict[str, Any], key: str) -> int | None:
    return None if entry[key] is None else whole(entry, key)
