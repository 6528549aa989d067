"""The machines themselves: a test on them means something only if they are what they claim to be."""

import dgon


def test_is_clean_and_alone(machine):
    """A real systemd with nothing failed, nothing of ours, no host in sight, and no way out but loopback."""
    assert machine.out("cat /proc/1/comm") == "systemd"
    assert machine.out("systemctl is-system-running") == "running"
    assert not machine.ok("getent passwd dgon")
    assert not [path for path in machine.files() if "dgon" in path]
    links = machine.out("ls /sys/class/net").split()
    assert "lo" in links and not machine.ok("ip route get 192.0.2.1"), links
    assert not machine.ok("date --set @0") and not machine.ok("echo 1 > /proc/sys/kernel/panic")
    assert not machine.ok("touch /mnt/dgon/x")


def test_runs_a_control_plane_and_a_runtime(machine):
    dgon.start_plane(machine)
    dgon.start_runtime(machine)
    dgon.sign_in(machine)
    assert dgon.api(machine, "/nodes")["items"] == []
    assert dgon.token(machine)
    assert dgon.status(machine) is None, "no agent runs yet"
