"""What the machine does while a run measures, looked at between rounds."""

import torch

from maskprof.machine import activity, nvml
from maskprof.machine.processor import current_mhz
from maskprof.results.circumstances import MachineState


class MachineWatch:
    """Looks at processors and GPU when a round begins; never inside a sample. A look takes about a millisecond."""

    def __init__(self, gpu: nvml.Gpu | None = None) -> None:
        """Watch the processors, and a GPU where one is measured on."""
        self._gpu = gpu
        self._counters = activity.read_counters()
        self._round: int | None = None

    def look(self, number: int) -> MachineState | None:
        """The machine's state at the start of this round; None for a round that was looked at already."""
        if number == self._round:
            return None
        self._round = number
        now = activity.read_counters()
        since = activity.shares(self._counters, now)
        if since is not None:
            self._counters = now
        return MachineState(
            round=number,
            cpu_mhz=current_mhz(),
            probe_us=activity.probe_us(),
            others_share=since.others if since else None,
            stolen_share=since.stolen if since else None,
            load=activity.load_average(),
            gpu=self._gpu.state() if self._gpu else None,
        )


def watch_of(device: torch.device) -> MachineWatch:
    """The watch that fits a device."""
    return MachineWatch(gpu_of(device))


def gpu_of(device: torch.device) -> nvml.Gpu | None:
    """The driver's view of a CUDA device; None for a CPU, or where there is no such driver."""
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else nvml.open_gpu(str(uuid))
