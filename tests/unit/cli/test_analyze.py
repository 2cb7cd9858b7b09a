"""`maskprof analyze` and `maskprof diff` in this process: what they show, write and refuse."""

import gzip
import io
import json
import sys

import pytest
from rich.cells import cell_len

from maskprof.cli.main import main
from tests.support.traces import SHARED_TRACES, TraceBuilder

BAD_NAME = "\x1b[31mred\x1b[0m [bold]x[/bold] <b>|`y`"


def gpu_trace(*, blocks=(0, 1), rank=None, world_size=2, wait=0, kernels=("gemm_kernel", "softmax_kernel")):
    """A decode step whose blocks launch the same kernels, one after the other."""
    metadata = {"deviceProperties": [{"id": 0, "name": "NVIDIA H100 80GB HBM3"}]}
    if rank is not None:
        metadata["distributedInfo"] = {"backend": "nccl", "rank": rank, "world_size": world_size}
    builder = TraceBuilder(**metadata).annotation("phase.decode", 0, 1000)
    correlation, start = 1, 100
    for block in range(2):
        skipped = block not in blocks
        builder.annotation(f"block.{block:02d}.{'skipped' if skipped else 'active'}", 10 + 400 * block, 300)
        for kernel in () if skipped else kernels:
            builder.op("aten::mm", 20 + 400 * block + 30 * (correlation % 4), 20)
            builder.launch(22 + 400 * block + 30 * (correlation % 4), correlation)
            builder.kernel(kernel, start, 100, correlation)
            correlation, start = correlation + 1, start + 110
    if rank is not None:
        builder.launch(900, 99).kernel("ncclDevKernel_AllReduce_Sum_f32", 1200, 50 + wait, 99)
    return builder


