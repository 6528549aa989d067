"""Makes the test data of this folder with Python's own `tokenizers` and `jinja2`, so that ours is held against theirs.

    python3 -m venv v && v/bin/pip install tokenizers==0.23.3 jinja2==3.1.6
    v/bin/python control-plane/recount/tests/data/make.py

Tokenizers are trained on the documents of this repository. Training is not the same on every run, so all files are
written together.
"""

import json
import random
from datetime import datetime, timezone
from pathlib import Path

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
DOCS = HERE.parents[3] / "docs"
CASES = 200
RUN_BYTES = 150_000
# The pattern of words that Llama 3 and most models after it use.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = {
    "chatml": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "mistral": ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"],
    "gemma": ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
    "wordpiece": ["[UNK]", "[CLS]", "[SEP]", "[MASK]"],
}


def corpus():
    return [line for path in sorted(DOCS.rglob("*.md")) for line in path.read_text().splitlines()]


def byte_bpe(name, vocab):
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    if name == "chatml":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=SPECIALS[name], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    if name == "chatml":
        tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    if name == "llama3":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
        )
    return tokenizer


def sentencepiece_bpe(name, vocab):
    """As converted from SentencePiece: no words, spaces as a letter, bytes for what is unknown."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    seed = Tokenizer(models.BPE())
    seed.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=SPECIALS[name] + bytes_, show_progress=False)
    seed.train_from_iterator(corpus(), trainer)
    made = json.loads(seed.to_str())
    made["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    made["pre_tokenizer"] = None
    made["added_tokens"] = [token for token in made["added_tokens"] if not token["content"].startswith("<0x")]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepend = {"type": "Prepend", "prepend": "▁"}
    made["normalizer"] = {"type": "Sequence", "normalizers": [prepend, replace]} if name == "mistral" else replace
    tokenizer = Tokenizer.from_str(json.dumps(made))
    begin = "<s>" if name == "mistral" else "<bos>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    return tokenizer


def wordpiece(vocab):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=vocab, special_tokens=SPECIALS["wordpiece"], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    ids = {token: tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=list(ids.items()))
    return tokenizer


def unigram(vocab):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=vocab, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def raise_exception(message):
    raise TemplateError(message)


def render(name, messages, now_s):
    """As `transformers` does it in `render_jinja_template`."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = raise_exception
    now = datetime.fromtimestamp(now_s, timezone.utc)
    environment.globals["strftime_now"] = now.strftime
    template = environment.from_string((HERE / name / "chat_template.jinja").read_text())
    config = json.loads((HERE / name / "tokenizer_config.json").read_text())
    tokens = {key: value for key, value in config.items() if key.endswith("_token") and isinstance(value, str)}
    try:
        return template.render(messages=messages, tools=None, documents=None, add_generation_prompt=True, **tokens)
    except TemplateError:
        return None


PIECES = [
    "Hello", " world", "\n", "\n\n", "  ", "\t", "ä", "é", "e\u0301", "你好", "🙂", "👩\u200d💻", "1234567", "3.14", "x = y", "fn main() {}",
    "\u2028", "\u00a0", "\x1c", "\u0958", "ﬁ", "ﷺ", "don't", "I'LL", "node", " receipts", "{{ 7 * 7 }}", "{% raise %}", "{# no #}",
    "<|im_end|>", "<|eot_id|>", "</s>", "[INST]", "<end_of_turn>", "<think>", "[MASK]", "'", '"', "\\", "A" * 40, "\r\n", "नमस्ते", "\u200b", "−", "…",
]


def text(rng):
    words = [word for line in rng.sample(LINES, 2) for word in line.split(" ")][: rng.randrange(30)]
    pieces = [rng.choice(PIECES) if rng.random() < 0.3 else word + " " for word in words]
    return rng.choice(["", " ", "\n", "\x1c"]) + "".join(pieces) + rng.choice(["", " ", "\n", "\x1f"])


def conversation(rng):
    messages = [{"role": "system", "content": text(rng)}] if rng.random() < 0.4 else []
    for _ in range(rng.randrange(1, 4)):
        messages.append({"role": "user", "content": text(rng)})
        messages.append({"role": "assistant", "content": text(rng)})
    # Ends with a user's message, and now and then has two in a row, which some templates refuse.
    messages.pop()
    if rng.random() < 0.05:
        messages.append({"role": "user", "content": text(rng)})
    return messages


def main():
    made = {
        "chatml": byte_bpe("chatml", 700),
        "llama3": byte_bpe("llama3", 600),
        "mistral": sentencepiece_bpe("mistral", 800),
        "gemma": sentencepiece_bpe("gemma", 800),
        "wordpiece": wordpiece(600),
        "unigram": unigram(500),
    }
    for name, tokenizer in made.items():
        (HERE / name).mkdir(exist_ok=True)
        (HERE / name / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False) + "\n")
    as_text = {name: Tokenizer.from_str(tokenizer.to_str()) for name, tokenizer in made.items()}
    for tokenizer in as_text.values():
        tokenizer.encode_special_tokens = True

    rng = random.Random(7)
    chats = ["chatml", "llama3", "mistral", "gemma"]
    with (HERE / "cases.jsonl").open("w") as out:
        for case in range(CASES):
            name = chats[case % 4]
            messages = conversation(rng)
            now_s = rng.randrange(1_700_000_000, 1_900_000_000)
            prompt = render(name, messages, now_s)
            answer = text(rng)
            row = {
                "tokenizer": name,
                "now_s": now_s,
                "messages": messages,
                "prompt": prompt,
                "input": prompt and len(made[name].encode(prompt, add_special_tokens=False)),
                "answer": answer,
                "output": len(as_text[name].encode(answer, add_special_tokens=False)),
            }
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    with (HERE / "texts.jsonl").open("w") as out:
        for case in range(CASES):
            name = list(made)[case % 6]
            prompt = text(rng)
            row = {"tokenizer": name, "text": prompt, "tokens": len(made[name].encode(prompt, add_special_tokens=True))}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    # Runs of one thing: what backtracks, and what has no end of a word.
    with (HERE / "runs.jsonl").open("w") as out:
        for name, unit in [("llama3", " "), ("llama3", "\n"), ("llama3", " \n"), ("chatml", "\u00a0x"), ("gemma", "ab "), ("unigram", "a")]:
            times = RUN_BYTES // len(unit.encode())
            row = {"tokenizer": name, "unit": unit, "times": times, "tokens": len(made[name].encode(unit * times))}
            out.write(json.dumps(row) + "\n")


LINES = [line for line in corpus() if line]

if __name__ == "__main__":
    main()
