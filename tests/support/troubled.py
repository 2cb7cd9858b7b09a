"""A checkpoint on disk whose own code does something terrible in one of its blocks: for tests of what survives it."""

import json
from pathlib import Path

from tests.unit.models import checkpoints

BLOCKS = 4
# Looking at a model for the first time takes two tokens, a prompt more.
_CODE = """
import ctypes, os, signal, time
import torch
from transformers import LlamaForCausalLM

def out_of_memory():
    raise MemoryError("no room")

def cannot_allocate():
    torch.empty(1 << 62, dtype=torch.uint8)

def segfault():
    ctypes.string_at(0)

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def hang():
    while True:
        time.sleep(0.01)

def swallow():
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass

def hang_in_native_code():
    # A lock that is taken twice: no signal ends the wait for it.
    lock = (ctypes.c_char * 64)()
    native = ctypes.CDLL(None)
    native.pthread_mutex_lock(lock)
    native.pthread_mutex_lock(lock)

def fail_under_a_profiler():
    if torch.autograd._profiler_enabled():
        raise RuntimeError("cannot be traced")

def troubled(original, trouble, passes):
    def forward(hidden):
        nonlocal passes
        if hidden.shape[1] > 2:
            passes -= 1
            if passes < 0:
                trouble()
        return original(hidden)
    return forward

class TroubledLlama(LlamaForCausalLM):
    def __init__(self, config):
        super().__init__(config)
        for block, name in config.troubles.items():
            mlp = self.model.layers[int(block)].mlp
            mlp.forward = troubled(mlp.forward, globals()[name], config.trouble_after)
"""


def save(folder: Path, trouble: str | dict[int, str], *, after: int = 0) -> Path:
    """Save a llama of 4 blocks that gets into trouble at a prefill, after so many good ones.

    The trouble is its last block's, or that of each block that is named.
    """
    troubles = {BLOCKS - 1: trouble} if isinstance(trouble, str) else trouble
    model = checkpoints.tiny_llama(num_hidden_layers=BLOCKS)
    model.save_pretrained(folder)
    checkpoints.word_tokenizer().save_pretrained(folder)
    (folder / "troubled.py").write_text(_CODE)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "troubled.TroubledLlama"}
    config |= {"troubles": troubles, "trouble_after": after}
    path.write_text(json.dumps(config))
    return folder
