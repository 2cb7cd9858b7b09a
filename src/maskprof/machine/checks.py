"""What of a machine can spoil figures, in words: how it is set, and what it was seen to do."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean, median

from maskprof.counted_nouns import count
from maskprof.machine.nvml import GpuFacts
from maskprof.machine.processor import Processor
from maskprof.results.circumstances import Finding, MachineState

# Governors under which clocks wait for load to rise.
_LAZY_GOVERNORS = {"powersave", "ondemand", "conservative", "userspace"}
_OTHERS_SHARE = 0.05
_STOLEN_SHARE = 0.02
_SPEED_CHANGE = 0.1
_FEW_STATES = 3
_LITTLE_MEMORY = 0.1
_NEAR_LIMIT_C = 5
_BUSY_GPU_PERCENT = 5


def of_processor(processor: Processor, threads: int | None) -> list[Finding]:
    """How the processors are set; `threads` are those that torch computes with, None where it is not asked."""
    found = [*_of_clocks(processor), *_of_threads(processor, threads)]
    free, all_bytes = processor.memory_free_bytes, processor.memory_bytes
    if free is not None and all_bytes and free < _LITTLE_MEMORY * all_bytes:
        text = (
            f"only {100 * free / all_bytes:.0f} % of the memory is free; a model that does not fit will swap"
        )
        found.append(_warning("memory", text, "end what holds it"))
    return found


def of_gpu(facts: GpuFacts, own_ids: Sequence[int] = ()) -> list[Finding]:
    """How a GPU is set, and who else works on it."""
    found = []
    others = [number for number in facts.process_ids if number not in own_ids]
    if own_ids and len(others) == len(facts.process_ids):
        # In a container the driver's numbers are not those that are seen inside; one of them is this process.
        others = others[1:]
    if others:
        listed = ", ".join(map(str, others))
        text = f"other processes hold {facts.name}: {listed}"
        found.append(_warning("load", text, "end them, or measure on another GPU"))
    elif not own_ids and (facts.busy_percent or 0) > _BUSY_GPU_PERCENT:
        text = f"{facts.name} is busy {facts.busy_percent} % of the time"
        found.append(_warning("load", text, "measure when it is idle, or on another GPU"))
    if facts.persistence is False:
        text = f"{facts.name} is not in persistence mode: its driver may unload between runs, and clocks start low"
        found.append(_note("clocks", text, "nvidia-smi -pm 1, as root"))
    return found


def of_states(states: Sequence[MachineState], processors: int) -> list[Finding]:
    """What the machine was seen to do over the rounds of a run."""
    return [*_of_load(states, processors), *_of_speed(states), *_of_gpu_states(states)]


def _of_clocks(processor: Processor) -> list[Finding]:
    found = []
    lazy = sorted(_LAZY_GOVERNORS & set(processor.governors))
    if lazy:
        text = f"the frequency governor is {', '.join(lazy)}: clocks follow the load"
        found.append(_warning("clocks", text, "cpupower frequency-set -g performance, as root"))
    if processor.turbo:
        text = "turbo is on: clocks depend on temperature and on what other cores do"
        found.append(_note("clocks", text, "switch it off where small differences matter"))
    if processor.virtual:
        text = "this is a virtual machine: clocks are hidden, and its host may give the processors to others"
        found.append(_note("clocks", text, "compare within one run only; runs say how much was taken away"))
    return found


def _of_threads(processor: Processor, threads: int | None) -> list[Finding]:
    usable, physical = processor.usable, processor.physical
    limit = min(usable, processor.quota) if processor.quota is not None else usable
    found = []
    if usable < processor.logical:
        text = f"this process may run on {usable} of {count(processor.logical, 'processor')}"
        found.append(_note("threads", text))
    if processor.quota is not None and processor.quota < usable:
        text = f"a container limits this process to {processor.quota:g} processors' time, though it sees {usable}"
        advice = (
            f"OMP_NUM_THREADS={max(1, int(processor.quota))}: more threads are stopped until the next period"
        )
        found.append(_warning("threads", text, advice))
    if threads is not None and threads > limit:
        on = "1 processor" if limit == 1 else f"{limit:g} processors"
        text = f"torch computes with {count(threads, 'thread')} on {on}: they take turns"
        found.append(_warning("threads", text, f"OMP_NUM_THREADS={max(1, int(limit))}"))
    elif threads is not None and physical is not None and threads > physical:
        text = f"torch computes with {threads} threads on {count(physical, 'core')}: two of them share a core"
        found.append(_warning("threads", text, f"OMP_NUM_THREADS={physical}"))
    if processor.thread_variables:
        listed = ", ".join(f"{name}={value}" for name, value in sorted(processor.thread_variables.items()))
        found.append(_note("threads", f"set in the environment: {listed}"))
    return found


def _of_load(states: Sequence[MachineState], processors: int) -> list[Finding]:
    found = []
    others = [state.others_share for state in states if state.others_share is not None]
    if others and mean(others) > _OTHERS_SHARE:
        busy = f"{mean(others) * processors:.1f} of {count(processors, 'processor')}"
        text = f"other processes kept {busy} busy meanwhile"
        found.append(_warning("load", text, "measure when nothing else runs"))
    stolen = [state.stolen_share for state in states if state.stolen_share is not None]
    if stolen and mean(stolen) > _STOLEN_SHARE:
        text = f"the host of this virtual machine gave {100 * mean(stolen):.0f} % of its processors' time to others"
        found.append(_warning("load", text, "measure at another time, or on a machine of its own"))
    return found


def _of_speed(states: Sequence[MachineState]) -> list[Finding]:
    if len(states) < _FEW_STATES:
        return []
    clocks = [state.cpu_mhz for state in states if state.cpu_mhz]
    if len(clocks) == len(states) and _changed(clocks):
        text = f"the processors' clocks went from {_first(clocks):.0f} to {_last(clocks):.0f} MHz in the course of it"
        return [_warning("clocks", text, "cool the machine, or fix its clocks")]
    probes = [state.probe_us for state in states]
    if _changed(probes):
        slower = _last(probes) / _first(probes) - 1
        direction = "slower" if slower > 0 else "faster"
        text = f"the processor became {100 * abs(slower):.0f} % {direction} in the course of it"
        return [_warning("clocks", text, "look for heat, power limits and other load")]
    return []


def _of_gpu_states(states: Sequence[MachineState]) -> list[Finding]:
    gpus = [state.gpu for state in states if state.gpu is not None]
    if not gpus:
        return []
    found = []
    reasons = Counter(reason for gpu in gpus for reason in gpu.slowed_by)
    for reason, slowed in reasons.most_common():
        text = f"the GPU was slowed down by its {reason} in {slowed} of {count(len(gpus), 'round')}"
        hottest = max((gpu.temperature_c for gpu in gpus if gpu.temperature_c is not None), default=None)
        if "thermal" in reason and hottest is not None:
            text += f", at up to {hottest} degrees Celsius"
        found.append(
            _warning("clocks", text, "cool it, or fix its clocks below the limit: nvidia-smi -lgc, as root")
        )
    clocks = [float(gpu.sm_mhz) for gpu in gpus if gpu.sm_mhz]
    if len(clocks) >= _FEW_STATES and _changed(clocks):
        text = (
            f"the GPU's clock went from {_first(clocks):.0f} to {_last(clocks):.0f} MHz in the course of it"
        )
        found.append(_warning("clocks", text, "fix its clocks: nvidia-smi -lgc, as root"))
    return found


def near_limit(facts: GpuFacts, temperature_c: int | None) -> Finding | None:
    """Whether a GPU is about as hot as it may become."""
    if temperature_c is None or facts.slowdown_c is None or temperature_c < facts.slowdown_c - _NEAR_LIMIT_C:
        return None
    text = f"{facts.name} is at {temperature_c} degrees Celsius; from {facts.slowdown_c} on it slows down"
    return _warning("clocks", text, "let it cool")


def _changed(values: Sequence[float]) -> bool:
    return abs(_last(values) / _first(values) - 1) > _SPEED_CHANGE


def _first(values: Sequence[float]) -> float:
    return median(values[: max(1, len(values) // 3)])


def _last(values: Sequence[float]) -> float:
    return median(values[-max(1, len(values) // 3) :])


def _warning(topic: str, text: str, advice: str) -> Finding:
    return Finding(topic=topic, is_warning=True, text=text, advice=advice)


def _note(topic: str, text: str, advice: str = "") -> Finding:
    return Finding(topic=topic, is_warning=False, text=text, advice=advice)
