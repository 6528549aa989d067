"""The rest of a DGON inside a clean machine: control plane and simulated runtime as transient units.

Both are run from /mnt/dgon and keep their data under /run, so nothing of them is on the machine's disk.
"""

import json

PLANE = "http://127.0.0.1:8080"
PROXY = "http://127.0.0.1:11435"
RUNTIME_PORT = {"ollama": 11434, "vllm": 8000}
MODEL = {"ollama": "sim-chat:1b", "vllm": "dgon/sim-chat"}
ADMIN = {"email": "admin@example.org", "password": "correct horse battery staple"}


def start_plane(machine, **env):
    """A control plane at `PLANE`, ready."""
    machine.run("mkdir -p /run/plane")
    variables = [f"--setenv={name}={value}" for name, value in {"DGON_DATA_DIR": "/run/plane", **env}.items()]
    start = ["systemd-run", "--quiet", "--unit=dgon-plane", *variables]
    machine.run([*start, "/mnt/dgon/dgon-control-plane", "serve", "--bind", PLANE.removeprefix("http://")])
    machine.until("the control plane", lambda: machine.ok(f"curl -fs {PLANE}/readyz"))


def stop_plane(machine):
    machine.run("systemctl stop dgon-plane; systemctl reset-failed dgon-plane 2>/dev/null || true")


def plane(machine, arguments):
    """A command of the control plane's program; what it printed."""
    return machine.out(f"/mnt/dgon/dgon-control-plane {arguments}", env={"DGON_DATA_DIR": "/run/plane"})


def token(machine):
    """A fresh enrolment token for one machine."""
    return json.loads(plane(machine, "token create --uses 1 --json"))["token"]


def start_runtime(machine, kind="ollama", *options):
    """A simulated runtime on its default port."""
    port = RUNTIME_PORT[kind]
    program = ["/mnt/dgon/dgon-sim", "runtime", "--kind", kind, "--port", port, *options]
    machine.run(["systemd-run", "--quiet", f"--unit=sim-{kind}", *program])
    machine.until("the simulated runtime", lambda: machine.ok(f"curl -s http://127.0.0.1:{port}/"))


def sign_in(machine):
    """Makes the first account and signs it in; `api` works after this."""
    link = next(word for word in plane(machine, f"user link --url {PLANE}").split() if "#token=" in word)
    body = {"token": link.split("#token=")[1], **ADMIN}
    api(machine, "/auth/setup", body)


def api(machine, path, body=None):
    """GET, or POST of `body`, below /api/v1; the JSON answer."""
    command = ["curl", "-fsS", "-b", "/run/jar", "-c", "/run/jar", "-H", f"Origin: {PLANE}", f"{PLANE}/api/v1{path}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
    said = machine.out(command, input=None if body is None else json.dumps(body))
    return json.loads(said) if said else None


def ask(machine, kind="ollama"):
    """One chat request through the agent's proxy; the answer's bytes.

    An agent serves at once; that a runtime runs beside it is seen by its first look, moments later on a busy machine.
    """
    machine.until("a runtime is found", lambda: machine.ok(f"curl -fs {PROXY}/v1/models"))
    body = {"model": MODEL[kind], "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    command = ["curl", "-fsS", f"{PROXY}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", "@-"]
    return machine.out(command, input=json.dumps(body))


def status(machine):
    """What the running agent says of itself, or nothing where none answers."""
    return status_in(machine, {})


def status_in(machine, places):
    """The same of an agent whose places the environment `places` names."""
    said = machine.run("/mnt/dgon/dgon-agent status --json", check=False, env=places)
    return json.loads(said.out) if said.code == 0 else None


def models(machine):
    """Models of all runtimes that the running agent has found."""
    return [model["id"] for runtime in (status(machine) or {}).get("runtimes", []) for model in runtime["models"]]
