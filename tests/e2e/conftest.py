"""What the end-to-end tests share: tiny checkpoints on disk, and the command without a process of its own."""

import logging

import pytest

from tests.e2e.command import Finished
from tests.unit.models import checkpoints


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """A Hugging Face directory of a llama of 4 blocks, with its own tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny-llama"
    checkpoints.tiny_llama(num_hidden_layers=4).save_pretrained(folder)
    checkpoints.word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    """A Hugging Face directory of a GPT-2 of 2 blocks, without a tokenizer."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny-gpt2"
    checkpoints.save_gpt2(folder)
    return folder


@pytest.fixture(scope="session")
def llava(tmp_path_factory):
    """A Hugging Face directory of a vision-language model of 2 blocks, with its processor."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny-llava"
    folder.mkdir()
    checkpoints.save_llava(folder)
    return folder


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """`call(*words)` is the command in this process and in `tmp_path`: no seconds of importing torch each time."""
    import torch

    from maskprof.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    logger, threads = logging.getLogger("maskprof"), torch.get_num_threads()
    before = logger.level, list(logger.handlers)
    torch.set_num_threads(1)

    def called(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Finished(code, *capsys.readouterr())

    yield called
    torch.set_num_threads(threads)
    logger.setLevel(before[0])
    logger.handlers[:] = before[1]
