"""Sequences of kernels as models launch them, with the borders of their blocks known."""

from dataclasses import dataclass, field

import numpy as np

from maskprof.analysis.period_rules import KernelSequence


@dataclass
class Written:
    """Collects kernels by name, and remembers where blocks were."""

    names: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    steps: list[list[int]] = field(default_factory=list)

    def add(self, *names, time_us=1.0):
        self.names += names
        self.times += [time_us] * len(names)
        return self

    def step(self, blocks, *, before=("embedding",), after=("last_norm", "head", "argmax")):
        """One step: `blocks` is a list of lists of names."""
        self.add(*before)
        borders = []
        for block in blocks:
            borders.append(len(self.names))
            self.add(*block)
        self.steps.append([*borders, len(self.names)])
        return self.add(*after)

    def sequence(self):
        table = sorted(set(self.names))
        code = {name: i for i, name in enumerate(table)}
        return KernelSequence(
            tokens=np.array([code[name] for name in self.names], dtype=np.int64),
            time_ns=np.array(self.times) * 1000,
            attends=np.array(["attention" in name for name in table]),
            edge=np.array([name.startswith(("embedding", "argmax")) for name in table]),
            leads=np.array(["norm" in name for name in table]),
        )


def plain_block(variant=""):
    """A decoder block's kernels, as a serving engine has them."""
    return [
        "add_norm", "qkv_gemm", "rotary", "store_kv", f"attention{variant}", "out_gemm",
        "add_norm", "up_gemm", "silu_mul", "down_gemm",
    ]  # fmt: skip
