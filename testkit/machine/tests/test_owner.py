"""Who works at the machine, as the real login manager of a real systemd says it."""

import dgon

PLACES = {"DGON_STATE_DIR": "/run/owner-state"}


def idle_limit(machine):
    """What the running agent says of its limit `idle_only`: verdict and finding."""
    status = dgon.status_in(machine, PLACES)
    limits = (status or {"owner": {"limits": []}})["owner"]["limits"]
    return next(((one["verdict"], one["finding"]) for one in limits if one["limit"] == "idle_only"), (None, None))


def test_idle_only_asks_the_login_manager(machine):
    """Nobody is logged in: the node serves. Somebody logs in at a terminal: it pauses, and serves when they leave."""
    machine.run("systemctl start dbus systemd-logind")
    dgon.start_plane(machine)
    machine.run("mkdir -m 700 /run/owner-state")
    machine.run("/mnt/dgon/dgon-agent enroll --api " + dgon.PLANE, env={**PLACES, "DGON_ENROL_TOKEN": dgon.token(machine)})
    variables = [f"--setenv={name}={value}" for name, value in {**PLACES, "DGON_OWNER_IDLE_ONLY": "true"}.items()]
    machine.run(["systemd-run", "--quiet", "--unit=owner-agent", *variables, "/mnt/dgon/dgon-agent", "run"])
    machine.until("nobody is seen", lambda: idle_limit(machine) == ("clear", "nobody works at the machine"))

    # `login` on a pseudo-terminal opens a session as getty and sshd do.
    session = "sleep infinity | script -qefc 'login -f root' /dev/null"
    machine.run(["systemd-run", "--quiet", "--unit=person", "--setenv=TERM=linux", "sh", "-c", session])
    machine.until("a session", lambda: "root" in machine.out("loginctl --no-legend list-sessions"))
    machine.until("somebody is seen", lambda: idle_limit(machine) == ("stops", "somebody works at the machine"))
    status = dgon.status_in(machine, PLACES)
    assert status["owner"]["reasons"] == ["machine_in_use"], status["owner"]

    machine.run("loginctl terminate-user root; systemctl stop person || true")
    machine.until("they left", lambda: idle_limit(machine)[0] == "clear")

    # Without the login manager nothing is guessed: only requests count, and the owner is told.
    machine.run("systemctl stop dbus.socket dbus || true")
    said = machine.out("/mnt/dgon/dgon-agent config check", env={**PLACES, "DGON_OWNER_IDLE_ONLY": "true"})
    assert "people at this machine cannot be seen" in said, said
