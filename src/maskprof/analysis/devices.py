"""What devices can do at most, as data: dense peaks and memory bandwidth from their makers' papers.

A device whose figures could not be traced to its maker is left out: no figure is better than a wrong one. Where a
data sheet gives figures with sparsity only, half of them are the dense ones. Of AMD's modules with two dies, traces
show each die as a device, and so do the figures.
"""

import re
from dataclasses import replace

from maskprof.errors import ConfigError
from maskprof.results.trace_summary import DevicePeaks
from maskprof.traces.columns import Trace

DTYPES = ("bf16", "fp16", "tf32", "fp32", "fp8", "fp64")
_BANDWIDTH = ("gb_s", "bandwidth")

_H100 = "NVIDIA H100 Tensor Core GPU data sheet, resources.nvidia.com/en-us-tensor-core"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet, nvidia.com/en-us/data-center/h200"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet, nvidia.com/en-us/data-center/a100"
_BLACKWELL = "NVIDIA Blackwell data sheet, nvdam.widen.net/s/wwnsxrhm2w/blackwell-datasheet-3384703"
_VOLTA = (
    "NVIDIA V100 data sheet, images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update"
)
_MI200 = "AMD Instinct MI200 series data sheet, amd.com/en/products/accelerators/instinct/mi200"
_MI300X = "AMD Instinct MI300X data sheet, amd.com/en/products/accelerators/instinct/mi300/mi300x.html"
_MI325X = "AMD Instinct MI325X data sheet, amd.com/en/products/accelerators/instinct/mi300/mi325x.html"
_MI355X = "AMD Instinct MI355X data sheet, amd.com/en/products/accelerators/instinct/mi350/mi355x.html"
_HOPPER_PEAKS = {"bf16": 989.4, "fp16": 989.4, "tf32": 494.7, "fp32": 66.9, "fp8": 1978.9, "fp64": 66.9}
_AMPERE_PEAKS = {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "fp32": 19.5, "fp64": 19.5}
_CDNA3_PEAKS = {"bf16": 1307.4, "fp16": 1307.4, "tf32": 653.7, "fp32": 163.4, "fp8": 2614.9, "fp64": 163.4}


def _row(
    pattern: str, name: str, tflops: dict[str, float], gb_s: float, source: str
) -> tuple[str, DevicePeaks]:
    return pattern, DevicePeaks(name=name, tflops=tflops, bandwidth_gb_s=gb_s, source=source)


