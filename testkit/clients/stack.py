"""A whole DGON on this machine for scripts: control plane, agent, runtimes, and the API as a signed-in admin.

Standard library only. Every wait has a condition and a limit; everything dies with the `Stack`.
"""

import contextlib
import http.cookiejar
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE_S = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, found):
    """Waits until `found()` is true; its result, and how long it took."""
    begin = time.monotonic()
    while True:
        with contextlib.suppress(OSError):
            result = found()
            if result:
                return result, time.monotonic() - begin
        if time.monotonic() - begin > PATIENCE_S:
            raise TimeoutError(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.02)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


class Stack:
    """Starts a control plane and an agent in front of `runtimes` (base URLs)."""

    def __init__(self, bin_dir, runtimes=()):
        self.bin = pathlib.Path(bin_dir)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="dgon-clients-"))
        self.processes = []
        self.runtimes = list(runtimes)
        self.plane_url = f"http://127.0.0.1:{free_port()}"
        self.proxy_url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self):
        try:
            self._start()
        except BaseException as fault:
            self.__exit__(type(fault), fault, None)
            raise
        return self

    def __exit__(self, kind, _fault, _trace):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if kind is not None:
            for log in sorted(self.dir.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        shutil.rmtree(self.dir, ignore_errors=True)

    def spawn(self, name, command, **env):
        """A program that lives as long as the stack."""
        log = open(self.dir / f"{name}.log", "ab")
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env}
        )
        self.processes.append(process)
        return process

    def simulate(self, kind, *options):
        """A simulated runtime; its base URL. Call it before the stack is entered."""
        port = free_port()
        self.spawn(f"sim-{kind}", [self.bin / "dgon-sim", "runtime", "--kind", kind, "--port", port, *options])
        until(f"the simulated {kind}", lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
        self.runtimes.append(f"http://127.0.0.1:{port}")
        return self.runtimes[-1]

    def _plane(self, *arguments):
        data = str(self.dir / "control-plane")
        command = [str(self.bin / "dgon-control-plane"), *arguments]
        return subprocess.run(
            command, env={**os.environ, "DGON_DATA_DIR": data}, check=True, capture_output=True, text=True
        ).stdout

    def agent(self, *arguments, **env):
        """Runs a command of the agent's program; its result."""
        state = {"DGON_STATE_DIR": str(self.dir / "agent"), "DGON_CONFIG": str(self.dir / "agent" / "agent.yaml")}
        return subprocess.run(
            [str(self.bin / "dgon-agent"), *arguments], env={**os.environ, **state, **env}, capture_output=True, text=True
        )

    def _start(self):
        (self.dir / "control-plane").mkdir()
        (self.dir / "agent").mkdir(mode=0o700)
        bind = self.plane_url.removeprefix("http://")
        self.spawn(
            "control-plane", [self.bin / "dgon-control-plane", "serve", "--bind", bind],
            DGON_DATA_DIR=str(self.dir / "control-plane"),
        )
        until("the control plane", lambda: get(f"{self.plane_url}/readyz") is not None)
        endpoints = "".join(f"    - {url}\n" for url in self.runtimes)
        (self.dir / "agent" / "agent.yaml").write_text(
            f"control_plane:\n  api: {self.plane_url}\nruntimes:\n  detect: false\n  endpoints:\n{endpoints}"
            f"proxy:\n  listen: {self.proxy_url.removeprefix('http://')}\n"
        )
        token = json.loads(self._plane("token", "create", "--uses", "1", "--json"))["token"]
        enrolled = self.agent("enroll", "--api", self.plane_url, DGON_ENROL_TOKEN=token)
        if enrolled.returncode != 0:
            raise RuntimeError(f"enrolment failed: {enrolled.stdout}{enrolled.stderr}")
        state = {"DGON_STATE_DIR": str(self.dir / "agent"), "DGON_CONFIG": str(self.dir / "agent" / "agent.yaml")}
        self.spawn("agent", [self.bin / "dgon-agent", "run"], **state)
        until("the proxy's models", lambda: len(self.models()) >= len(self.runtimes))
        self._sign_in()

    def models(self):
        """Models of all runtimes that the running agent has found."""
        runtimes = json.loads(self.agent("status", "--json").stdout or "{}").get("runtimes", [])
        return [model["id"] for runtime in runtimes for model in runtime["models"]]

    def _sign_in(self):
        jar = http.cookiejar.CookieJar()
        # The jar keeps host-only cookies of a bare address only where it is told that this is fine.
        jar.set_policy(http.cookiejar.DefaultCookiePolicy(strict_ns_domain=0))
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        printed = self._plane("user", "link", "--url", self.plane_url)
        link = next(word for word in printed.split() if "#token=" in word)
        page, token = link.split("#token=")
        if page.endswith("/setup"):
            body = {"token": token, "email": "admin@example.org", "password": "correct horse battery staple"}
            self.api("/auth/setup", body)
        else:
            self.api("/auth/redeem", {"token": token})

    def api(self, path, body=None):
        """GET, or POST of `body`, below /api/v1; the JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", "origin": self.plane_url}
        request = urllib.request.Request(f"{self.plane_url}/api/v1{path}", data, headers)
        with self.opener.open(request, timeout=10) as answer:
            return json.loads(answer.read())

    def raw(self, request_id):
        """The entry bytes of a receipt."""
        with self.opener.open(f"{self.plane_url}/api/v1/receipts/{request_id}/raw", timeout=10) as answer:
            return answer.read()

    def receipts(self, query="source=local"):
        return self.api(f"/receipts?limit=200&{query}")["items"]

    def next_receipt(self, seen):
        """The one receipt that is not in `seen` (ids); how long it took to come."""
        row, took = until("the receipt", lambda: [r for r in self.receipts() if r["request_id"] not in seen])
        seen.update(r["request_id"] for r in row)
        if len(row) != 1:
            raise AssertionError(f"one receipt was expected: {row}")
        return row[0], took

    def verify(self, request_id):
        """The verdict of `dgon-agent receipt verify`, as a third party would ask for it."""
        path = self.dir / f"{request_id}.json"
        path.write_bytes(self.raw(request_id))
        key = self.api(f"/receipts/{request_id}")["public_key"]
        done = self.agent("receipt", "verify", "--json", "--public-key", key, str(path))
        return json.loads(done.stdout)["verdict"], done.returncode
