import pytest

from maskprof.analysis.devices import DTYPES, known_devices, parse_peaks, peaks_of_device, peaks_of_trace
from maskprof.errors import ConfigError
from maskprof.results.trace_summary import DevicePeaks
from tests.support.traces import TraceBuilder


@pytest.mark.parametrize(
    ("name", "bf16", "bandwidth"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4, 3350.0),
        ("NVIDIA H100 PCIe", 756.5, 2000.0),
        ("NVIDIA H100 NVL", 835.5, 3900.0),
        ("NVIDIA H200", 989.4, 4800.0),
        ("NVIDIA A100-SXM4-80GB", 312.0, 2039.0),
        ("NVIDIA A100-SXM4-40GB", 312.0, 1555.0),
        ("A100-SXM4-40GB", 312.0, 1555.0),
        ("NVIDIA A100-PG509-200", 312.0, 1555.0),
        ("NVIDIA A100 80GB PCIe", 312.0, 1935.0),
        ("NVIDIA B200", 2250.0, 8000.0),
        ("NVIDIA GB200", 2500.0, 8000.0),
        ("NVIDIA L4", 121.0, 300.0),
        ("NVIDIA L40S", 362.05, 864.0),
        ("NVIDIA A10", 125.0, 600.0),
        ("NVIDIA A10G", 70.0, 600.0),
        ("NVIDIA GH200 480GB", 989.4, 4000.0),
        ("NVIDIA H200 NVL", 835.5, 4800.0),
        ("NVIDIA GeForce RTX 3090", 71.0, 936.0),
        ("NVIDIA GeForce RTX 5090", 209.5, 1792.0),
        ("AMD Instinct MI250X/MI250", 191.5, 1638.4),
        ("AMD Instinct MI325X", 1307.4, 6000.0),
        ("AMD Instinct MI355X", 2516.6, 8000.0),
        ("AMD Instinct MI300X VF", 1307.4, 5300.0),
        ("NVIDIA GeForce RTX 4090", 165.2, 1008.0),
        ("AMD Instinct MI300X", 1307.4, 5300.0),
        ("AMD Instinct MI250X", 191.5, 1638.4),
        ("AMD Instinct MI210", 181.0, 1638.4),
    ],
)
def test_names_that_traces_have(name, bf16, bandwidth):
    peaks = peaks_of_device(name)
    assert (peaks.tflops["bf16"], peaks.bandwidth_gb_s) == (bf16, bandwidth)


@pytest.mark.parametrize(
    "name", ["Tesla T4", "Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB", "Tesla V100-PCIE-16GB"]
)
def test_devices_without_bf16(name):
    assert "bf16" not in peaks_of_device(name).tflops
    assert peaks_of_device(name).tflops["fp16"] > 60


@pytest.mark.parametrize(
    "name",
    [
        "",
        "AMD Radeon Graphics",
        "NVIDIA H100",
        "NVIDIA A100",
        "NVIDIA L40",
        "NVIDIA H20",
        "NVIDIA GH200 144G HBM3e",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "Tesla V100S-PCIE-32GB",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
    ],
)
def test_names_that_do_not_say_enough(name):
    assert peaks_of_device(name) is None


def test_every_row_says_where_it_is_from_and_is_found_by_its_own_name():
    for peaks in known_devices():
        assert peaks_of_device(peaks.name) == peaks
        assert len(peaks.source) > 20
        assert set(peaks.tflops) <= set(DTYPES)
        assert peaks.bandwidth_gb_s >= 300
        # Narrower types are never slower.
        order = [peaks.tflops[dtype] for dtype in ("fp32", "tf32", "fp16", "fp8") if dtype in peaks.tflops]
        assert order == sorted(order)


def _trace(tmp_path, *names):
    return TraceBuilder(deviceProperties=[{"id": i, "name": name} for i, name in enumerate(names)]).read(
        tmp_path
    )


def test_a_trace_with_one_kind_of_device(tmp_path):
    assert peaks_of_trace(_trace(tmp_path, "NVIDIA B200", "NVIDIA B200")).name == "NVIDIA B200"
    assert peaks_of_trace(_trace(tmp_path, "NVIDIA B200", "NVIDIA L4")) is None
    assert peaks_of_trace(_trace(tmp_path, "")) is None
    assert peaks_of_trace(_trace(tmp_path)) is None


@pytest.mark.parametrize(
    "properties", [None, "NVIDIA B200", [3, None, {"id": 0}], {"name": "NVIDIA B200"}], ids=str
)
def test_damaged_properties_name_no_device(tmp_path, properties):
    assert peaks_of_trace(TraceBuilder(deviceProperties=properties).read(tmp_path)) is None


def test_peaks_in_figures():
    for text in ("bf16=989,gb_s=3350", " BF16 = 989 , bandwidth=3350 "):
        assert parse_peaks(text) == DevicePeaks(
            name="as given", tflops={"bf16": 989.0}, bandwidth_gb_s=3350.0, source="--peaks"
        )


def test_peaks_by_name_and_what_takes_their_place():
    known = peaks_of_device("AMD Instinct MI300X")
    assert parse_peaks("MI300X") == known
    changed = parse_peaks("MI300X,bf16=1000,gb_s=5000")
    assert (changed.tflops, changed.bandwidth_gb_s) == (known.tflops | {"bf16": 1000.0}, 5000.0)
    assert parse_peaks("MI300X,fp8=2000").bandwidth_gb_s == 5300.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs a type's TFLOP/s and the bandwidth"),
        ("bf16=989", "needs a type's TFLOP/s and the bandwidth"),
        ("gb_s=3350", "needs a type's TFLOP/s and the bandwidth"),
        ("bf16=fast,gb_s=1", "'bf16=fast' needs a number above 0"),
        ("bf16=-1,gb_s=1", "'bf16=-1' needs a number above 0"),
        ("bf16=inf,gb_s=1", "'bf16=inf' needs a number above 0"),
        ("int3=1,gb_s=1", "'int3' is neither a type (bf16, fp16, tf32, fp32, fp8, fp64) nor gb_s"),
        ("H1000", "no device 'H1000' is known; known are NVIDIA GB200, "),
    ],
)
def test_peaks_that_are_not_understood(text, reason):
    with pytest.raises(ConfigError) as error:
        parse_peaks(text)
    assert reason in str(error.value)
