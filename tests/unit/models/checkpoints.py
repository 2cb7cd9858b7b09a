"""Tiny random checkpoints on disk, made by the tests that load them."""

import json

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

SPECIAL = ("<unk>", "<s>", "</s>", "<image>")
WORDS = (
    *(
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "lazy",
        "dog",
        ".",
        "Describe",
        "this",
        "image",
        "The",
    ),
    *("User", ":", "Assistant", "a", "b", "c"),
)
IMAGE_ID = SPECIAL.index("<image>")
TEMPLATE = (
    "{% for message in messages %}User: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} Assistant:{% endif %}"
)
TEXT_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 128,
}
VISION_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}


def word_tokenizer(marks=None):
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        extra_special_tokens=marks or {"image_token": "<image>"},
    )


def tiny_llama(**changes):
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(**{**TEXT_SHAPE, **changes})).eval()


def save_llama(folder, *, tokenizer=True):
    model = tiny_llama()
    model.save_pretrained(folder)
    if tokenizer:
        word_tokenizer().save_pretrained(folder)
    return model


def save_gpt2(folder):
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64, n_positions=32)).eval()
    model.save_pretrained(folder)
    return model


def tiny_llava():
    torch.manual_seed(1)
    config = LlavaConfig(
        text_config=LlamaConfig(**TEXT_SHAPE),
        vision_config=CLIPVisionConfig(**VISION_SHAPE),
        image_token_id=IMAGE_ID,
    )
    return LlavaForConditionalGeneration(config).eval()


def save_llava(folder, *, processor=True, template=TEMPLATE):
    model = tiny_llava()
    model.save_pretrained(folder)
    if processor:
        side = {"height": VISION_SHAPE["image_size"], "width": VISION_SHAPE["image_size"]}
        # Not CLIPImageProcessor: without torchvision that name is a dummy in some releases.
        pictures = transformers.AutoImageProcessor.from_pretrained(_picture_settings(folder, side))
        LlavaProcessor(
            image_processor=pictures,
            tokenizer=word_tokenizer(),
            patch_size=VISION_SHAPE["patch_size"],
            vision_feature_select_strategy="default",
            chat_template=template,
            num_additional_image_tokens=1,
        ).save_pretrained(folder)
    else:
        word_tokenizer().save_pretrained(folder)
    return model


def save_gemma3(folder):
    torch.manual_seed(1)
    marks = {"image_token": "<image>", "boi_token": "a", "eoi_token": "b"}
    tokenizer = word_tokenizer(marks)
    image, start, end = tokenizer.convert_tokens_to_ids(list(marks.values()))
    config = Gemma3Config(
        text_config={**TEXT_SHAPE, "head_dim": 8},
        vision_config={**VISION_SHAPE, "image_size": 56},
        mm_tokens_per_image=4,
        image_token_id=image,
        boi_token_id=start,
        eoi_token_id=end,
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(folder)
    pictures = transformers.Gemma3ImageProcessor(size={"height": 56, "width": 56})
    Gemma3Processor(pictures, tokenizer, image_seq_length=4).save_pretrained(folder)


def _picture_settings(folder, side):
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side["height"]},
        "crop_size": side,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def write_gguf(path):
    """A llama with a byte-pair tokenizer as a GGUF file; returns the same model in torch."""
    model = tiny_llama()
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(config.vocab_size)
    tokens = [chr(ord("!") + i) for i in range(config.vocab_size - 1)] + ["#$"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(["# $"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    writer.add_tensor("output.weight", weights["lm_head.weight"])
    for block in range(config.num_hidden_layers):
        for theirs, ours in _GGUF_NAMES.items():
            value = weights[f"model.layers.{block}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if theirs == "attn_q" else config.num_key_value_heads
                value = _interleaved(value, heads)
            writer.add_tensor(f"blk.{block}.{theirs}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


_GGUF_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _interleaved(weight, heads):
    """GGUF's llama rotates neighbouring pairs, transformers' the two halves of a head."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))
