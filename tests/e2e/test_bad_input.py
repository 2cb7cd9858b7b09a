"""Bad input: one sentence on stderr that names what is wrong, exit code 2, nothing measured."""

import json

import pytest
import torch

from tests.e2e.command import maskprof

pytestmark = pytest.mark.e2e

# Stages that may be announced before the input turns out to be wrong.
STAGES = {"loading the model"}


def refused(said):
    """The one sentence."""
    assert said.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    sentences = [line for line in said.err.splitlines() if line not in STAGES]
    assert len(sentences) == 1, said.err
    (sentence,) = sentences
    assert sentence.startswith("maskprof: ")
    return sentence.removeprefix("maskprof: ")


def nothing_measured(folder):
    return not [path for path in folder.rglob("*") if path.name in ("journal.jsonl", "attribution.json")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model_path", "./nowhere"], "--model_path: './nowhere' does not exist"),
        (["--num_samples", "0"], "--num_samples: needs a whole number of at least 1, got 0"),
        (
            ["--num_active_blocks", "0", "4"],
            "--num_active_blocks: needs a whole number of at least 1, got 0",
        ),
        (["--active_block_indices", "0", "2", "2"], "--active_block_indices: block 2 is given twice"),
        (
            ["--strategy", "best"],
            "--strategy: 'best' is not one of first, last, middle, uniform, random",
        ),
        (
            ["--skip_mode", "mask", "jump"],
            "--skip_mode: 'jump' is not one of mask, splice, remove, early_exit",
        ),
        (["--config", "nowhere.toml"], "--config: there is no file nowhere.toml"),
    ],
)
def test_a_wrong_value_is_refused_in_a_process_of_its_own(tmp_path, words, sentence):
    assert refused(maskprof("run", *words, cwd=tmp_path)) == sentence
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_flag_names_the_closest(tmp_path):
    said = maskprof("run", "--num_active_block", 4, cwd=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "maskprof run: error: unknown argument --num_active_block; did you mean --num_active_blocks?",
        "maskprof run --help lists what there is",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("num_samples = \n", "run.toml is not valid TOML: "),
        ("num_sample = 3\n", "run.toml: 'num_sample' is not a setting; did you mean num_samples?"),
        ('num_samples = "3"\n', "run.toml: num_samples: "),
        ("num_samples = 0\n", "run.toml: --num_samples: needs a whole number of at least 1, got 0"),
    ],
)
def test_a_broken_file_of_settings(call, tmp_path, text, part):
    (tmp_path / "run.toml").write_text(text)
    assert part in refused(call("run", "--config", "run.toml"))
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("model.gguf", b"GGML and more", "is not a GGUF file: it begins with b'GGML'"),
        ("model.gguf", b"GGUF" + bytes(range(60)), "is a GGUF file that cannot be loaded: "),
        ("model.gguf", b"GGUF", "is a GGUF file that cannot be loaded: "),
        ("notes.txt", b"GGUF", "is no model: give a directory with config.json or a .gguf file"),
    ],
)
def test_a_file_that_is_no_model(call, tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    sentence = refused(call("run", "--model_path", name))
    assert sentence.startswith(f"--model_path: {name!r} {part}")
    assert nothing_measured(tmp_path)


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({}, "has no config.json, so it is no Hugging Face checkpoint"),
        ({"config.json": "{"}, "is not valid JSON"),
        ({"config.json": json.dumps({"model_type": "llama"})}, "has a config.json but no weights"),
        (
            {"config.json": json.dumps({"model_type": "clip"}), "model.safetensors": ""},
            "'clip' is neither a causal language model nor an image-text-to-text one",
        ),
        (
            {"config.json": json.dumps({"model_type": "llama"}), "model.safetensors": "broken"},
            "is a checkpoint that cannot be loaded: ",
        ),
    ],
)
def test_a_directory_that_is_no_model(call, tmp_path, files, part):
    (tmp_path / "model").mkdir()
    for name, text in files.items():
        (tmp_path / "model" / name).write_text(text)
    assert part in refused(call("run", "--model_path", "model"))
    assert nothing_measured(tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--num_active_blocks", "2", "5"],
            "--num_active_blocks: the model has 4 blocks, 5 cannot be active",
        ),
        (["--active_block_indices", "0", "4"], "block 4 does not exist"),
        (
            ["--skip_mode", "early_exit", "--active_block_indices", "0", "2"],
            "--skip_mode early_exit keeps the first blocks only: choose counts with --strategy first",
        ),
        (
            ["--image", "blue.png"],
            "--image: tiny-llama is a text model (LlamaForCausalLM) and takes no image",
        ),
        (["--prompt", "  "], "--prompt: '  ' gives no tokens; give at least a word"),
        (["--prompt_tokens", "120"], "exceed the 128 positions of tiny-llama"),
        (["--attn_implementation", "magic"], "--attn_implementation: 'magic' cannot be used"),
    ],
)
def test_what_does_not_fit_the_model(call, llama, tmp_path, words, sentence):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "blue.png")
    assert sentence in refused(call("run", "--model_path", llama, *words))
    assert nothing_measured(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nowhere.png", "does not exist"),
        ("broken.png", "is no picture that can be read: "),
        ("folder.png", "is no picture that can be read: "),
    ],
)
def test_a_picture_that_cannot_be_read_is_found_before_the_model_is_loaded(call, tmp_path, name, part):
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    (tmp_path / "folder.png").mkdir()
    said = call("run", "--image", name)
    assert refused(said).startswith(f"--image: {name!r} {part}")
    assert "loading the model" not in said.err
    assert nothing_measured(tmp_path)


@pytest.mark.parametrize("device", ["tpu", "cuda:one", "cuda:-1"])
def test_an_unknown_device(call, tmp_path, device):
    said = call("run", "--device", device)
    assert refused(said) == f"--device: {device!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, ..."
    assert "loading the model" not in said.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_gpu_where_there_is_none(call, device):
    said = call("run", "--device", device)
    assert refused(said).startswith(f"--device: {device!r} is not available: ")
    assert "loading the model" not in said.err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_beyond_the_last(call):
    said = call("run", "--device", "cuda:99")
    assert refused(said).startswith("--device: 'cuda:99' does not exist: ")


@pytest.mark.parametrize("flag", ["--output_dir", "--trace_dir"])
def test_a_folder_behind_links_in_a_circle(call, tmp_path, flag):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    said = call("run", flag, "circle/here")
    told = "circle/here cannot be written to: Too many levels of symbolic links; choose another folder"
    assert refused(said) == told
    assert nothing_measured(tmp_path)


@pytest.mark.parametrize("flag", ["--output_dir", "--trace_dir"])
def test_a_folder_that_cannot_be_made_is_found_before_the_model_is_loaded(call, tmp_path, flag):
    # A file in its way: permissions would not stop root.
    (tmp_path / "taken").write_text("mine")
    said = call("run", flag, "taken/here")
    assert refused(said) == "taken/here cannot be written to: Not a directory; choose another folder"
    assert "loading the model" not in said.err
    assert (tmp_path / "taken").read_text() == "mine"
    assert nothing_measured(tmp_path)
