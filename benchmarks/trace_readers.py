"""What benchmarks/trace_engine.py measures: each reader in a process of its own.

python benchmarks/trace_readers.py READER FILE     # reads the file once and ends
python benchmarks/trace_readers.py READER --serve  # reads every file named on a line of standard input, and
                                                   # answers with the seconds of each part, as JSON
"""

import contextlib
import gzip
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Parts = dict[str, float]


def read_text(path: str) -> bytes:
    content = Path(path).read_bytes()
    return gzip.decompress(content) if is_packed(path) else content


def is_packed(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def text_bytes(path: str) -> int:
    """How long the text is, without having it in memory."""
    if not is_packed(path):
        return Path(path).stat().st_size
    with gzip.open(path) as file:
        return sum(map(len, iter(lambda: file.read(1 << 20), b"")))


def maskprof() -> Callable[[str], Parts]:
    from maskprof.analysis.analyze import analyze
    from maskprof.traces.reader import read_trace

    def run(path: str) -> Parts:
        start = time.perf_counter()
        trace = read_trace(path)
        loaded = time.perf_counter()
        analyze(trace)
        return {"load": loaded - start, "analysis": time.perf_counter() - loaded}

    return run


def hta() -> Callable[[str], Parts]:
    """HolisticTraceAnalysis as its users call it: one rank, kernel breakdown, no plots."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from hta.trace_analysis import TraceAnalysis

    def run(path: str) -> Parts:
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.perf_counter()
            analysis = TraceAnalysis(trace_files={0: path}, trace_dir=str(Path(path).parent))
            loaded = time.perf_counter()
            analysis.get_gpu_kernel_breakdown(visualize=False)
            return {"load": loaded - start, "analysis": time.perf_counter() - loaded}

    return run


def orjson() -> Callable[[str], Parts]:
    """Plain orjson: the text becomes dictionaries, and nothing else is done."""
    import orjson as library

    def run(path: str) -> Parts:
        start = time.perf_counter()
        library.loads(read_text(path))
        return {"load": time.perf_counter() - start}

    return run


def bare() -> Callable[[str], Parts]:
    """A bare typed decode: the whole text at once into objects, and those into ten columns. Nothing is checked."""
    import msgspec
    import numpy as np

    class Args(msgspec.Struct, frozen=True, gc=False):
        correlation: Any = -1
        external_id: Any = msgspec.field(default=-1, name="External id")
        stream: Any = -1
        device: Any = -1

    class Event(msgspec.Struct, gc=False):
        ph: str = ""
        name: str = ""
        cat: str = ""
        pid: int | str = -1
        tid: int | str = -1
        ts: float = 0.0
        dur: float = 0.0
        args: Args = Args()

    class File(msgspec.Struct):
        traceEvents: list[Event]  # noqa: N815

    class Codes(dict[Any, int]):
        def __missing__(self, key: Any) -> int:
            code = self[key] = len(self)
            return code

    decoder = msgspec.json.Decoder(File)

    def codes(values: list[Any]) -> Any:
        table = Codes()
        return np.array([table[value] for value in values], dtype=np.int32)

    def ids(values: list[Any]) -> Any:
        try:
            return np.array(values, dtype=np.int64)
        except ValueError:
            return np.array([v if type(v) is int else -1 for v in values], dtype=np.int64)

    def columns(path: str) -> list[Any]:
        events = [event for event in decoder.decode(read_text(path)).traceEvents if event.ph == "X"]
        found = [codes([getattr(e, field) for e in events]) for field in ("name", "cat", "pid", "tid")]
        found += [np.array([getattr(e, field) for e in events]) for field in ("ts", "dur")]
        arguments = [e.args for e in events]
        fields = ("correlation", "external_id", "stream", "device")
        return found + [ids([getattr(a, field) for a in arguments]) for field in fields]

    def run(path: str) -> Parts:
        start = time.perf_counter()
        columns(path)
        return {"load": time.perf_counter() - start}

    return run


READERS: dict[str, Callable[[], Callable[[str], Parts]]] = {
    "maskprof": maskprof,
    "hta": hta,
    "orjson": orjson,
    "bare": bare,
}


def main() -> None:
    answer: dict[str, Any]
    run = READERS[sys.argv[1]]()
    if sys.argv[2] != "--serve":
        run(sys.argv[2])
        return
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            answer = run(line.rstrip("\n"))
        except Exception as error:  # noqa: BLE001  (what others fail on is a finding)
            answer = {"failed": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__" and len(sys.argv) > 2:
    main()
