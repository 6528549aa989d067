#!/usr/bin/env python3
"""Writes a very small llama model with random weights: nothing is downloaded, nothing was trained.

It babbles, but a server treats it like any model: tokenizer, chat template, cache, window. Random weights give
broken UTF-8 and characters of several tokens, which is what a metering proxy should be tried with.

usage: make_tiny_gguf.py FILE [SEED]      needs: gguf, numpy
"""

import pathlib
import sys

import gguf
import numpy

WIDTH = 64
HEADS = 4
FEED_FORWARD = 160
LAYERS = 2
WINDOW = 2048
TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>: {{ message['content'] }}\n{% endfor %}<assistant>: "
SPACE = "\u2581"
WORDS = "a and are as at be by count for from has in is it node not of on one or proof receipt sign that the to was with"


def vocabulary():
    """Pieces with score and type: three marks, all bytes, printable ASCII, some words."""
    kind = gguf.TokenType
    yield "<unk>", 0.0, kind.UNKNOWN
    yield "<s>", 0.0, kind.CONTROL
    yield "</s>", 0.0, kind.CONTROL
    for byte in range(256):
        yield f"<0x{byte:02X}>", 0.0, kind.BYTE
    pieces = [SPACE, *(chr(code) for code in range(0x21, 0x7F)), *(SPACE + word for word in WORDS.split())]
    for rank, piece in enumerate(pieces):
        yield piece, -1.0 - rank / 100, kind.NORMAL


def write(path, seed):
    pieces, scores, kinds = zip(*vocabulary())
    model = gguf.GGUFWriter(path, "llama")
    model.add_name("tiny-random")
    model.add_context_length(WINDOW)
    model.add_embedding_length(WIDTH)
    model.add_block_count(LAYERS)
    model.add_feed_forward_length(FEED_FORWARD)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_rope_dimension_count(WIDTH // HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_vocab_size(len(pieces))
    model.add_file_type(gguf.LlamaFileType.ALL_F32)
    model.add_tokenizer_model("llama")
    model.add_token_list([piece.encode() for piece in pieces])
    model.add_token_scores(list(scores))
    model.add_token_types([int(kind) for kind in kinds])
    model.add_unk_token_id(0)
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    model.add_add_bos_token(True)
    model.add_add_eos_token(False)
    model.add_chat_template(TEMPLATE)

    dice = numpy.random.default_rng(seed)

    def random(name, rows, columns, spread):
        model.add_tensor(name, dice.normal(0.0, spread, (rows, columns)).astype(numpy.float32))

    def ones(name):
        model.add_tensor(name, numpy.ones(WIDTH, dtype=numpy.float32))

    random("token_embd.weight", len(pieces), WIDTH, 1.0)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm.weight")
        for part in ("q", "k", "v", "output"):
            random(f"{block}.attn_{part}.weight", WIDTH, WIDTH, 0.25)
        ones(f"{block}.ffn_norm.weight")
        random(f"{block}.ffn_gate.weight", FEED_FORWARD, WIDTH, 0.25)
        random(f"{block}.ffn_up.weight", FEED_FORWARD, WIDTH, 0.25)
        random(f"{block}.ffn_down.weight", WIDTH, FEED_FORWARD, 0.25)
    ones("output_norm.weight")
    # Flatter than the rest, so that sampling wanders and the end mark stays rare.
    random("output.weight", len(pieces), WIDTH, 0.3)

    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7)
