import re

from maskprof.analysis.ranks import compare_ranks
from maskprof.analysis.trace_diff import diff
from maskprof.reports.trace_markdown import diff_to_markdown, traces_to_markdown
from tests.support.trace_summaries import gpu_summary, ranks_of_job, strange_summary


def test_whole_page(golden):
    golden("analyze_gpu.md", traces_to_markdown([gpu_summary(2, 3)], None, top=10))


def test_whole_difference(golden):
    found = diff(gpu_summary(3, 3, path="a.json"), gpu_summary(2, 3, path="b.json"))
    golden("diff.md", diff_to_markdown(found, top=10))


def test_several_traces_begin_with_their_ranks():
    found = ranks_of_job(2, late=1)
    text = traces_to_markdown(found, compare_ranks(found), top=1)
    assert text.startswith("**Ranks: 2 traces**")
    assert re.findall("^# .*", text, re.MULTILINE) == ["# job/rank0.json.gz", "# job/rank1.json.gz"]


def test_names_are_data():
    text = traces_to_markdown([strange_summary()], None, top=10)
    fenced = re.search("```text\n.*?\n```", text, re.DOTALL)
    assert fenced is not None
    rest = text.replace(fenced[0], "")
    assert rest.replace("\n", "").isprintable()
    assert "<" not in rest
    # Each mark that Markdown knows has a backslash before it, except those of the page itself.
    body = re.sub(r"^(#+ |\*\*|\| )|\*\*$| \|$|(?<!\\) \| |:?-+:", "", rest, flags=re.MULTILINE)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*\[\]|]", body)
    rows = [line for line in rest.splitlines() if line.startswith("|")]
    heads = [place for place, line in enumerate(rows) if re.fullmatch(r"\|[ :|-]+\|", line)]
    for head, following in zip(heads, [*heads[1:], len(rows) + 1], strict=True):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in rows[head - 1 : following - 1]}
        assert len(cells) == 1
