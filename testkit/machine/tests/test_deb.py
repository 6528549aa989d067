"""The .deb through its whole life on a clean machine: install, enrol, run, upgrade, remove, purge."""

import json

import dgon

UNIT = "dgon-agent.service"
STATE = "/var/lib/dgon"
# What any installation of any package with a user writes besides the package's own files.
LEFT_BY_THE_SYSTEM = (
    "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock",
    "/var/lib/dpkg/", "/var/log/", "/var/cache/", "/var/lib/systemd/", "/etc/machine-id", "/etc/systemd/system/",
)


def package(machine, version):
    """The path inside of the built package of this version."""
    return machine.out(f"ls /mnt/packages/dgon-agent_{version}_*.deb")


def install(machine, version):
    return machine.run(["dpkg", "--install", package(machine, version)]).out


def installed(machine):
    return machine.out(["dpkg-query", "--show", "--showformat", "${Status} ${Version}", "dgon-agent"])


def enrol(machine):
    """Enrols by a token in a file and starts the service; the identity."""
    machine.run(["tee", "/run/token"], input=dgon.token(machine))
    said = json.loads(machine.out(f"dgon-agent enroll --api {dgon.PLANE} --token-file /run/token --json"))
    # What it says comes next is what starts it.
    assert said["next"] == "dgon-agent service restart", said
    machine.run(said["next"])
    machine.until("the agent serves", lambda: dgon.status(machine))
    return said


def acknowledged(machine):
    """Request ids of the receipts on this machine that the control plane has."""
    items = json.loads(machine.out("dgon-agent receipt list --json"))["items"]
    return {item["receipt"]["request_id"] for item in items if item["acknowledged"]}


def serve_one(machine):
    """One request through the proxy; waits until its receipt is in the control plane."""
    before = {row["request_id"] for row in dgon.api(machine, "/receipts?limit=200&source=local")["items"]}
    machine.until("the model", lambda: dgon.models(machine))
    assert "choices" in json.loads(dgon.ask(machine))

    def arrived():
        rows = dgon.api(machine, "/receipts?limit=200&source=local")["items"]
        return [row for row in rows if row["request_id"] not in before]

    rows = machine.until("the receipt in the control plane", arrived)
    assert [row["status"] for row in rows] == ["ok"], rows
    return rows[0]["request_id"]


def kept(machine):
    """Bytes and owner of everything that an upgrade may not change."""
    files = machine.out(f"find {STATE} /etc/dgon -type f -name 'node.*' -o -type f -name agent.yaml").split()
    assert len(files) >= 3, files
    return {file: machine.out(f"stat -c '%U %a' {file}; sha256sum <{file}") for file in files}


def process(machine):
    return machine.unit(UNIT, "MainPID")["MainPID"]


def installed_versions(machine):
    names = machine.out("ls /mnt/packages").split()
    versions = sorted(name.split("_")[1] for name in names if name.endswith(".deb"))
    assert len(versions) == 2, versions
    return versions


def test_not_enrolled_is_a_clear_state(machine):
    """After the installation alone nothing has failed, nothing runs, and it is said what to do."""
    old, _ = installed_versions(machine)
    said = install(machine, old)
    assert "not enrolled" in said and "dgon-agent enroll" in said, said
    unit = machine.unit(UNIT, "LoadState", "ActiveState", "UnitFileState")
    assert unit == {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "enabled"}, unit
    assert machine.out("systemctl is-system-running") == "running"
    assert machine.out("id -nG dgon").split()[0] == "dgon"
    doctor = machine.run("dgon-agent doctor --json", check=False)
    assert doctor.code == 1 and "enroll" in doctor.out, doctor
    # The manual and the completions are where their readers look.
    for file in ["man/man1/dgon-agent.1.gz", "man/man1/dgon-agent-enroll.1.gz"]:
        assert machine.ok(f"gzip -t /usr/share/{file}"), file
    machine.run(["bash", "-nc", "source /usr/share/bash-completion/completions/dgon-agent"])
    for file in ["zsh/vendor-completions/_dgon-agent", "fish/vendor_completions.d/dgon-agent.fish"]:
        assert machine.ok(f"grep -q dgon-agent /usr/share/{file}"), file


def test_life_of_a_package(machine):
    """Install, enrol, run, upgrade, remove, install again, purge."""
    old, new = installed_versions(machine)
    before = machine.files()
    dgon.start_plane(machine)
    dgon.start_runtime(machine)
    dgon.sign_in(machine)

    install(machine, old)
    identity = enrol(machine)
    assert machine.active(UNIT)
    assert machine.out(f"ps -o user= -p {process(machine)}") == "dgon"
    first = serve_one(machine)

    # An upgrade keeps everything and runs the new version; the control plane does not see another machine.
    same, pid = kept(machine), process(machine)
    install(machine, new)
    assert installed(machine) == f"install ok installed {new}"
    machine.until("the new process", lambda: process(machine) not in ("0", pid) and dgon.status(machine))
    assert "(deleted)" not in machine.out(f"readlink /proc/{process(machine)}/exe"), "the old program still runs"
    assert kept(machine) == same
    second = serve_one(machine)
    machine.until("both acknowledgements", lambda: {first, second} <= acknowledged(machine))
    nodes = dgon.api(machine, "/nodes")["items"]
    assert [node["node_id"] for node in nodes] == [identity["node_id"]], nodes

    # What the owner stopped stays stopped, also over an upgrade.
    machine.run(["systemctl", "stop", UNIT])
    install(machine, new)
    assert not machine.active(UNIT)

    # A removal stops and keeps; what is installed again goes on as the same machine.
    machine.run(["systemctl", "start", UNIT])
    machine.run(["dpkg", "--remove", "dgon-agent"])
    assert not machine.active(UNIT) and not machine.ok("command -v dgon-agent")
    assert kept(machine) == same
    install(machine, old)
    machine.until("the agent serves again", lambda: dgon.status(machine))
    third = serve_one(machine)
    machine.until("all acknowledgements", lambda: {first, second, third} <= acknowledged(machine))

    machine.run(["dpkg", "--purge", "dgon-agent"])
    assert not machine.ok("getent passwd dgon") and not machine.ok("getent group dgon")
    dgon.stop_plane(machine)
    after = machine.files()
    left = [path for path in after if path not in before and not path.startswith(LEFT_BY_THE_SYSTEM)]
    gone = [path for path in before if path not in after]
    changed = [path for path in before if path in after and before[path] != after[path]]
    ours = [path for path in after if "dgon" in path and not path.startswith("/var/log/")]
    assert (left, gone, changed, ours) == ([], [], [], []), (left, gone, changed, ours)
    assert machine.out("systemctl is-system-running") == "running"
