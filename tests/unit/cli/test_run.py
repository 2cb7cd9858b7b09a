"""What `maskprof run` says of an interruption, by how far it was."""

from dataclasses import replace

import pytest

from maskprof.cli import run
from maskprof.config.schema import RunConfig
from maskprof.experiment import Outcome
from maskprof.results.schema import Failure
from tests.support.results import make_result

BEGUN = "interrupted after the measuring was done and everything saved in my out"
REPORT = "maskprof report 'my out' shows it"
RESUME = "the same command with --resume goes on from there"
NOTHING = " and measures nothing again"


@pytest.mark.parametrize(
    ("trace", "shown", "written", "ending"),
    [
        (
            True,
            False,
            False,
            f": only the tables and TensorBoard's files are missing; {REPORT}, or {RESUME}{NOTHING}",
        ),
        (False, False, False, f": only the tables are missing; {REPORT}, or {RESUME}{NOTHING}"),
        (True, True, False, f": only TensorBoard's files are missing; {RESUME}{NOTHING}"),
        (False, True, False, "; nothing is missing"),
        (True, True, True, "; nothing is missing"),
    ],
)
def test_after_saving_it_names_what_is_missing(trace, shown, written, ending):
    config = RunConfig(output_dir="my out", trace=trace)
    saved = Outcome(result=replace(make_result(), failures=()), interrupted=False)
    progress = run._Progress(saved=saved, shown=shown, written=written)
    assert run._interrupted(config, progress) == BEGUN + ending


def test_what_failed_is_tried_again_and_nothing_else_is_promised():
    failure = Failure(configuration="first-04-of-16", stage="trace", error="ValueError: no")
    saved = Outcome(result=replace(make_result(), failures=(failure,)), interrupted=False)
    sentence = run._interrupted(RunConfig(output_dir="my out"), run._Progress(saved=saved))
    assert sentence.endswith(RESUME)


def test_before_a_sample_there_is_nothing_to_keep(tmp_path):
    sentence = run._interrupted(RunConfig(output_dir=str(tmp_path)), run._Progress())
    assert "nothing was measured yet, there is nothing to keep" in sentence