# The first pattern that is found in a device's name, in lower case and as whole words, decides.
_DEVICES = (
    _row(
        r"gb200", "NVIDIA GB200",
        {"bf16": 2500.0, "fp16": 2500.0, "tf32": 1250.0, "fp32": 80.0, "fp8": 5000.0, "fp64": 40.0}, 8000.0,
        "NVIDIA GB200 NVL72 specifications, nvidia.com/en-us/data-center/gb200-nvl72",
    ),
    _row(
        r"b200", "NVIDIA B200",
        {"bf16": 2250.0, "fp16": 2250.0, "tf32": 1125.0, "fp32": 75.0, "fp8": 4500.0, "fp64": 37.0}, 8000.0, _BLACKWELL,
    ),
    _row(
        r"h200 nvl", "NVIDIA H200 NVL",
        {"bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60.0, "fp8": 1670.5, "fp64": 60.0}, 4800.0, _H200,
    ),
    _row(r"h200", "NVIDIA H200", _HOPPER_PEAKS, 4800.0, _H200),
    _row(
        r"gh200 480gb", "NVIDIA GH200 480GB", _HOPPER_PEAKS, 4000.0,
        "NVIDIA GH200 Grace Hopper Superchip data sheet (96 GB of HBM3), nvidia.com/en-us/data-center",
    ),
    _row(
        r"h100 nvl", "NVIDIA H100 NVL",
        {"bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60.0, "fp8": 1670.5, "fp64": 60.0}, 3900.0, _H100,
    ),
    _row(
        r"h100 pcie", "NVIDIA H100 PCIe",
        {"bf16": 756.5, "fp16": 756.5, "tf32": 378.0, "fp32": 51.0, "fp8": 1513.0, "fp64": 51.0}, 2000.0, _H100,
    ),
    _row(r"h100 80gb hbm3|h100 sxm\w*", "NVIDIA H100 80GB HBM3", _HOPPER_PEAKS, 3350.0, _H100),
    _row(r"a100 sxm4 80gb", "NVIDIA A100-SXM4-80GB", _AMPERE_PEAKS, 2039.0, _A100),
    _row(r"a100 80gb pcie|a100 pcie 80gb", "NVIDIA A100 80GB PCIe", _AMPERE_PEAKS, 1935.0, _A100),
    # The name that the vendor's driver has for the 40 GB module in others' servers.
    _row(r"a100 sxm4 40gb|a100 pg509 200", "NVIDIA A100-SXM4-40GB", _AMPERE_PEAKS, 1555.0, _A100),
    _row(r"a100 pcie 40gb", "NVIDIA A100-PCIE-40GB", _AMPERE_PEAKS, 1555.0, _A100),
    _row(
        r"l40s", "NVIDIA L40S",
        {"bf16": 362.05, "fp16": 362.05, "tf32": 183.0, "fp32": 91.6, "fp8": 733.0}, 864.0,
        "NVIDIA L40S data sheet, resources.nvidia.com/en-us-l40s/l40s-datasheet-28413",
    ),
    _row(
        r"l4", "NVIDIA L4",
        {"bf16": 121.0, "fp16": 121.0, "tf32": 60.0, "fp32": 30.3, "fp8": 242.5}, 300.0,
        "NVIDIA L4 Tensor Core GPU data sheet, nvidia.com/en-us/data-center/l4",
    ),
    _row(
        r"a10", "NVIDIA A10", {"bf16": 125.0, "fp16": 125.0, "tf32": 62.5, "fp32": 31.2}, 600.0,
        "NVIDIA A10 data sheet, nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/a10-datasheet.pdf",
    ),
    # Cut down from the A10: 70 and not 125.
    _row(
        r"a10g", "NVIDIA A10G", {"bf16": 70.0, "fp16": 70.0}, 600.0,
        "NVIDIA A10G data sheet, d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf",
    ),
    _row(
        r"t4", "Tesla T4", {"fp16": 65.0, "fp32": 8.1}, 320.0,
        "NVIDIA T4 Tensor Core GPU product brief, PB-09256-001",
    ),
    _row(r"v100 sxm[23]\w*( (16|32)gb)?", "Tesla V100-SXM2", {"fp16": 125.0, "fp32": 15.7, "fp64": 7.8}, 900.0, _VOLTA),
    _row(r"v100 pcie", "Tesla V100-PCIE", {"fp16": 112.0, "fp32": 14.0, "fp64": 7.0}, 900.0, _VOLTA),
    _row(
        r"rtx 5090$", "NVIDIA GeForce RTX 5090",
        {"bf16": 209.5, "fp16": 209.5, "tf32": 104.8, "fp32": 104.8, "fp8": 419.0}, 1792.0,
        "NVIDIA RTX Blackwell GPU architecture white paper (accumulation in FP32)",
    ),
    _row(
        r"rtx 4090$", "NVIDIA GeForce RTX 4090",
        {"bf16": 165.2, "fp16": 165.2, "tf32": 82.6, "fp32": 82.6, "fp8": 330.3}, 1008.0,
        "NVIDIA Ada GPU architecture white paper (accumulation in FP32)",
    ),
    _row(
        r"rtx 3090$", "NVIDIA GeForce RTX 3090", {"bf16": 71.0, "fp16": 71.0, "tf32": 35.6, "fp32": 35.6}, 936.0,
        "NVIDIA Ampere GA102 GPU architecture white paper (accumulation in FP32)",
    ),
    _row(r"mi210", "AMD Instinct MI210", {"bf16": 181.0, "fp16": 181.0, "fp32": 45.3, "fp64": 45.3}, 1638.4, _MI200),
    _row(r"mi250x", "AMD Instinct MI250X", {"bf16": 191.5, "fp16": 191.5, "fp32": 47.9, "fp64": 47.9}, 1638.4, _MI200),
    _row(r"mi250", "AMD Instinct MI250", {"bf16": 181.0, "fp16": 181.0, "fp32": 45.3, "fp64": 45.3}, 1638.4, _MI200),
    _row(r"mi300x", "AMD Instinct MI300X", _CDNA3_PEAKS, 5300.0, _MI300X),
    _row(r"mi325x", "AMD Instinct MI325X", _CDNA3_PEAKS, 6000.0, _MI325X),
    _row(
        r"mi355x", "AMD Instinct MI355X",
        {"bf16": 2516.6, "fp16": 2516.6, "fp32": 157.3, "fp8": 5033.2}, 8000.0, _MI355X,
    ),
)  # fmt: skip

_PLACES = tuple((re.compile(rf"\b(?:{pattern})(?!\S)"), peaks) for pattern, peaks in _DEVICES)


def known_devices() -> tuple[DevicePeaks, ...]:
    """All devices in the table."""
    return tuple(peaks for _, peaks in _DEVICES)


def peaks_of_device(name: str) -> DevicePeaks | None:
    """Peaks of a device by the name that traces give it; None where it is not in the table, or is a part of one."""
    words = re.sub(r"[^a-z0-9.]+", " ", name.lower()).strip()
    if re.search(r"\bmig\b", words):
        return None
    return next((peaks for pattern, peaks in _PLACES if pattern.search(words)), None)


def peaks_of_trace(trace: Trace) -> DevicePeaks | None:
    """Peaks of the devices that a trace names, if they are all the same and known."""
    properties = trace.metadata.get("deviceProperties")
    named = properties if isinstance(properties, list) else []
    names = {str(one["name"]) for one in named if isinstance(one, dict) and one.get("name")}
    return peaks_of_device(names.pop()) if len(names) == 1 else None


def parse_peaks(text: str) -> DevicePeaks:
    """Peaks from text such as `bf16=989,gb_s=3350`, `MI300X`, or `H100 PCIe,bf16=700`.

    What is given beside a device's name takes the place of the table's figure. TFLOP/s are by type (bf16, fp16,
    tf32, fp32, fp8, fp64), memory bandwidth is `gb_s` (or `bandwidth`).

    Raises:
        ConfigError: the text has no peak or no bandwidth, or names something that is not known.
    """
    base: DevicePeaks | None = None
    tflops: dict[str, float] = {}
    bandwidth: float | None = None
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            base = peaks_of_device(key)
            if base is None:
                raise ConfigError(f"--peaks: no device {key!r} is known; known are {_known()}")
        elif key.lower() in _BANDWIDTH:
            bandwidth = _positive(item, value)
        elif key.lower() in DTYPES:
            tflops[key.lower()] = _positive(item, value)
        else:
            raise ConfigError(f"--peaks: {key!r} is neither a type ({', '.join(DTYPES)}) nor gb_s")
    if base is not None:
        given = {"tflops": base.tflops | tflops, "bandwidth_gb_s": bandwidth or base.bandwidth_gb_s}
        return replace(base, **given) if tflops or bandwidth else base  # type: ignore[arg-type]
    if not tflops or bandwidth is None:
        raise ConfigError(
            f"--peaks {text!r} needs a type's TFLOP/s and the bandwidth (bf16=989,gb_s=3350), or a device's name"
        )
    return DevicePeaks(name="as given", tflops=tflops, bandwidth_gb_s=bandwidth, source="--peaks")


def _positive(item: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise ConfigError(f"--peaks: {item!r} needs a number above 0")
    return number


def _known() -> str:
    return ", ".join(peaks.name for peaks in known_devices())
