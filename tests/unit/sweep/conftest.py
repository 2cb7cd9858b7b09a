"""What tests of whole runs share: a folder of their own, one thread, and a model that is there at once."""

import pytest
import torch

from maskprof.sweep import setup
from tests.support import small_runs


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model(monkeypatch):
    """The tiny model that every run in this test loads."""
    loaded = small_runs.loaded_llama()
    monkeypatch.setattr(setup, "load_model", lambda config, device: loaded)
    return loaded.model
