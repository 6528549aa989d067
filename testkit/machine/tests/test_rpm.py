"""The .rpm on a clean machine. Its scripts run for real; only its dependencies cannot be asked for, as rpm's database
knows nothing of what Debian installed."""

import dgon
from test_deb import UNIT, enrol, kept, process, serve_one


def package(machine, version):
    return machine.out(f"ls /mnt/packages/dgon-agent-{version}-*.rpm")


def test_life_of_an_rpm(machine):
    """Install, enrol, run, upgrade, remove."""
    dgon.start_plane(machine)
    dgon.start_runtime(machine)
    dgon.sign_in(machine)
    said = machine.run(["rpm", "--install", "--nodeps", package(machine, "0.0.1")]).out
    assert "dgon-agent enroll" in said, said
    assert machine.unit(UNIT, "LoadState", "ActiveState") == {"LoadState": "loaded", "ActiveState": "inactive"}
    assert machine.out("rpm --verify --nodeps dgon-agent") == ""

    enrol(machine)
    machine.run(["systemctl", "enable", UNIT])
    assert machine.out(f"ps -o user= -p {process(machine)}") == "dgon"
    serve_one(machine)
    same, pid = kept(machine), process(machine)

    machine.run(["rpm", "--upgrade", "--nodeps", package(machine, "0.0.2")])
    assert machine.out("rpm --query dgon-agent").startswith("dgon-agent-0.0.2-1.")
    machine.until("the new process", lambda: process(machine) not in ("0", pid) and dgon.status(machine))
    assert kept(machine) == same
    assert machine.ok(f"systemctl is-enabled {UNIT}")
    serve_one(machine)

    machine.run(["rpm", "--erase", "dgon-agent"])
    assert not machine.active(UNIT) and not machine.ok("command -v dgon-agent")
    assert not machine.ok("test -e /etc/systemd/system/multi-user.target.wants/dgon-agent.service")
    assert kept(machine) == same, "identity and settings stay"
