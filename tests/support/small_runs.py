"""A run of a fraction of a second in this process, on a tiny llama of 4 blocks that needs no loading."""

from collections import Counter

from maskprof.config.schema import RunConfig
from maskprof.models.load import LoadedModel
from tests.unit.models.checkpoints import tiny_llama

BLOCKS = 4


class Display:
    """Says nothing, and remembers stages and samples; `at(what)` is called with each."""

    def __init__(self, at=lambda _what: None):
        self.stages, self.samples, self.at = [], [], at

    def stage(self, text):
        self.stages.append(text)
        self.at(text)

    def start(self, total_samples, configurations):
        self.expected = total_samples, configurations

    def advance(self, configuration_name, stage):
        self.samples.append(configuration_name)
        self.at(len(self.samples))


def loaded_llama(**changes):
    model = tiny_llama(num_hidden_layers=BLOCKS).requires_grad_(requires_grad=False)
    facts = {
        **{"model": model, "tokenizer": None, "processor": None, "name": "tiny", "source": "directory"},
        **{"architecture": "LlamaForCausalLM", "dtype": "float32", "has_vision": False},
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    return LoadedModel(**(facts | changes))


def settings(**changes):
    brief = {"num_samples": 2, "closure_samples": 1, "num_warmup": 0, "max_new_tokens": (2,), "trace": False}
    return RunConfig(
        **(brief | {"device": "cpu", "output_dir": "out", "num_active_blocks": (2, 4)} | changes)
    )


EVERY_SAMPLE = {(f"first-0{count}-of-04", False, i): 1 for count in (2, 4) for i in range(2)}
EVERY_SAMPLE |= {("first-02-of-04", True, 0): 1}


def ids(samples):
    """How often each sample is there."""
    return Counter((s.configuration, s.reference, s.sample_id) for s in samples)