@pytest.fixture(autouse=True)
def narrow(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def trace(tmp_path):
    return gpu_trace().write(tmp_path / "trace.json.gz")


@pytest.fixture
def call(capsys):
    def called(*words):
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return called


def refused(said):
    code, out, err = said
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    return err.removeprefix("maskprof: ").rstrip()


def test_tables_on_the_terminal(call, trace):
    code, out, err = call("analyze", trace)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == str(trace)
    assert "NVIDIA H100 80GB HBM3" in lines[1]
    for title in (
        "Device time: ",
        "Kernels",
        "Operators",
        "Ranges",
        "Blocks: 2",
        "Launches",
        "Account of the file",
    ):
        assert any(line.startswith(title) for line in lines), title
    assert "\x1b" not in out


def test_json_alone_on_stdout(call, trace):
    code, out, err = call("analyze", trace, "--json", "-")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["gpu"] == {
        "kernel_count": 4, "kernel_time_us": 400.0, "busy_us": 400.0, "span_us": 430.0, "idle_pct": pytest.approx(
            100 * 30 / 430
        ),
    } | {key: found["gpu"][key] for key in found["gpu"].keys() - {
        "kernel_count", "kernel_time_us", "busy_us", "span_us", "idle_pct",
    }}  # fmt: skip
    assert found["ranges"]["phase.decode"]["kernel_count"] == 4
    assert [b["kernel_count"] for b in found["blocks"]["phases"]["decode"]["blocks"]] == [2, 2]


def test_everything_at_once(call, trace, tmp_path):
    code, out, err = call(
        "analyze", trace, "--json", "a.json", "--csv", "tables", "--markdown", "a.md", "--top", "1"
    )
    assert (code, err) == (0, "")
    assert "Kernels: the top 1 of 2" in out
    assert len(json.loads((tmp_path / "a.json").read_text())["kernels"]) == 2
    assert {"kernels.csv", "blocks.csv", "ranges.csv"} <= {
        path.name for path in (tmp_path / "tables").iterdir()
    }
    assert (tmp_path / "a.md").read_text().startswith(f"# {trace}".replace("_", "\\_"))


def test_markdown_alone_on_stdout(call, trace):
    code, out, err = call("analyze", trace, "--markdown", "-")
    assert (code, err) == (0, "")
    assert out.startswith("# ")
    assert "| gemm\\_kernel |" in out


def test_within_a_range(call, trace):
    code, out, _ = call("analyze", trace, "--within", "phase.decode", "--json", "-")
    assert (code, json.loads(out)["gpu"]["kernel_count"]) == (0, 4)
    assert "no range" in refused(call("analyze", trace, "--within", "phase.prefill"))


def test_peaks_can_be_given(call, trace):
    assert call("analyze", trace, "--peaks", "bf16=100,gb_s=1000", "--json", "-")[0] == 0
    assert refused(call("analyze", trace, "--peaks", "nonsense")).startswith("--peaks: ")


def test_the_length_of_the_text_is_bounded(call, trace):
    assert refused(call("analyze", trace, "--max_text_bytes", "100"))
    assert call("analyze", trace, "--max-text-bytes", "100000000")[0] == 0


def test_a_directory_of_ranks(call, tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    for rank, wait in enumerate((500, 0)):
        gpu_trace(rank=rank, wait=wait).write(folder / f"r{rank}.pt.trace.json.gz")
    code, out, err = call("analyze", folder)
    assert (code, err) == (0, "")
    assert "Ranks: 2 traces" in out
    assert "Rank 1 is a straggler: the others wait 0.5 ms" in out
    entries = json.loads(call("analyze", folder, "--json", "-")[1])
    assert [(entry["rank"]["rank"], entry["rank"]["straggler"]) for entry in entries] == [
        (0, False),
        (1, True),
    ]


def test_a_rank_is_missing(call, tmp_path):
    for rank in (0, 2):
        gpu_trace(rank=rank, world_size=3).write(tmp_path / f"r{rank}.json")
    _, out, _ = call("analyze", "r0.json", "r2.json")
    assert "The job had 3 ranks: rank 1 is missing here." in out


def test_traces_that_are_no_ranks(call, trace, tmp_path):
    other = gpu_trace().write(tmp_path / "other.json")
    code, out, _ = call("analyze", trace, other)
    assert code == 0
    assert "\n2 traces\n" in out
    assert out.count("Account of the file") == 2
    assert all(entry["rank"] is None for entry in json.loads(call("analyze", trace, other, "--json", "-")[1]))


def test_the_same_trace_twice_is_read_once(call, trace):
    assert isinstance(json.loads(call("analyze", trace, trace, "--json", "-")[1]), dict)


def test_one_bad_trace_among_others(call, trace, tmp_path):
    (tmp_path / "bad.json").write_text("no trace")
    code, out, err = call("analyze", "bad.json", trace, "nowhere.json", "--json", "-")
    assert code == 2
    assert [entry["trace"]["path"] for entry in json.loads(out)] == [str(trace)]
    assert [line.split()[1] for line in err.splitlines()] == ["there", "bad.json"]


def test_standard_input(call, trace, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(gzip.decompress(trace.read_bytes()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    code, out, err = call("analyze", "-", "--json", "-")
    assert (code, err) == (0, "")
    assert json.loads(out)["gpu"]["kernel_count"] == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["nowhere.json"]),
        (b"", ["file.json"]),
        (b"hello", ["file.json"]),
        (b"\x00\x01\x02", ["file.json"]),
        (b'{"summary": [], "all_samples": []}', ["file.json"]),
        (b"[1, 2]", ["file.json"]),
        (b"\x1f\x8bbroken", ["file.json"]),
        (None, ["."]),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "diff"])
def test_what_is_no_trace_is_one_sentence(call, tmp_path, content, words, command):
    if content is not None:
        (tmp_path / "file.json").write_bytes(content)
    said = call(command, *words, *(words if command == "diff" else []))
    assert words[0].removeprefix(".") in refused(said)


def test_a_result_of_ours_is_no_trace(call, tmp_path):
    (tmp_path / "exp3_transformer_blocks_mask_results.json").write_text(
        '{"schema_version": 1, "summary": []}'
    )
    assert "holds no traces" in refused(call("analyze", "."))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--json", "-", "--markdown", "-"],
         "--json - and --markdown - would mix on stdout: write one of them to a file"),
        (["--json", "trace.json.gz"],
         "--json: trace.json.gz is one of the traces and would be overwritten; name another file"),
        (["--json", "."], "--json: . is a directory; name a file in it"),
        (["--markdown", "no/where.md"], "--markdown: there is no folder no for where.md"),
        (["--csv", "trace.json.gz"], "trace.json.gz cannot be written to: File exists; choose another folder"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["analyze", "diff"])
def test_a_place_that_cannot_be_written_to(call, trace, words, sentence, command):
    before = trace.read_bytes()
    given = [trace.name] * (2 if command == "diff" else 1)
    assert refused(call(command, *given, *words)) == sentence
    assert trace.read_bytes() == before


@pytest.mark.parametrize(
    "words", [["--top", "0"], ["--top", "many"], ["--max_text_bytes", "-1"], ["--tpo", "3"], []]
)
def test_a_bad_flag(call, words):
    code, out, err = call("analyze", *words, *(["t.json"] if words else []))
    assert (code, out) == (2, "")
    assert err.startswith("maskprof analyze: error: ")


@pytest.mark.parametrize("width", [80, 100, 140])
def test_wide_names_take_no_figures_room(call, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    range_name = "推理阶段：预填充与解码以及后处理全部过程的计时区间标记（第一次运行，批大小三十二）"  # noqa: RUF001
    path = (
        gpu_trace(kernels=("カーネル" * 30, "커널🚀" * 30))
        .annotation(range_name, 0, 900)
        .write(tmp_path / "t.json")
    )
    code, out, _ = call("analyze", path)
    assert code == 0
    lines = out.splitlines()
    assert max(map(cell_len, lines)) <= width
    tables = lines[lines.index("Kernels") :]
    rows = [line.split() for line in tables if line.startswith(("推理", "カーネル", "커널"))]
    assert len(rows) == 3
    for row in rows:
        figures = [word for word in row[1:] if word not in ("gemm", "%")]
        assert len(figures) >= 4
        assert all(figure.replace(".", "").isdigit() for figure in figures), row


def test_eight_traces_are_shown_in_full_and_nine_a_line_each(call, tmp_path):
    (tmp_path / "some").mkdir()
    for number in range(8):
        gpu_trace().write(tmp_path / "some" / f"{number}.json")
    assert call("analyze", "some")[1].count("Account of the file") == 8
    gpu_trace().write(tmp_path / "some" / "it's.json")
    code, out, _ = call("analyze", "some")
    assert code == 0
    assert "Account of the file" not in out
    assert out.splitlines()[1] == "9 traces in some"
    assert out.endswith("One in full: maskprof analyze some/0.json\n")
    assert len(out.splitlines()) == 16
    (tmp_path / "some" / "0.json").rename(tmp_path / "0 '.json")
    out = call("analyze", "0 '.json", "some", tmp_path / "trace.json.gz")[1]
    assert "One in full: maskprof analyze '0 '\"'\"'.json'" in out


def test_names_in_a_trace_are_data(call, tmp_path):
    path = (
        gpu_trace(kernels=(BAD_NAME,))
        .op(BAD_NAME, 5, 1)
        .annotation(BAD_NAME, 0, 900)
        .write(tmp_path / "t.json")
    )
    code, out, err = call("analyze", path)
    assert (code, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    assert "[bold]x[/bold]" in out
    code, out, _ = call("analyze", path, "--markdown", "-")
    assert "<b>" not in out
    assert out.replace("\n", "").isprintable()
    names = [kernel["name"] for kernel in json.loads(call("analyze", path, "--json", "-")[1])["kernels"]]
    assert len(names) == 1
    assert names[0].endswith("[bold]x[/bold] <b>|`y`")


def test_names_in_errors_are_data(call, tmp_path):
    path = gpu_trace().annotation(BAD_NAME, 0, 900).write(tmp_path / "t.json")
    sentence = refused(call("analyze", path, "--within", "other"))
    assert sentence.isprintable()


def test_what_changed(call, tmp_path):
    full, masked = tmp_path / "full.json", tmp_path / "masked.json"
    gpu_trace().write(full)
    gpu_trace(blocks=(0,)).write(masked)
    code, out, err = call("diff", full, masked)
    assert (code, err) == (0, "")
    assert out.startswith(f"A: {full}")
    flat = " ".join(out.split())
    assert "B skips block 1, which takes 0 us instead of 200 us in decode, per step." in flat
    assert "B has 2 fewer kernels than A: exactly those of this block, kernel by kernel." in flat
    found = json.loads(call("diff", full, masked, "--json", "-")[1])
    assert [row["status"] for row in found["blocks"]["decode"]] == ["same", "removed"]
    assert {row["key"]: row["status"] for row in found["kernels"]} == dict.fromkeys(
        ("gemm_kernel", "softmax_kernel"), "fewer"
    )


def test_a_difference_in_other_forms(call, tmp_path):
    gpu_trace().write(tmp_path / "a.json")
    gpu_trace(kernels=("other_kernel",)).write(tmp_path / "b.json")
    code, out, _ = call("diff", "a.json", "b.json", "--csv", "tables", "--markdown", "-", "--top", "1")
    assert code == 0
    assert out.startswith("# Two traces\n\nA: a.json")
    assert "**Kernels: the 1 largest of 3 changes**" in out
    assert (tmp_path / "tables" / "kernels.csv").read_text().splitlines()[0] == (
        "kernel,status,count_a,count_b,us_a,us_b,delta_us"
    )


def test_the_threshold_of_a_difference(call, tmp_path):
    gpu_trace().write(tmp_path / "a.json")
    slower = gpu_trace().text().replace('"dur": 100', '"dur": 109')
    (tmp_path / "b.json").write_text(slower)
    for percent, status in (("5", "slower"), ("10", "same")):
        found = json.loads(call("diff", "a.json", "b.json", "--threshold", percent, "--json", "-")[1])
        assert {row["status"] for row in found["kernels"]} == {status}
    assert call("diff", "a.json", "b.json", "--threshold", "-1")[0] == 2


def test_a_directory_with_one_trace_stands_for_it(call, tmp_path):
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        gpu_trace().write(tmp_path / name / "w.pt.trace.json.gz")
    assert call("diff", "before", "after")[0] == 0
    gpu_trace().write(tmp_path / "before" / "z.pt.trace.json.gz")
    assert refused(call("diff", "before", "after")).startswith(
        "before holds 2 traces: give one of them, such as "
    )


def test_both_sides_cannot_be_stdin(call):
    assert refused(call("diff", "-", "-")) == "A and B cannot both be stdin: give one of them as a file"


def _damaged(text):
    """Each kind of damage that traces are found with: name -> bytes, or None where it is no trace any more."""
    middle = text.index(b'"gemm_kernel"')
    packed = gzip.compress(text)
    return {
        "cut": text[: len(text) * 3 // 4],
        "cut in a name": text[: middle + 4],
        "gzip named json": packed,
        "gzip cut": packed[: len(packed) * 3 // 4],
        "gzip with a bad checksum": packed[:-6] + b"\x00" * 6,
        "gzip corrupt": packed[: len(packed) // 2] + b"\xff" * 20 + packed[len(packed) // 2 + 20 :],
        "control character": text.replace(b"gemm_kernel", b"gemm\x01kernel"),
        "bad UTF-8": text.replace(b"gemm_kernel", b"gemm\xffkernel"),
        "lone backslash": text.replace(b"gemm_kernel", b"gemm\\qkernel"),
        "unescaped quote": text.replace(b"gemm_kernel", b'gemm"kernel', 1),
        "NaN": text.replace(b'"stream": 7', b'"stream": NaN', 1),
        "list": text[text.index(b"[", text.index(b"traceEvents")) : text.rindex(b"]") + 1],
        "null event": text.replace(b'"traceEvents": [', b'"traceEvents": [null, null, '),
        "times as text": text.replace(b'"dur": 100', b'"dur": "100"'),
        "no durations": text.replace(b', "dur": 20', b""),
        "BOM": b"\xef\xbb\xbf" + text,
        "CRLF": text.replace(b", ", b",\r\n"),
        "UTF-16": text.decode().encode("utf-16"),
        "twice": text + text,
        "two members": gzip.compress(text[:middle]) + gzip.compress(text[middle:]),
        "no events": b'{"traceEvents": []}',
        "metadata only": b'{"schemaVersion": 1, "traceEvents": [{"ph": "M", "name": "process_name", "pid": 1}]}',
    }


DAMAGED = _damaged(gpu_trace().text().encode())


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize(
    "output", [[], ["--json", "-"], ["--markdown", "-"]], ids=["tables", "json", "markdown"]
)
def test_damaged_traces_are_shown_with_what_was_lost(call, tmp_path, kind, output):
    path = tmp_path / "damaged.json"
    path.write_bytes(DAMAGED[kind])
    code, out, err = call("analyze", path, *output)
    assert (code, err) == (0, "")
    if output == ["--json", "-"]:
        found = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not standard JSON"))
        kernels = 0 if found["gpu"] is None else found["gpu"]["kernel_count"]
        account = found["account"]
        said = account["truncated"] or account["events_lost"] or account["notes"] or account["ignored_bytes"]
        assert kernels == 4 or said or kind in ("no events", "metadata only")
    elif not output:
        assert "Account of the file" in out
    assert call("diff", path, path)[0] == 0


@pytest.mark.shared_data
@pytest.mark.parametrize("width", ["80", "140"])
def test_traces_of_others(call, monkeypatch, width):
    if not SHARED_TRACES.is_dir():
        pytest.skip(f"no foreign traces at {SHARED_TRACES}")
    truth = {
        entry["file"]: entry for entry in json.loads((SHARED_TRACES / "truth.json").read_text())["traces"]
    }
    monkeypatch.setenv("COLUMNS", width)
    for path in sorted(SHARED_TRACES.glob("*.json.gz")):
        code, out, err = call("analyze", path)
        assert (code, err) == (0, "")
        assert max(len(line) for line in out.splitlines()[1:]) <= int(width), path
        assert out.replace("\n", "").isprintable()
        gpu = json.loads(call("analyze", path, "--json", "-")[1])["gpu"]
        if path.name in truth and truth[path.name]["n_kernels"]:
            assert gpu["kernel_count"] == truth[path.name]["n_kernels"]
            assert gpu["busy_us"] == pytest.approx(truth[path.name]["gpu_busy_us_union"], rel=1e-4)
