"""`curl CONTROL-PLANE/install.sh | sh` on a clean machine: what it installs, and what it refuses."""

import dgon

SCRIPT = f"curl -fsSL {dgon.PLANE}/install.sh"
OFFERED = "/run/offered"


def offer(machine, *patterns):
    """A control plane that offers copies of the built packages that match."""
    machine.run(["mkdir", "-p", OFFERED])
    for pattern in patterns:
        machine.run(f"cp /mnt/packages/{pattern} {OFFERED}/")
    dgon.start_plane(machine, DGON_DOWNLOADS_DIR=OFFERED)


def refused(machine, command, reason):
    """A run that must fail with this reason and leave the machine as it was."""
    before = machine.files()
    said = machine.run(command, check=False)
    assert said.code == 1 and reason in said.err, said
    assert machine.files() == before, set(machine.files()) ^ set(before)


def test_installs_enrols_and_starts_by_one_command(machine):
    offer(machine, "*.deb", "*.tar.gz")
    dgon.start_runtime(machine)
    plan = machine.out(f"{SCRIPT} | sh -s -- --dry-run")
    assert "would fetch" in plan and "dpkg --install" in plan and "nothing was done" in plan, plan
    assert not machine.ok("command -v dgon-agent")

    secret = dgon.token(machine)
    said = machine.out(f"{SCRIPT} | sh", env={"DGON_ENROL_TOKEN": secret})
    assert "SHA-256 is right" in said and "enrolled as" in said, said
    assert secret not in said
    # The newest of the versions that are offered.
    offered = sorted(machine.out(f"ls {OFFERED}/*.deb").split())
    version = machine.out(["dpkg-query", "--show", "--showformat", "${Version}", "dgon-agent"])
    assert f"_{version}_" in offered[-1] and len(offered) == 2, (version, offered)
    machine.until("the agent serves", lambda: dgon.status(machine))
    assert machine.active("dgon-agent.service")
    # Run again, it finds everything done.
    again = machine.out(f"{SCRIPT} | sh", env={"DGON_ENROL_TOKEN": secret})
    assert "enrolled already" in again, again


def test_refuses_what_is_not_what_was_promised(machine):
    """The script was fetched before the file was changed: as if somebody sat between."""
    offer(machine, "*0.0.2*.deb")
    machine.run(f"{SCRIPT} -o /run/install.sh")
    file = machine.out(f"ls {OFFERED}/*.deb")
    size = machine.out(["stat", "-c", "%s", file])

    machine.run(f"printf X | dd of={file} bs=1 seek=5000 conv=notrunc status=none")
    refused(machine, "sh /run/install.sh --no-enroll", "the SHA-256 of the download is wrong")
    machine.run(["truncate", "-s", "100000", file])
    refused(machine, "sh /run/install.sh --no-enroll", f"not whole: 100000 of {size} bytes")
    machine.run(["rm", file])
    refused(machine, "sh /run/install.sh --no-enroll", "the download failed")

    # A script that was cut off does nothing at all, wherever the cut is.
    length = int(machine.out("stat -c %s /run/install.sh"))
    before = machine.files()
    for cut in range(200, length - 10, length // 12):
        machine.run(f"head -c {cut} /run/install.sh | sh -s -- --no-enroll", check=False)
    assert machine.files() == before and not machine.ok("command -v dgon-agent")


def test_says_what_is_missing(machine):
    dgon.start_plane(machine)
    refused(machine, f"{SCRIPT} | sh", "offers no packages")
    dgon.stop_plane(machine)
    offer(machine, "*.deb")
    refused(machine, f"{SCRIPT} | sh -s -- --format rpm", "has no rpm package")
    refused(machine, f"{SCRIPT} | sh -s -- --format tar", "has no tar package")
    refused(machine, f"{SCRIPT} | sh -s -- --token x", "unknown option")
    refused(machine, f"{SCRIPT} | sh -s -- --token-file /nowhere", "cannot be read")


def test_installs_for_one_user_without_root(machine):
    offer(machine, "*.deb", "*.tar.gz")
    machine.run("useradd --create-home --shell /bin/bash alice")
    machine.run(["install", "-o", "alice", "-m", "600", "/dev/stdin", "/home/alice/token"], input=dgon.token(machine))
    before = machine.files()
    home = {"HOME": "/home/alice", "USER": "alice"}
    said = machine.out(f"{SCRIPT} | sh -s -- --token-file /home/alice/token", user="alice", env=home)
    assert "enrolled as" in said and "not on your PATH" in said, said
    new = [path for path in machine.files() if path not in before]
    assert new and all(path.startswith("/home/alice/") for path in new), new
    assert machine.ok("/home/alice/.local/bin/dgon-agent --version", user="alice", env=home)
    assert machine.ok("/home/alice/.local/bin/dgon-agent key show", user="alice", env=home)
