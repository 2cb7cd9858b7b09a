"""Where no blocks are found, the reason and the way out stand wherever a trace is shown."""

import io
import json
from html import escape

import pytest
from rich.console import Console

from maskprof.analysis.analyze import analyze
from maskprof.notebook import analyze as analyze_for_notebook
from maskprof.reports.escapes import markdown
from maskprof.reports.trace_console import print_trace
from maskprof.reports.trace_markdown import traces_to_markdown
from maskprof.results.serialize_trace import dump_summaries
from tests.support.traces import TraceBuilder

OURS = "maskprof's ranges (maskprof run, or BlockMaskWrapper(model, mask, ranges=True))"
WAYS = (
    f"To see time block by block, record with {OURS} or with the profiler's module ranges (with_stack=True)."
)
HOST = f"No blocks: the trace has no device events, and no ranges or modules that tell blocks. {WAYS}"


def host_alone():
    return TraceBuilder().op("aten::mm", 0, 10)


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (host_alone(), "the trace has no device events, and no ranges or modules that tell blocks"),
        (
            TraceBuilder().op("autograd::engine::evaluate_function: Mm", 0, 9).launch(1, 1).kernel("k", 3, 2, 1),
            "the trace is of training: a block's forward and backward kernels lie apart, and nothing joins them",
        ),
        (
            TraceBuilder().launch(1, 1).kernel("k", 3, 2, 1),
            "the order of kernels does not tell them: no sequence of kernels repeats often enough",
        ),
        (
            TraceBuilder().launch(1, 1).kernel("k", 3, 2, 1).launch(8, 2).kernel("k", 9, 2, 2, device=1),
            "the trace has kernels of 2 devices, whose orders cannot be told together",
        ),
    ],
)  # fmt: skip
def test_the_reason_and_the_way_out(tmp_path, builder, reason):
    summary = analyze(builder.read(tmp_path))
    assert summary.blocks is None
    assert summary.no_blocks == f"No blocks: {reason}. {WAYS}"


def test_module_ranges_are_no_way_out_where_they_are_there(tmp_path):
    builder = host_alone().event("python_function", "nn.Module: Linear_0", 0, 20)
    assert analyze(builder.read(tmp_path)).no_blocks.endswith(f"record with {OURS}.")


def test_blocks_need_no_reason(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 20).annotation("block.00.active", 1, 8)
    summary = analyze(builder.read(tmp_path))
    assert summary.blocks is not None
    assert summary.no_blocks is None
    assert json.loads(dump_summaries([summary]))["no_blocks"] is None


def test_it_stands_in_every_form(tmp_path):
    path = host_alone().write(tmp_path / "t.json")
    summary = analyze_for_notebook(path)
    text = io.StringIO()
    print_trace(summary, Console(file=text, width=80), top=5)
    assert HOST in " ".join(text.getvalue().split())
    assert json.loads(dump_summaries([summary]))["no_blocks"] == HOST
    assert markdown(HOST) in traces_to_markdown([summary], None, top=5)
    assert escape(HOST) in summary._repr_html_()
