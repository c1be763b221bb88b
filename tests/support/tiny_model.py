"""Write a language model of random numbers, small enough to make on the spot: `python tiny_model.py PATH`.

It speaks noise, so a server with it says what a grammar leaves it to say. The tokens are all bytes and a few letters.
"""

from __future__ import annotations

import sys

import gguf
import numpy

WIDTH, HEADS, BLOCKS, FEED_FORWARD, CONTEXT = 32, 4, 2, 64, 512
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
CONTROLS = ("<unk>", "<s>", "</s>")
LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-'"


def write(path):
    writer = gguf.GGUFWriter(path, "llama")
    describe(writer)
    tokens = add_tokens(writer)
    add_tensors(writer, tokens)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def describe(writer):
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_chat_template(TEMPLATE)


def add_tokens(writer):
    tokens = [(name, gguf.TokenType.CONTROL) for name in CONTROLS]
    tokens += [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    tokens += [(letter, gguf.TokenType.NORMAL) for letter in LETTERS]
    # Sizes that are no multiple of 32 are slower or refused.
    tokens += [(f"<pad{number}>", gguf.TokenType.UNUSED) for number in range(-len(tokens) % 32)]
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([name for name, _ in tokens])
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return len(tokens)


def add_tensors(writer, tokens):
    random = numpy.random.default_rng(0)

    def noise(name, *shape):
        writer.add_tensor(name, (random.standard_normal(shape) * 0.3).astype(numpy.float32))

    def ones(name):
        writer.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    noise("token_embd.weight", tokens, WIDTH)
    ones("output_norm.weight")
    noise("output.weight", tokens, WIDTH)
    for block in (f"blk.{number}" for number in range(BLOCKS)):
        ones(f"{block}.attn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            noise(f"{block}.{part}.weight", WIDTH, WIDTH)
        ones(f"{block}.ffn_norm.weight")
        noise(f"{block}.ffn_gate.weight", FEED_FORWARD, WIDTH)
        noise(f"{block}.ffn_up.weight", FEED_FORWARD, WIDTH)
        noise(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD)


if __name__ == "__main__":
    write(sys.argv[1])
