"""What comes from others (checkpoints, settings, journals, links) runs nothing and reaches nothing it should not."""

import ast
import io
import json
import logging
import os
import re
import stat
import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from maskprof import experiment
from maskprof.config.load import load_config
from maskprof.config.schema import DUMMY_CACHES, MASK_PLACES, SKIP_MODES, RunConfig
from maskprof.errors import ConfigError, MaskprofError, ModelError
from maskprof.masks.strategies import STRATEGIES
from maskprof.models.load import load_model
from maskprof.models.remote_code import announce_code
from maskprof.results.configurations import configurations_of
from maskprof.results.store import draft_of, prepare, put_in_place, within, write_whole
from maskprof.sweep import setup
from tests.support import small_runs, troubled
from tests.unit.models import checkpoints

SOURCE = Path(__file__).parents[2] / "src" / "maskprof"
CPU = torch.device("cpu")


class Bomb:
    """Runs something when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def folder(tmp_path):
    """A llama on disk, as safetensors."""
    checkpoints.save_llama(tmp_path / "llama")
    return tmp_path / "llama"


def as_pickle(folder, mark, name="pytorch_model.bin"):
    weights = dict(checkpoints.tiny_llama().state_dict())
    torch.save(weights | {"more": Bomb(mark)}, folder / name)


def load(folder, **changes):
    return load_model(RunConfig(model_path=str(folder), device="cpu", **changes), CPU)


def test_a_pickle_is_not_run(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    as_pickle(folder, tmp_path / "mark")
    with pytest.raises(ModelError) as refused:
        load(folder)
    assert str(refused.value) == (
        "--model_path: 'llama' is a checkpoint that cannot be loaded: its .bin file keeps pickled objects beside the "
        "weights, and they are not loaded since they can run anything; save it as safetensors"
    )
    assert not (tmp_path / "mark").exists()


def test_the_bomb_would_go_off(folder, tmp_path):
    as_pickle(folder, tmp_path / "mark")
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "mark").exists()


def test_plain_weights_in_a_bin_file_are_loaded(folder):
    (folder / "model.safetensors").unlink()
    torch.save(checkpoints.tiny_llama().state_dict(), folder / "pytorch_model.bin")
    assert torch.equal(load(folder).model.lm_head.weight, checkpoints.tiny_llama().lm_head.weight)


def test_safetensors_are_preferred(folder, tmp_path):
    as_pickle(folder, tmp_path / "mark")
    assert load(folder).architecture == "LlamaForCausalLM"
    assert not (tmp_path / "mark").exists()


def test_a_molmo_checkpoint_with_a_pickle(tmp_path):
    from tests.support.molmo_models import tiny_molmo

    tiny_molmo("dense").save_pretrained(tmp_path / "molmo")
    (tmp_path / "molmo" / "model.safetensors").unlink()
    as_pickle(tmp_path / "molmo", tmp_path / "mark")
    with pytest.raises(MaskprofError):
        load(tmp_path / "molmo", image="none")
    assert not (tmp_path / "mark").exists()


def test_nothing_in_the_source_runs_data():
    """No eval, no pickle, no shell; one process is started, our own interpreter."""
    never = {"eval", "exec", "compile", "__import__", "system", "popen", "Unpickler"}
    modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "code", "runpy"}
    found, processes = [], []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                found += [f"{where} {alias.name}" for alias in node.names if alias.name in modules]
            elif isinstance(node, ast.ImportFrom) and node.module in modules:
                found.append(f"{where} {node.module}")
            elif isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                if call in never or call.split(".")[-1] in {"system", "popen", "Unpickler"}:
                    found.append(f"{where} {call}")
                if call == "torch.load" or any(k.arg == "shell" for k in node.keywords):
                    found.append(f"{where} {call}")
                if call.startswith("subprocess."):
                    processes.append(str(path.relative_to(SOURCE)))
    assert found == []
    assert processes.count("sweep/isolated.py") == 1


def test_no_server_listens_to_others():
    everywhere = re.compile(r"0\.0\.0\.0|bind_all|INADDR_ANY")
    found = [
        str(path) for path in SOURCE.rglob("*.py") if everywhere.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_code_of_a_checkpoint_runs_only_on_request(tmp_path):
    model = troubled.save(tmp_path / "model", "hang")
    (model / "troubled.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'mark')!r})\n")
    # The library has a class of its own for this one.
    assert load(model).architecture == "LlamaForCausalLM"
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "troubled.TroubledLlama"}}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="runs only with --trust_remote_code"):
        load(model)
    assert not (tmp_path / "mark").exists()


def test_what_will_run_is_said_before_it_runs(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    model = troubled.save(tmp_path / "model", "hang")
    code = model / "troubled.py"
    code.write_text(f"import os\nos.mkdir({str(tmp_path / 'mark')!r})\nraise ValueError('seen')\n")
    said_before_it_ran = []

    class Handler(logging.Handler):
        def emit(self, record):
            said_before_it_ran.append((record.getMessage(), (tmp_path / "mark").exists()))

    handler = Handler()
    logging.getLogger("maskprof").addHandler(handler)
    try:
        with pytest.raises(MaskprofError):
            load(model, trust_remote_code=True)
    finally:
        logging.getLogger("maskprof").removeHandler(handler)
    sentence = f"--trust_remote_code: model brings code of its own, which runs now: {code}"
    assert said_before_it_ran == [(sentence, False)]
    assert (tmp_path / "mark").exists()


def test_each_place_that_names_code_is_looked_at(tmp_path, caplog):
    maps = {
        "config.json": {"AutoConfig": "configuration_x.X", "AutoModel": "org/other--sub.modeling_x.X"},
        "tokenizer_config.json": {"AutoTokenizer": ["slow.S", None]},
        "processor_config.json": {"AutoProcessor": "processing.P"},
        "preprocessor_config.json": "broken",
    }
    for name, value in maps.items():
        (tmp_path / name).write_text("{" if value == "broken" else json.dumps({"auto_map": value}))
    announce_code("x", str(tmp_path), in_directory=True, options={})
    (sentence,) = caplog.messages
    ours = [str(tmp_path / f"{name}.py") for name in ("configuration_x", "processing", "slow")]
    assert sentence.partition("runs now: ")[2] == ", ".join(
        sorted([*ours, "sub/modeling_x.py of the hub's org/other"])
    )


def test_without_code_nothing_is_said(folder, caplog):
    assert load(folder, trust_remote_code=True).architecture == "LlamaForCausalLM"
    assert caplog.messages == []


def test_a_file_of_settings_cannot_ask_for_code_to_run(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("trust_remote_code = true\n")
    with pytest.raises(ConfigError, match="runs only where the command line asks for it"):
        load_config({}, path)
    path.write_text("trust_remote_code = false\n")
    assert load_config({"trust_remote_code": True}, path).trust_remote_code


@given(
    st.dictionaries(
        st.one_of(st.sampled_from([*RunConfig.__dataclass_fields__]), st.text(max_size=12)),
        st.one_of(
            st.integers(),
            st.text(max_size=20),
            st.booleans(),
            st.floats(),
            st.lists(st.integers(), max_size=3),
        ),
        max_size=4,
    )
)
@hypothesis_settings(deadline=None, max_examples=200)
def test_settings_are_values_or_one_sentence(values):
    try:
        config = load_config(values, None)
    except ConfigError:
        return
    given_names = {name.replace("-", "_") for name in values}
    assert given_names <= set(config.to_dict())


def test_toml_is_read_by_a_parser_that_only_makes_values():
    assert load_config.__globals__["tomllib"] is tomllib


NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@given(
    counts=st.lists(st.integers(1, 40), max_size=3),
    blocks=st.lists(st.lists(st.integers(0, 39), min_size=1, unique=True), max_size=2),
    strategy=st.sampled_from(sorted(STRATEGIES)),
    modes=st.lists(st.sampled_from(SKIP_MODES), min_size=1, unique=True),
    caches=st.lists(st.sampled_from(DUMMY_CACHES), min_size=1, unique=True),
    places=st.lists(st.sampled_from(MASK_PLACES), min_size=1, unique=True),
    tokens=st.lists(st.integers(1, 10**9), min_size=1, max_size=3),
)
@hypothesis_settings(deadline=None, max_examples=100)
def test_configurations_have_names_that_are_plain_file_names(  # noqa: PLR0917 - as many as there are settings
    counts, blocks, strategy, modes, caches, places, tokens
):
    config = RunConfig(
        num_active_blocks=tuple(counts),
        active_block_indices=tuple(map(tuple, blocks)),
        strategy=strategy,
        skip_mode=tuple(modes),
        dummy_cache=tuple(caches),
        mask_on=tuple(places),
        max_new_tokens=tuple(tokens),
    )
    try:
        configurations = configurations_of(config, 40)
    except MaskprofError:
        return
    for configuration in configurations:
        assert NAMES.fullmatch(configuration.name)
        assert len(configuration.name) <= 255


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/a", "a\\b", "a\0b"])
def test_what_is_no_name_stays_out(tmp_path, name):
    with pytest.raises(ConfigError, match="is no name for something in"):
        within(tmp_path, name)
    with pytest.raises(ConfigError, match="is no name for something in"):
        within(tmp_path, "fine", name)


def test_links_that_lead_out_are_refused_and_others_are_not(tmp_path):
    base = tmp_path / "base"
    (base / "inside").mkdir(parents=True)
    (base / "link").symlink_to(base / "inside")
    (base / "out").symlink_to(tmp_path)
    (base / "loop").symlink_to(base / "loop")
    assert within(base, "link", "file") == base / "link" / "file"
    for name in ("out", "loop"):
        with pytest.raises(ConfigError, match="is a link that leads out of"):
            within(base, name, "file")
    (tmp_path / "base2").symlink_to(base)
    assert within(tmp_path / "base2", "inside") == tmp_path / "base2" / "inside"


def test_a_traces_folder_that_is_a_link_elsewhere_is_neither_filled_nor_emptied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(setup, "load_model", lambda config, device: small_runs.loaded_llama())
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "mine.pt.trace.json.gz").write_text("mine")
    (tmp_path / "traces" / "out").mkdir(parents=True)
    (tmp_path / "traces" / "out" / "first-02-of-04").symlink_to(precious)
    with pytest.raises(ConfigError, match="first-02-of-04 is a link that leads out of traces/out: remove it"):
        experiment.run(small_runs.settings(trace=True), small_runs.Display())
    assert [path.name for path in precious.iterdir()] == ["mine.pt.trace.json.gz"]


def test_a_journal_cannot_make_a_run_read_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(setup, "load_model", lambda config, device: small_runs.loaded_llama())
    experiment.run(small_runs.settings(trace=True), small_runs.Display())
    line = {"trace": {"configuration": "first-02-of-04", "file": "../../../secret.json.gz"}}
    with Path("out/journal.jsonl").open("a") as journal:
        journal.write(json.dumps(line) + "\n")
    with pytest.raises(ConfigError, match="is no name for something in"):
        experiment.run(small_runs.settings(trace=True, resume=True), small_runs.Display())


def test_a_link_in_a_results_place_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / "result.json").symlink_to(target)
    write_whole(tmp_path / "result.json", "ours")
    assert target.read_text() == "mine"
    assert not (tmp_path / "result.json").is_symlink()


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "deep/" + "y" * 300])
def test_a_folder_that_cannot_be_is_one_sentence(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be"):
        prepare(tmp_path / name)


def test_drafts_are_private_and_have_names_that_nobody_can_guess(tmp_path):
    before = os.umask(0o000)
    try:
        names = set()
        for _ in range(5):
            with draft_of(tmp_path / "file.json") as draft:
                assert stat.S_IMODE(draft.stat().st_mode) == 0o600
                names.add(draft.name)
        assert len(names) == 5
        os.umask(0o027)
        with draft_of(tmp_path / "file.json") as draft:
            draft.write_text("done")
            put_in_place(draft, tmp_path / "file.json")
        assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == 0o640
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_results_and_traces_are_read_as_values(tmp_path):
    from maskprof import TraceError, read_trace
    from maskprof.errors import ResultError
    from maskprof.results.journal import read_journal
    from maskprof.results.serialize import load_result

    code = f"__import__('os').mkdir({str(tmp_path / 'mark')!r})"
    for text in (code, json.dumps({"schema_version": code, "all_samples": code})):
        with pytest.raises(ResultError):
            load_result(text, "here")
        (tmp_path / "x").write_text(text + "\n{}\n")
        with pytest.raises(ResultError):
            read_journal(tmp_path / "x")
        with pytest.raises(TraceError):
            read_trace(tmp_path / "x")
    buffer = io.BytesIO()
    torch.save(Bomb(tmp_path / "mark"), buffer)
    (tmp_path / "x").write_bytes(buffer.getvalue())
    with pytest.raises(TraceError):
        read_trace(tmp_path / "x")
    assert not (tmp_path / "mark").exists()
