"""Real clients through the agent's proxy: PyPI's `openai` and `ollama`, and curl. Each leaves one receipt that
says what the runtime counted."""

import argparse
import json
import subprocess
import time

import evidence
import ollama
import openai
from stack import Stack, until

OLLAMA_MODEL = "sim-chat:1b"
VLLM_MODEL = "dgon/sim-chat"
PROMPT = [{"role": "user", "content": "Tell me of the metering proxy."}]


def openai_client(stack):
    return openai.OpenAI(base_url=f"{stack.proxy_url}/v1", api_key="unused", max_retries=0)


def openai_whole(stack):
    answer = openai_client(stack).chat.completions.create(model=VLLM_MODEL, messages=PROMPT)
    assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
    return answer.usage.prompt_tokens, answer.usage.completion_tokens


def openai_stream(stack):
    text, usage = "", None
    for chunk in openai_client(stack).chat.completions.create(model=VLLM_MODEL, messages=PROMPT, stream=True):
        assert chunk.choices, "no usage was asked for, so none may come"
        text += chunk.choices[0].delta.content or ""
    assert text and usage is None
    return None


def openai_stream_usage(stack):
    options = {"include_usage": True}
    chunks = list(
        openai_client(stack).chat.completions.create(
            model=VLLM_MODEL, messages=PROMPT, stream=True, stream_options=options, max_tokens=5
        )
    )
    assert not chunks[-1].choices
    return chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens


def openai_completion(stack):
    answer = openai_client(stack).completions.create(model=OLLAMA_MODEL, prompt="Tell me", max_tokens=6)
    return answer.usage.prompt_tokens, answer.usage.completion_tokens


def openai_error(stack):
    try:
        openai_client(stack).chat.completions.create(model=VLLM_MODEL, messages=[{"role": "user", "content": "word " * 9000}])
    except openai.BadRequestError as refused:
        assert "maximum context length" in str(refused)
        return None
    raise AssertionError("an overlong prompt must be refused")


def ollama_whole(stack):
    answer = ollama.Client(host=stack.proxy_url).chat(model=OLLAMA_MODEL, messages=PROMPT)
    return answer.prompt_eval_count, answer.eval_count


def ollama_stream(stack):
    chunks = list(ollama.Client(host=stack.proxy_url).chat(model=OLLAMA_MODEL, messages=PROMPT, stream=True))
    assert chunks[-1].done and "".join(chunk.message.content for chunk in chunks)
    return chunks[-1].prompt_eval_count, chunks[-1].eval_count


def ollama_generate(stack):
    chunks = list(ollama.Client(host=stack.proxy_url).generate(model=OLLAMA_MODEL, prompt="Tell me", stream=True))
    return chunks[-1].prompt_eval_count, chunks[-1].eval_count


def ollama_embed(stack):
    answer = ollama.Client(host=stack.proxy_url).embed(model=OLLAMA_MODEL, input="Tell me")
    assert answer.embeddings
    return answer.prompt_eval_count, 0


def curl_stream(stack):
    body = json.dumps({"model": OLLAMA_MODEL, "messages": PROMPT, "stream": True, "stream_options": {"include_usage": True}})
    command = ["curl", "-sSN", f"{stack.proxy_url}/v1/chat/completions", "-H", "content-type: application/json", "-d", body]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert text.endswith("data: [DONE]\n\n")
    usage = json.loads(text.split("\n\n")[-3].removeprefix("data: "))["usage"]
    return usage["prompt_tokens"], usage["completion_tokens"]


def cancel_openai(stack):
    stream = openai_client(stack).chat.completions.create(model=VLLM_MODEL, messages=PROMPT, stream=True)
    next(iter(stream))
    stream.close()
    return "cancelled"


def cancel_ollama(stack):
    stream = ollama.Client(host=stack.proxy_url).chat(model=OLLAMA_MODEL, messages=PROMPT, stream=True)
    next(stream)
    stream.close()
    return "cancelled"


def cancel_curl(stack):
    body = json.dumps({"model": OLLAMA_MODEL, "messages": PROMPT})
    curl = subprocess.Popen(["curl", "-sSN", f"{stack.proxy_url}/api/chat", "-d", body], stdout=subprocess.PIPE)
    assert curl.stdout.readline()
    curl.kill()
    curl.wait()
    return "cancelled"


QUICK = [
    openai_whole, openai_stream, openai_stream_usage, openai_completion, openai_error, ollama_whole, ollama_stream,
    ollama_generate, ollama_embed, curl_stream,
]
SLOW = [cancel_openai, cancel_ollama, cancel_curl]


def run(stack, clients, seen):
    for client in clients:
        begin = time.monotonic()
        said = client(stack)
        row, took = stack.next_receipt(seen)
        if said == "cancelled":
            assert row["status"] == "cancelled", row
        elif client is openai_error:
            assert row["status"] == "error", row
        else:
            assert row["status"] == "ok", row
            assert row["tokens_output"] > 0 or client is ollama_embed, row
        if isinstance(said, tuple):
            assert (row["tokens_input"], row["tokens_output"]) == said, (row, said)
        assert stack.verify(row["request_id"]) == ("valid", 0)
        print(f"ok  {client.__name__:20} {time.monotonic() - begin - took:6.2f} s, receipt after {took:.2f} s")


def check_evidence(stack):
    """A bundle over a change of keys, read by our own verifier and by the one of this folder."""
    rotated = stack.agent("key", "rotate")
    assert rotated.returncode == 0, rotated.stderr
    openai_whole(stack)
    path = stack.dir / "bundle.json"
    exported = stack.agent("receipt", "export", "--output", str(path))
    assert exported.returncode == 0, exported.stderr
    node = stack.receipts()[0]["node_id"]
    keys = [key["public_key"] for key in stack.api(f"/nodes/{node}/keys")["items"]]
    assert len(keys) == 2, keys
    data = path.read_bytes()
    for key in keys:
        count = evidence.verify(data, key)
        ours = stack.agent("receipt", "verify", "--json", "--public-key", key, str(path))
        assert (ours.returncode, json.loads(ours.stdout)["receipts"]) == (0, count), ours.stdout
    step = max(1, len(data) // 200)
    for at in range(0, len(data), step):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            evidence.verify(bytes(changed))
        except evidence.Invalid:
            continue
        raise AssertionError(f"a changed byte at {at} was not found")
    print(f"ok  evidence bundle      {count} receipts under {len(keys)} keys, two verifiers, changes found")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    arguments = parser.parse_args()
    count = 0
    for speed, answer_tokens, clients in [("300", "20", QUICK), ("10", "1000", SLOW)]:
        stack = Stack(arguments.bin)
        for kind in ["ollama", "vllm"]:
            stack.simulate(kind, "--tokens-per-second", speed, "--ttft-ms", "20", "--answer-tokens", answer_tokens)
        with stack:
            until("the models", lambda: {OLLAMA_MODEL, VLLM_MODEL} <= set(stack.models()))
            run(stack, clients, set())
            if clients is QUICK:
                check_evidence(stack)
        count += len(clients)
    print(f"{count} passed, 0 failed")


if __name__ == "__main__":
    main()
