"""Real clients, through the agent's proxy, to a real llama-server; every receipt held against what the server said.

The window of one slot is 512 tokens, so that overflow is near. One connection of the server serves 100 requests, so
the last check sends more than that one after another.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request

import openai

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients"))
from stack import Stack, free_port, get, until  # noqa: E402

MODEL = "tiny-gguf"
QUESTION = [{"role": "user", "content": "Say hi to the metering proxy."}]


def client(stack):
    return openai.OpenAI(base_url=f"{stack.proxy_url}/v1", api_key="unused", max_retries=0)


def post(url, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


class Checks:
    def __init__(self, stack, server):
        self.stack, self.server, self.seen = stack, server, set()

    def receipt(self, status="ok", **expected):
        row, took = self.stack.next_receipt(self.seen)
        found = {name: row[name] for name in expected}
        assert row["status"] == status and row["runtime"] == "llama.cpp" and row["model_id"] == MODEL, row
        assert found == expected, (found, expected)
        assert self.stack.verify(row["request_id"]) == ("valid", 0)
        return row, took

    def counters(self):
        """Prompt tokens (cached or not) and output tokens since the server's start, by its own metrics."""
        lines = get(f"{self.server}/metrics").decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        value = lambda name: int(float(values[f"llamacpp:{name}"]))  # noqa: E731
        return value("prompt_tokens_total") + value("prompt_tokens_cached_total"), value("tokens_predicted_total")

    def whole(self):
        answer = client(self.stack).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=6, seed=1)
        usage = answer.usage
        # The probe of the control plane has left the start of the chat template in the cache.
        cached = usage.prompt_tokens_details.cached_tokens
        assert cached < usage.prompt_tokens // 2
        self.receipt(tokens_input=usage.prompt_tokens, tokens_output=usage.completion_tokens, tokens_cached=cached)

    def cache_hit(self):
        answer = client(self.stack).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=6, seed=1)
        cached = answer.usage.prompt_tokens_details.cached_tokens
        assert cached == answer.usage.prompt_tokens - 1, "all but one token of a repeated prompt are cached"
        self.receipt(tokens_cached=cached, cache_hit=True)

    def stream(self):
        before = self.counters()
        chunks = list(client(self.stack).chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=9, seed=2, stream=True))
        assert all(chunk.choices for chunk in chunks), "no usage was asked for"
        assert chunks[-1].choices[0].finish_reason == "length"
        after = self.counters()
        self.receipt(tokens_input=after[0] - before[0], tokens_output=9)
        assert after[1] - before[1] == 9

    def stream_with_usage(self):
        chunks = list(client(self.stack).chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=7, seed=3, stream=True, stream_options={"include_usage": True}))
        usage = chunks[-1].usage
        self.receipt(tokens_input=usage.prompt_tokens, tokens_output=usage.completion_tokens)

    def text_completion(self):
        answer = client(self.stack).completions.create(model=MODEL, prompt="a receipt is", max_tokens=5, seed=4)
        self.receipt(tokens_input=answer.usage.prompt_tokens, tokens_output=5)

    def curl(self):
        body = json.dumps({"model": MODEL, "messages": QUESTION, "max_tokens": 5, "stream": True})
        command = ["curl", "-sSN", f"{self.stack.proxy_url}/v1/chat/completions", "-d", body,
                   "-H", "content-type: application/json"]
        text = subprocess.run(command, check=True, capture_output=True).stdout
        assert text.endswith(b"data: [DONE]\n\n") and b'"timings"' in text
        assert b'"usage"' not in text
        self.receipt(tokens_output=5)

    def cancel(self):
        stream = client(self.stack).chat.completions.create(
            model=MODEL, messages=QUESTION, max_tokens=400, seed=5, stream=True, extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        until("the server stops working", lambda: all(
            not slot["is_processing"] for slot in json.loads(get(f"{self.server}/slots"))))
        self.receipt(status="cancelled")

    def overflow(self):
        body = {"model": MODEL, "messages": [{"role": "user", "content": "word " * 3000}]}
        direct = post(f"{self.server}/v1/chat/completions", body)
        proxied = post(f"{self.stack.proxy_url}/v1/chat/completions", body)
        assert proxied == direct and direct[0] == 400 and b"exceed_context_size_error" in direct[1], (direct, proxied)
        self.receipt(status="error")

    def same_bytes(self):
        """With a fixed seed and no cache two answers differ in their ids, clocks and timings alone."""
        def plain(answer):
            value = json.loads(answer)
            return [value["choices"], value["usage"]["completion_tokens"], list(value)]
        body = {"model": MODEL, "messages": QUESTION, "max_tokens": 12, "seed": 6, "cache_prompt": False}
        direct = post(f"{self.server}/v1/chat/completions", body)[1]
        proxied = post(f"{self.stack.proxy_url}/v1/chat/completions", body)[1]
        assert plain(direct) == plain(proxied), (direct, proxied)
        self.receipt(tokens_output=12)

    def many_on_one_connection(self):
        one = client(self.stack)
        for number in range(120):
            one.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1, seed=number)
        def fresh():
            rows = [row for row in self.stack.receipts() if row["request_id"] not in self.seen]
            return rows if len(rows) == 120 else None

        rows, _ = until("all receipts", fresh)
        assert all(row["status"] == "ok" and row["tokens_output"] == 1 for row in rows)
        self.seen.update(row["request_id"] for row in rows)


CHECKS = [
    Checks.whole, Checks.cache_hit, Checks.stream, Checks.stream_with_usage, Checks.text_completion, Checks.curl,
    Checks.cancel, Checks.overflow, Checks.same_bytes, Checks.many_on_one_connection,
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    parser.add_argument("--server", required=True, help="the llama-server")
    parser.add_argument("--model", required=True, help="the tiny model")
    arguments = parser.parse_args()
    stack, port = Stack(arguments.bin), free_port()
    server = f"http://127.0.0.1:{port}"
    stack.spawn("llama-server", [
        arguments.server, "-m", arguments.model, "--alias", MODEL, "--host", "127.0.0.1", "--port", port, "-c", 1024,
        "-np", 2, "-t", 1, "--metrics", "--slots", "--no-ui", "--offline",
    ])
    until("llama-server", lambda: json.loads(get(f"{server}/health")) == {"status": "ok"})
    stack.runtimes.append(server)
    with stack:
        version = json.loads(get(f"{server}/props"))["build_info"]
        print(f"llama-server {version}, models through the proxy: {', '.join(stack.models())}")
        checks = Checks(stack, server)
        for check in CHECKS:
            check(checks)
            print(f"ok  {check.__name__}")
    print(f"{len(CHECKS)} passed, 0 failed")


if __name__ == "__main__":
    main()
