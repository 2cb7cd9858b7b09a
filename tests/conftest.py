"""What tests share: golden files, and the folder of foreign data that not every checkout has."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# For mutation testing: few examples, always the same, in a process that runs the tests again and again.
settings.register_profile(
    "mutants",
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors],
)

_GOLDEN = Path(__file__).parent / "golden"
_MODEL_CACHE = Path(__file__).parents[1] / ".cache" / "smollm2"
_SHARED_DATA = Path(__file__).parents[1].parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew instead of comparing"
    )


def pytest_configure() -> None:
    # A shell starts jobs in the background with SIGINT ignored, and the commands under test would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` compares a text with tests/golden/<name>; spaces at the ends of lines do not count."""

    def check(name: str, text: str) -> None:
        path = _GOLDEN / name
        bare = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        if request.config.getoption("--update-golden"):
            path.write_text(bare, encoding="utf-8")
        assert path.is_file(), f"{path} is missing: run pytest --update-golden, then look at it"
        assert bare == path.read_text(encoding="utf-8")

    return check


@pytest.fixture
def shared_data() -> Path:
    """The folder of foreign traces and checkpoints beside the checkout; a test that needs it skips without."""
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"needs the foreign traces and checkpoints in {_SHARED_DATA}")
    return _SHARED_DATA


@pytest.fixture
def smollm2() -> Path:
    """A real pretrained model as one GGUF file, fetched by `make fetch-model`; a test that needs it skips without."""
    found = os.environ.get("MASKPROF_SMOLLM2_GGUF")
    candidates = [Path(found)] if found else sorted(_MODEL_CACHE.glob("*.gguf"))
    if not candidates or not candidates[0].is_file():
        pytest.skip("needs SmolLM2-135M: run `make fetch-model`")
    return candidates[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
