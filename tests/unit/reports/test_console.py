import io

import pytest
from rich.console import Console

from maskprof.config.schema import Variant
from maskprof.reports.console import print_result
from maskprof.results.schema import Failure
from tests.support.results import (
    explicit_configuration,
    knob_configurations,
    make_configuration,
    make_result,
)

FAILURE = Failure(
    configuration="first-15-of-16",
    stage="measuring",
    error="out of memory: tried to allocate 2.50 GiB on a device with 1.20 GiB free; [try] a smaller --batch_size",
)
WHERE = (
    ("results", "results/transformer_blocks_mask/exp3_transformer_blocks_mask_results.json"),
    (
        "traces",
        "tensorboard --logdir traces/a-folder-with-quite-a-long-name/and-one-below-it-that-is-long-too",
    ),
)
RESULTS = {
    "counts": lambda: make_result(failures=(FAILURE,)),
    "thirty_blocks": lambda: make_result(
        [make_configuration(n, 30) for n in (1, 2, 15, 29, 30)], device=True
    ),
    "explicit": lambda: make_result(
        [explicit_configuration(b) for b in ((0, 1, 2, 3), (6, 7, 8, 9), (0, 5, 10, 15))], vision_ms=0.0
    ),
    "variants": lambda: make_result(
        [
            make_configuration(n, 16, variant)
            for variant in (
                Variant(),
                Variant(skip_mode="splice"),
                Variant(dummy_cache="zeros", mask_on="device"),
            )
            for n in (4, 8, 16)
        ],
        device=True,
    ),
    "eighty_blocks": lambda: make_result(
        [*(explicit_configuration(range(n, n + 4), 80) for n in (0, 1, 50)), make_configuration(80, 80)]
    ),
    "knobs": lambda: make_result(knob_configurations(num_crops=(1, 4), moe_top_k=(2, 4, 8))),
    "two_top_k": lambda: make_result(knob_configurations(moe_top_k=(4, 8)), vision_ms=0.0),
    "text_only_one_token": lambda: make_result(trace=False, vision_ms=0.0, output_tokens=1),
}


class Encoded(io.StringIO):
    def __init__(self, encoding):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self):
        return self._encoding


def rendered(result, width, *, encoding="utf-8", **options):
    file = Encoded(encoding)
    print_result(result, Console(file=file, width=width, **options), where=WHERE)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", RESULTS)
def test_whole_output(golden, name, width):
    text = rendered(RESULTS[name](), width)
    golden(f"console_{name}_{width}.txt", text)


def test_whole_output_in_ascii(golden):
    text = rendered(RESULTS["counts"](), 80, encoding="ascii")
    assert text.isascii()
    golden("console_counts_80_ascii.txt", text)


@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize("name", RESULTS)
def test_no_line_is_too_long_or_cut(name, width):
    lines = rendered(RESULTS[name](), width).splitlines()[: -len(WHERE)]
    assert max(map(len, lines)) <= width
    # Names are shortened on purpose; figures never are.
    assert not any("…" in line for line in lines if "blocks-" not in line)


def test_paths_are_never_broken():
    lines = rendered(make_result(), 40).splitlines()
    assert lines[-1].endswith(WHERE[1][1])
    assert lines[-2].endswith(WHERE[0][1])


def test_a_pipe_gets_no_control_codes():
    assert "\x1b" not in rendered(make_result(), 80)


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[36m" in rendered(make_result(), 80, force_terminal=True, legacy_windows=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[36m" not in rendered(make_result(), 80, force_terminal=True, legacy_windows=False)


def test_square_brackets_are_text():
    assert "[try]" in rendered(RESULTS["counts"](), 140)
