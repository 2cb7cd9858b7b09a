"""Traces of any size in Kineto's layout, for measuring how cost grows with it.

A model of 16 blocks, every second one skipped, decoding step by step: ranges of blocks as maskprof writes them,
operators with shapes, Python frames and module ranges, launches, kernels, and the arrows between them. Each step is
the same but for its times and ids; the host's events come first and the device's last, as the profiler writes them.

    python benchmarks/generated_traces.py PATH BYTES
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

BLOCKS = 16
STEP_NS = 9_000_000
_HOST, _DEVICE, _STREAM = 41_234, 0, 7
_FIRST_NS = 1_419_247_332_972_313

_OPERATORS = (
    ("aten::linear", "[[1, 1, 2048], [2048, 2048], []]", '["c10::BFloat16", "c10::BFloat16", ""]'),
    ("aten::t", "[[2048, 2048]]", '["c10::BFloat16"]'),
    ("aten::matmul", "[[1, 1, 2048], [2048, 2048]]", '["c10::BFloat16", "c10::BFloat16"]'),
    ("aten::mm", "[[1, 2048], [2048, 2048]]", '["c10::BFloat16", "c10::BFloat16"]'),
    ("aten::mul", "[[1, 1, 2048], [2048]]", '["c10::BFloat16", "c10::BFloat16"]'),
    ("aten::rsqrt", "[[1, 1, 1]]", '["float"]'),
    ("aten::mean", "[[1, 1, 2048], [], [], []]", '["float", "ScalarList", "Scalar", ""]'),
    (
        "aten::scaled_dot_product_attention",
        "[[1, 32, 1, 64], [1, 32, 513, 64], [1, 32, 513, 64]]",
        '["c10::BFloat16"]',
    ),
    ("aten::silu", "[[1, 1, 8192]]", '["c10::BFloat16"]'),
    ("aten::add", "[[1, 1, 2048], [1, 1, 2048], []]", '["c10::BFloat16", "c10::BFloat16", "Scalar"]'),
)
_ITERATOR = "at::native::bfloat16_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda(float)#1}"
_MEAN = (
    "at::native::ReduceOp<float, at::native::MeanOps<float, float, float, float>, unsigned int, float, 4, 4>"
)
_BINARY = (
    "at::native::BinaryFunctor<c10::BFloat16, c10::BFloat16, c10::BFloat16, at::native::MulFunctor<float> >"
)
_TRAITS = "Flash_fwd_kernel_traits<64, 64, 256, 4, false, false, cutlass::bfloat16_t>"
_PAIR = "std::array<char*, 2ul>"
_KERNELS = (
    "nvjet_tst_64x8_64x16_1x4_h_bz_TNN",
    f"void at::native::vectorized_elementwise_kernel<4, {_ITERATOR}, {_PAIR} >(int, {_ITERATOR}, {_PAIR})",
    f"void at::native::reduce_kernel<512, 1, {_MEAN} >({_MEAN})",
    f"void flash_fwd_splitkv_kernel<{_TRAITS}, false, false, false, false, true, true, false>(Flash_fwd_params)",
    f"void at::native::elementwise_kernel<128, 4, at::native::gpu_kernel_impl_nocast<{_BINARY} > >(int, {_BINARY})",
)
_FRAMES = (
    "torch/nn/modules/module.py(1773): _wrapped_call_impl",
    "torch/nn/modules/module.py(1784): _call_impl",
    "transformers/models/llama/modeling_llama.py(308): forward",
    "<built-in function linear>",
    "<built-in method apply of type object at 0x7f21c5a1b0c0>",
)
_HEAD = """{
  "schemaVersion": 1,
  "deviceProperties": [
    {
      "id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85018279936,
      "computeMajor": 9, "computeMinor": 0, "warpSize": 32, "numSms": 132
    }
  ],
  "record_shapes": 1,
  "with_stack": 1,
  "displayTimeUnit": "ms",
  "baseTimeNanoseconds": 1751410836000000000,
  "traceEvents": [
  {
    "name": "process_name", "ph": "M", "ts": 1419247332972.313, "pid": 41234, "tid": 0,
    "args": {
      "name": "python"
    }
  }"""
_TAIL = """
  ],
  "traceName": "generated.pt.trace.json"
}
"""


class _Step:
    """The text of one step with gaps, and what goes into each: a time in ns, or an id that grows by the step."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.starts: list[int] = []
        self.growths: list[int] = []
        self._slots: list[tuple[bool, int, str]] = []

    def event(self, fields: str, ts_ns: int, rest: str = "", ids: tuple[tuple[int, str], ...] = ()) -> None:
        """`rest` has a gap for each of `ids`, which are a first value and a name of what it counts."""
        self.parts.append(f',\n  {{\n    {fields},\n    "ts": %d.%03d{rest}\n  }}')
        self._slots += [(True, ts_ns, ""), *((False, first, counter) for first, counter in ids)]

    def texts(self, counters: dict[str, int], steps: int) -> Iterator[bytes]:
        template = "".join(self.parts).encode()
        is_time = np.array([slot[0] for slot in self._slots])
        first = np.array([slot[1] for slot in self._slots], dtype=np.int64)
        growth = np.array([STEP_NS if slot[0] else counters[slot[2]] for slot in self._slots], dtype=np.int64)
        # A time fills two gaps: microseconds, and the nanoseconds behind the point.
        at = np.arange(len(is_time)) + np.concatenate(([0], np.cumsum(is_time)[:-1]))
        for step in range(steps):
            now = first + growth * step
            values = np.empty(len(now) + int(is_time.sum()), dtype=np.int64)
            values[at] = np.where(is_time, now // 1000, now)
            values[at[is_time] + 1] = now[is_time] % 1000
            yield template % tuple(values.tolist())


class _Model:
    """One step of the model, the host's part and the device's."""

    def __init__(self) -> None:
        self.host, self.frames, self.device = _Step(), _Step(), _Step()
        self.counters = {"op": 0, "launch": 0, "frame": 0}
        self._now = _FIRST_NS
        self._free = _FIRST_NS

    def build(self) -> None:
        self._range("phase.decode", "user_annotation", 8_500_000)
        for block in range(BLOCKS):
            self._now = _FIRST_NS + 60_000 + 520_000 * block
            if block % 2:
                self._skipped(block)
            else:
                self._active(block)

    def _skipped(self, block: int) -> None:
        self._range(f"block.{block:02d}.skipped", "user_annotation", 40_000)
        self._now += 3_000
        self._range(f"block.{block:02d}.mask_check", "cpu_op", 700)
        self._now += 2_000
        self._range(f"block.{block:02d}.cache.dummy", "cpu_op", 20_000)
        self._now += 3_000
        self._operator(0, 12_000)
        self._launch(1)

    def _active(self, block: int) -> None:
        self._range(f"block.{block:02d}.active", "user_annotation", 500_000)
        self._now += 3_000
        self._range(f"block.{block:02d}.mask_check", "cpu_op", 700)
        self._now += 1_500
        self._range(f"block.{block:02d}.compute", "user_annotation", 480_000)
        self._frame(f"nn.Module: LlamaDecoderLayer_{block}", 470_000)
        for group in range(6):
            self._now = _FIRST_NS + 60_000 + 520_000 * block + 8_000 + 78_000 * group
            for depth, name in enumerate(_FRAMES):
                self._frame(name, 70_000 - 10_000 * depth)
                self._now += 300
            for depth in range(4):
                self._operator((4 * group + depth) % len(_OPERATORS), 40_000 - 8_000 * depth)
                self._now += 2_000
            for _ in range(2):
                self._launch(group % len(_KERNELS))
                self._now += 6_000

    def _id(self, counter: str) -> tuple[int, str]:
        self.counters[counter] += 1
        return 200_000 + self.counters[counter], counter

    def _range(self, name: str, category: str, dur_ns: int) -> None:
        self.host.event(
            f'"ph": "X", "cat": "{category}", "name": "{name}", "pid": {_HOST}, "tid": {_HOST}',
            self._now,
            f', "dur": {dur_ns / 1000:.3f},\n    "args": {{\n'
            '      "External id": %d,"Record function id": 0, "Ev Idx": %d\n    }',
            (self._id("op"), self._id("op")),
        )

    def _operator(self, which: int, dur_ns: int) -> None:
        name, dims, types = _OPERATORS[which]
        self.host.event(
            f'"ph": "X", "cat": "cpu_op", "name": "{name}", "pid": {_HOST}, "tid": {_HOST}',
            self._now,
            f', "dur": {dur_ns / 1000:.3f},\n    "args": {{\n      "External id": %d,"Record function id": 0, '
            f'"Concrete Inputs": ["", "", ""], "Input type": {types}, "Input Strides": {dims}, "Input Dims": {dims}, '
            '"Ev Idx": %d\n    }',
            (self._id("op"), self._id("op")),
        )

    def _frame(self, name: str, dur_ns: int) -> None:
        self.frames.event(
            f'"ph": "X", "cat": "python_function", "name": "{name}", "pid": {_HOST}, "tid": {_HOST}',
            self._now,
            f', "dur": {dur_ns / 1000:.3f},\n    "args": {{\n'
            '      "Python parent id": %d, "Python id": %d, "Ev Idx": %d\n    }',
            (self._id("frame"), self._id("frame"), self._id("frame")),
        )

    def _launch(self, which: int) -> None:
        correlation = self._id("launch")
        start = max(self._now + 9_000, self._free + 1_200)
        dur_ns = 4_000 + 3_000 * which
        self._free = start + dur_ns
        self.device.event(
            f'"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": {_HOST}, "tid": {_HOST}',
            self._now,
            ', "dur": 4.612,\n    "args": {\n      "External id": %d, "cbid": 211, "correlation": %d\n    }',
            (correlation, correlation),
        )
        for phase, pid, tid, at in (("s", _HOST, _HOST, self._now), ("f", _DEVICE, _STREAM, start)):
            self.device.parts.append(f',\n  {{\n    "ph": "{phase}", "id": %d, "pid": {pid}, "tid": {tid},')
            self.device._slots.append((False, *correlation))
            end = ', "bp": "e"' if phase == "f" else ""
            self.device.parts.append(f' "ts": %d.%03d,\n    "cat": "ac2g", "name": "ac2g"{end}\n  }}')
            self.device._slots.append((True, at, ""))
        self.device.event(
            f'"ph": "X", "cat": "kernel", "name": "{_KERNELS[which]}", "pid": {_DEVICE}, "tid": {_STREAM}',
            start,
            f', "dur": {dur_ns / 1000:.3f},\n    "args": {{\n      "External id": %d, "queued": 0, '
            f'"device": {_DEVICE}, "context": 1, "stream": {_STREAM}, "correlation": %d, "registers per thread": 32, '
            '"shared memory": 0, "blocks per SM": 0.121212, "warps per SM": 0.484848, "grid": [16, 1, 1], '
            '"block": [128, 1, 1], "est. achieved occupancy %%": 1\n    }',
            (correlation, correlation),
        )


def write_trace(path: Path, text_bytes: int) -> Path:
    """Write a plain trace of about `text_bytes` (whole steps, at least one), never more than one step in memory."""
    model = _Model()
    model.build()
    sides = (model.host, model.frames, model.device)
    per_step = sum(len(next(side.texts(model.counters, 1))) for side in sides)
    steps = max(1, round((text_bytes - len(_HEAD)) / per_step))
    with path.open("wb") as file:
        file.write(_HEAD.encode())
        for side in sides:
            file.writelines(side.texts(model.counters, steps))
        file.write(_TAIL.encode())
    return path


if __name__ == "__main__" and len(sys.argv) > 2:
    write_trace(Path(sys.argv[1]), int(float(sys.argv[2])))
