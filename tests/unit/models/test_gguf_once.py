import gguf
import pytest
import torch

from maskprof.config.schema import RunConfig
from maskprof.models.gguf_once import read_once
from maskprof.models.load import load_model
from tests.unit.models.checkpoints import write_gguf


def test_a_file_is_read_once_while_it_is_loaded(tmp_path, monkeypatch):
    model, made = write_gguf(tmp_path / "tiny.gguf"), []

    class Counted(gguf.GGUFReader):
        def __init__(self, path, *words):
            made.append(str(path))
            super().__init__(path, *words)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    path = str(tmp_path / "tiny.gguf")
    loaded = load_model(RunConfig(model_path=path, device="cpu"), torch.device("cpu"))
    assert made == [path]
    assert gguf.GGUFReader is Counted
    for name, weight in model.named_parameters():
        assert torch.equal(loaded.model.get_parameter(name), weight), name


def test_the_package_is_as_it_was_after_an_error():
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with pytest.raises(FileNotFoundError), read_once():
        assert gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2) is gguf.get_tensor_name_map(
            gguf.MODEL_ARCH.LLAMA, 2
        )
        gguf.GGUFReader("absent.gguf")
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def test_what_cannot_be_a_key_is_asked_for_as_before(monkeypatch):
    monkeypatch.setattr(gguf, "get_tensor_name_map", lambda *words: list(words))
    with read_once():
        assert gguf.get_tensor_name_map([1], 2) == [[1], 2]
