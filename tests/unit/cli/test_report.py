import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from maskprof.cli.main import main
from maskprof.cli.report import run_names, trace_paths
from maskprof.results.store import ResultStore
from tests.support.html import ReadPage
from tests.support.results import make_configuration, make_result
from tests.support.traces import TraceBuilder

FIRST = "first-04-of-16"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run in `results/mine`, with one of its four traces in `traces/mine`, and the directory it was made in."""
    monkeypatch.chdir(tmp_path)
    return save("results/mine")


def save(name, result=None):
    result = result or make_result()
    traces = Path("traces") / Path(name).name
    moved = tuple(replace(item, trace=str(traces / item.trace)) for item in result.attribution)
    store = ResultStore(Path(name))
    store.prepare()
    store.save(replace(result, attribution=moved))
    (traces / FIRST).mkdir(parents=True)
    gpu_trace().write(traces / FIRST / "worker.1.pt.trace.json.gz")
    return Path(name)


def gpu_trace():
    builder = TraceBuilder(deviceProperties=[{"id": 0, "name": "NVIDIA H100"}])
    return builder.op("aten::mm", 0, 10).launch(2, 1).kernel("sm90_xmma_gemm_bf16", 20, 30, 1)


def links(path):
    return {
        a["href"]: None
        for a in ReadPage(path.read_text(encoding="utf-8")).of("a")
        if not a["href"].startswith("#")
    }


def test_the_page_is_beside_the_result(folder, capsys):
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr() == ("Report  results/mine/report.html\n", "")
    page = ReadPage((folder / "report.html").read_text(encoding="utf-8"))
    assert "demo" in page.lines


def test_links_are_relative_to_the_page(folder):
    main(["report", str(folder)])
    assert set(links(folder / "report.html")) == {
        "exp3_transformer_blocks_mask_results.json",
        "attribution.json",
        "attribution.csv",
        f"../../traces/mine/{FIRST}/worker.1.pt.trace.json.gz",
    }
    lines = ReadPage((folder / "report.html").read_text(encoding="utf-8")).lines
    assert "Trace of first-08-of-16 is no longer where it was recorded" in lines
    main(["report", str(folder), "--html", "elsewhere/deep/a.html"])
    found = list(links(Path("elsewhere/deep/a.html")))
    assert "../../results/mine/exp3_transformer_blocks_mask_results.json" in found
    assert all((Path("elsewhere/deep") / href).is_file() for href in found)


def test_names_of_folders_are_escaped_in_links(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = save('results/a "b" #1?')
    main(["report", str(folder), "--html", "page.html"])
    name = "a%20%22b%22%20%231%3F"
    assert f"results/{name}/exp3_transformer_blocks_mask_results.json" in links(Path("page.html"))
    assert f"traces/{name}/{FIRST}/worker.1.pt.trace.json.gz" in links(Path("page.html"))


def test_traces_that_moved_with_the_result_are_found(folder, tmp_path, monkeypatch):
    Path("archive").mkdir()
    Path("results").rename("archive/results")
    Path("traces").rename("archive/traces")
    moved = Path("archive/results/mine")
    found = trace_paths(moved, ResultStore(moved).load())
    assert found[FIRST].samefile(f"archive/traces/mine/{FIRST}/worker.1.pt.trace.json.gz")
    assert found["first-08-of-16"] is None


def test_traces_of_a_gpu_are_analyzed(folder, capsys):
    result = make_result(device=True)
    save("results/gpu", result)
    main(["report", "results/gpu"])
    lines = ReadPage(Path("results/gpu/report.html").read_text(encoding="utf-8")).lines
    assert "On the GPU" in lines
    assert any(line.startswith("Device time by category of kernel") for line in lines)
    main(["report", str(folder)])
    assert "On the GPU" not in ReadPage((folder / "report.html").read_text(encoding="utf-8")).lines


def test_a_trace_that_cannot_be_read_costs_its_own_part_only(folder, capsys):
    save("results/gpu", make_result(device=True))
    Path(f"traces/gpu/{FIRST}/worker.1.pt.trace.json.gz").write_bytes(b"no trace")
    assert main(["report", "results/gpu"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith(f"maskprof: traces/gpu/{FIRST}/worker.1.pt.trace.json.gz is left out: ")
    assert said.err.count("\n") == 1


def test_several_runs(folder, capsys):
    other = save("results/other", make_result([make_configuration(8), make_configuration(16)]))
    assert main(["report", str(folder), str(other)]) == 0
    lines = ReadPage((folder / "report.html").read_text(encoding="utf-8")).lines
    assert "2 runs compared" in lines
    assert {"mine", "other"} <= set(lines)


def test_plots_as_files(folder, capsys):
    assert main(["report", str(folder), "--svg", "plots", "--png", "pictures"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "SVG     plots/  (12 plots)",
        "PNG     pictures/  (12 plots)",
    ]
    assert Path("plots/latency-prefill.svg").read_text(encoding="utf-8").startswith("<svg xmlns")
    assert Path("pictures/latency-prefill.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "nowhere holds no result: there is no exp3_transformer_blocks_mask_results.json in it"),
        (["results/mine", "nowhere"], "nowhere holds no result"),
        (
            ["results/mine", "--html", "results"],
            "--html results is a folder: name a file, such as results/report.html",
        ),
        (["results/mine", "--html", "a-file/page.html"], "a-file cannot be written to"),
        (["results/mine", "--png", "a-file"], "a-file cannot be written to"),
        (["damaged"], "damaged/exp3_transformer_blocks_mask_results.json is not valid JSON"),
        ([], "the following arguments are required: OUTPUT_DIR"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, words, sentence):
    Path("a-file").write_text("")
    Path("damaged").mkdir()
    Path("damaged/exp3_transformer_blocks_mask_results.json").write_text("{")
    assert main(["report", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["a/x"], ["x"]),
        (["a/x", "a/y"], ["x", "y"]),
        (["a/x", "b/x"], ["a/x", "b/x"]),
        (["a/b/x", "b/b/x", "c/y"], ["a/b/x", "b/b/x", None]),
        (["a/x", "a/x"], ["x (1)", "x (2)"]),
    ],
)
def test_runs_are_called_by_what_tells_them_apart(folders, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_names([Path(folder) for folder in folders])
    assert all(name is None or name == given for name, given in zip(names, found, strict=True))
    assert len(set(found)) == len(found)


def test_tables_for_other_programs(folder, capsys):
    other = save("results/other", make_result([make_configuration(8), make_configuration(16)]))
    words = ["report", str(folder), str(other), "--json", "r.json", "--csv", "tables", "--markdown", "r.md"]
    assert main(words) == 0
    assert capsys.readouterr() == ("Report  results/mine/report.html\n", "")
    entries = json.loads(Path("r.json").read_text())
    assert [entry["run"] for entry in entries] == ["mine", "other"]
    assert [row["num_active_blocks"] for row in entries[1]["summary"]] == [8, 16]
    with Path("tables/summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["num_active_blocks"]) for row in rows][-2:] == [("other", "8"), ("other", "16")]
    assert [float(row["prefill_p50_ms"]) for row in rows] == [
        row["prefill_p50_ms"] for entry in entries for row in entry["summary"]
    ]
    page = Path("r.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("# ")] == ["# mine", "# other"]
    assert "| first-08-of-16 | 8 |" in page


@pytest.mark.parametrize("flag", ["--json", "--markdown"])
def test_a_table_alone_on_stdout(folder, capsys, flag):
    assert main(["report", str(folder), flag]) == 0
    out, err = capsys.readouterr()
    assert err == "Report  results/mine/report.html\n"
    assert out.startswith("[\n" if flag == "--json" else "# mine\n")
