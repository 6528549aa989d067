"""The agent as a service of systemd: installed, watched, upgraded, stopped and taken out again."""

import json
import re

import dgon

UNIT = "dgon-agent"
AGENT = "/mnt/dgon/dgon-agent"
SHORT_WATCHDOG = "[Service]\nWatchdogSec=2\nRestartSec=0\n"
WATCHDOG_US = 2_000_000


def enrol(machine):
    """Enrols the machine as root; the token, which must not be seen again."""
    token = dgon.token(machine)
    machine.run(f"{AGENT} enroll --api {dgon.PLANE} --token-file -", input=token)
    return token


def whole(machine):
    """Control plane, runtime, and the agent enrolled and installed; the token."""
    dgon.start_plane(machine)
    dgon.start_runtime(machine)
    token = enrol(machine)
    machine.run(f"{AGENT} service install")
    return token


def drop_in(machine, text):
    folder = f"/etc/systemd/system/{UNIT}.service.d"
    machine.run(f"mkdir -p {folder} && cat > {folder}/test.conf && systemctl daemon-reload", input=text)


def unit(machine, name):
    return machine.unit(UNIT, name)[name]


def status(machine, arguments="", **options):
    """`service status --json`, whatever its exit code."""
    said = machine.run(f"{AGENT} service status --json {arguments}", check=False, **options)
    return json.loads(said.out)


def linked(machine):
    said = dgon.status(machine)
    return said if said and said["link"]["phase"] == "connected" else None


def differences(before, after):
    """Paths that are not as they were. What every change of users leaves, and systemd's own notes, do not count."""
    noise = re.compile(r"^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-|var/cache/|var/log/(?!dgon)|var/lib/systemd/)")
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return sorted(path for path in changed if not noise.match(path))


def test_install_run_uninstall_leaves_the_machine_as_it_was(machine):
    dgon.start_plane(machine)
    dgon.start_runtime(machine)
    clean = machine.files()
    accounts = machine.out("cat /etc/passwd /etc/group")
    token = enrol(machine)
    enrolled = machine.files()
    node = json.loads(machine.out(f"{AGENT} key show --json"))

    said = machine.run(f"{AGENT} service install").out
    assert "made the system user dgon" in said and "it is ready" in said, said
    assert dgon.ask(machine)
    machine.until("the link", lambda: linked(machine))
    assert unit(machine, "User") == "dgon" and unit(machine, "UnitFileState") == "enabled"
    state = status(machine)
    assert state["service"]["running"] and state["service"]["enabled"] and state["same_version"] is True, state
    assert state["service"]["program"] == "/usr/local/bin/dgon-agent"
    assert state["running_version"] == state["this_version"]
    text = machine.out(f"{AGENT} service status")
    assert "running    yes" in text and "enabled    yes" in text, text
    owner = machine.files()
    dgon_uid = int(machine.out("id -u dgon"))
    for path in ["/var/lib/dgon", "/var/lib/dgon/node.key", "/var/lib/dgon/spool"]:
        assert owner[path][1] == dgon_uid, (path, owner[path])
    assert owner["/var/log/dgon"][1] == dgon_uid
    exposure = machine.out(f"systemd-analyze security {UNIT} | tail -1")
    print(exposure)
    assert float(re.search(r"([0-9.]+) \w+", exposure)[1]) <= 3.0

    assert unit(machine, "NRestarts") == "0"
    journal = machine.journal(UNIT, 10000)
    secret = machine.out("cat /var/lib/dgon/node.secret")
    for hidden in [token, "Say hello", *re.findall(r"[A-Za-z0-9+/=_-]{40,}", secret)]:
        assert hidden not in journal, f"in the log: {hidden}"

    assert not re.search(r"^20\d\d-|^<\d>|\x1b", journal, re.M), "the journal has the time and the priority itself"
    assert "the agent runs" in machine.out(f"journalctl --unit {UNIT} --output=cat PRIORITY=6")

    said = machine.run(f"{AGENT} service uninstall").out
    assert "kept /var/lib/dgon" in said and "/etc/dgon/agent.yaml" in said and "--purge" in said, said
    assert json.loads(machine.out(f"{AGENT} key show --json")) == node
    left = [path for path in differences(enrolled, machine.files()) if not path.startswith("/var/lib/dgon")]
    assert left == ["/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow"] or left == [], left
    said = machine.run(f"{AGENT} service uninstall --purge").out
    assert "deleted /var/lib/dgon" in said and "removed the system user dgon" in said, said
    assert differences(clean, machine.files()) == []
    assert machine.out("cat /etc/passwd /etc/group") == accounts


def test_is_active_only_once_it_serves(machine):
    """While its port is taken it is not active, however long; it is as soon as the port is free."""
    dgon.start_plane(machine)
    enrol(machine)
    listen = dgon.PROXY.rpartition(":")[2]
    machine.run(f"systemd-run --quiet --unit=squatter /mnt/dgon/dgon-sim runtime --kind ollama --port {listen}")
    machine.until("the squatter", lambda: machine.ok(f"curl -s {dgon.PROXY}/"))
    said = machine.run(f"{AGENT} service install", check=False)
    assert said.code == 1 and "journalctl" in said.err, said
    machine.until("it tried twice", lambda: int(unit(machine, "NRestarts")) >= 2)
    assert unit(machine, "ActiveEnterTimestampMonotonic") == "0", "it was active without serving"
    machine.run("systemctl stop squatter")
    machine.until("it serves", lambda: machine.active(UNIT))
    assert machine.ok(f"curl -s {dgon.PROXY}/api/version -o /dev/null")
    assert "serving" in unit(machine, "StatusText")


def test_a_frozen_agent_is_started_anew(machine):
    whole(machine)
    machine.until("the link", lambda: linked(machine))
    drop_in(machine, SHORT_WATCHDOG)
    machine.run("systemctl restart dgon-agent")
    old = dgon.status(machine)
    assert dgon.ask(machine)
    seq = dgon.status(machine)["spool"]["last_seq"]
    before = unit(machine, "MainPID")
    machine.run(f"kill -STOP {before}")
    machine.until("systemd starts it again", lambda: unit(machine, "NRestarts") == "1")
    machine.until("it serves again", lambda: machine.active(UNIT))
    assert unit(machine, "MainPID") != before
    machine.until("systemd's word", lambda: "Watchdog timeout" in machine.journal(UNIT, 1000))
    again = machine.until("the link again", lambda: linked(machine))
    assert again["node_id"] == old["node_id"] and again["spool"]["last_seq"] >= seq, again
    assert not machine.ok("ls /var/lib/systemd/coredump/* 2>/dev/null"), "a core file would hold the key"


def test_a_control_plane_that_is_away_restarts_nothing(machine):
    """Several watchdog periods long."""
    whole(machine)
    drop_in(machine, SHORT_WATCHDOG)
    machine.run("systemctl restart dgon-agent")
    machine.until("the link", lambda: linked(machine))
    before = unit(machine, "MainPID")
    dgon.stop_plane(machine)
    machine.until("it has noticed", lambda: dgon.status(machine)["link"]["phase"] == "waiting")
    def fed():
        return int(unit(machine, "WatchdogTimestampMonotonic"))

    since = fed()
    machine.until("it was fed for five periods", lambda: fed() > since + 5 * WATCHDOG_US)
    assert dgon.ask(machine), "it serves without a control plane"
    assert (unit(machine, "NRestarts"), unit(machine, "MainPID")) == ("0", before)
    machine.until("it says so", lambda: "no link to the control plane" in unit(machine, "StatusText"))
    warned = machine.out(f"journalctl --unit {UNIT} --output=cat --priority=warning")
    assert "no link to the control plane" in warned, warned
    dgon.start_plane(machine)
    machine.until("the link is back", lambda: linked(machine))
    machine.until("the receipt is delivered", lambda: dgon.status(machine)["spool"]["depth"] == 0)
    assert unit(machine, "MainPID") == before


def test_an_upgrade_in_place_keeps_identity_and_spool(machine):
    whole(machine)
    machine.until("the link", lambda: linked(machine))
    dgon.stop_plane(machine)
    for _ in range(3):
        assert dgon.ask(machine)
    key = machine.out(f"{AGENT} key show --json")
    old = dgon.status(machine)
    assert old["spool"]["depth"] >= 3, old
    # Another build of the program: the same but for a tail that nothing reads.
    machine.run(f"mkdir -p /srv/new && cp {AGENT} /srv/new/ && echo tail >> /srv/new/dgon-agent")
    said = machine.run("/srv/new/dgon-agent service install").out
    assert "copied /srv/new/dgon-agent" in said and "ready" in said, said
    assert machine.ok("cmp /srv/new/dgon-agent /usr/local/bin/dgon-agent")
    new = dgon.status(machine)
    assert new["pid"] != old["pid"] and machine.active(UNIT)
    assert machine.ok("cmp /proc/%d/exe /srv/new/dgon-agent" % new["pid"])
    for name in ["depth", "last_seq", "acked_seq"]:
        assert new["spool"][name] == old["spool"][name], name
    assert new["node_id"] == old["node_id"] and machine.out(f"{AGENT} key show --json") == key
    dgon.start_plane(machine)
    machine.until("all is delivered", lambda: dgon.status(machine)["spool"]["depth"] == 0)
    # Once more, with nothing new: it is said, and does no harm.
    said = machine.run("/usr/local/bin/dgon-agent service install").out
    assert "is up to date" in said, said
    assert machine.active(UNIT)
    machine.run("/usr/local/bin/dgon-agent service uninstall --purge")
    assert not machine.ok("ls /usr/local/bin/dgon-agent"), "the copy goes, too"


def test_a_stop_lets_running_answers_end(machine):
    whole(machine)
    machine.until("the link", lambda: linked(machine))
    machine.run("systemctl stop sim-ollama; systemctl reset-failed sim-ollama 2>/dev/null || true")
    dgon.start_runtime(machine, "ollama", "--answer-tokens", "30", "--tokens-per-second", "10")
    machine.until("the runtime is found", lambda: any(one["ready"] for one in dgon.status(machine)["runtimes"]))
    body = {"model": dgon.MODEL["ollama"], "messages": [{"role": "user", "content": "Say much."}]}
    machine.run("cat > /run/ask", input=json.dumps(body))
    machine.run(f"systemd-run --quiet --unit=client sh -c 'curl -sN {dgon.PROXY}/api/chat -d @/run/ask > /run/answer'")
    machine.until("the answer has begun", lambda: machine.ok("test -s /run/answer"))
    assert '"done":true' not in machine.out("cat /run/answer"), "the answer is too short for this test"
    machine.run("systemctl stop dgon-agent")
    assert unit(machine, "Result") == "success" and unit(machine, "ExecMainStatus") == "0"
    machine.until("the client ends", lambda: not machine.active("client"))
    assert '"done":true' in machine.out("cat /run/answer"), "the stream was cut"
    journal = machine.journal(UNIT)
    assert "every receipt is on disk" in journal, journal
    said = json.loads(machine.out(f"{AGENT} receipt list --json --state-dir /var/lib/dgon"))
    local = [one["receipt"] for one in said["items"] if one["receipt"].get("source") != "probe"]
    assert len(local) == 1 and local[0]["tokens_output"] == 30, said


def test_a_machine_that_is_not_enrolled_is_told_what_comes_next(machine):
    said = machine.run(f"{AGENT} service install").out
    assert "not enrolled" in said and "dgon-agent enroll" in said and "service start" in said, said
    assert not machine.active(UNIT) and machine.out("systemctl is-system-running") == "running"
    assert status(machine)["service"]["enabled"]
    said = machine.run(f"{AGENT} service start").out
    assert "enrolled" in said and not machine.active(UNIT), said
    dgon.start_plane(machine)
    enrol(machine)
    machine.run(f"{AGENT} service start")
    assert machine.active(UNIT)
    machine.run(f"{AGENT} service stop")
    assert not machine.active(UNIT)
    assert machine.run(f"{AGENT} service status", check=False).code == 1
    machine.run(f"{AGENT} service restart")
    assert machine.active(UNIT)


def test_refusals_say_what_to_do(machine):
    machine.run("useradd --create-home --shell /bin/bash ada")
    said = machine.run(f"{AGENT} service install", check=False, user="ada", env={"HOME": "/home/ada"})
    assert said.code == 1 and "sudo dgon-agent service install" in said.err and "--user" in said.err, said
    said = machine.run(f"{AGENT} service install --user", check=False)
    assert said.code == 1 and "without sudo" in said.err, said
    said = machine.run(f"{AGENT} service install --user", check=False, user="ada", env={"HOME": "/home/ada"})
    assert said.code == 1 and "enable-linger ada" in said.err, said
    said = machine.run(f"{AGENT} service start", check=False)
    assert said.code == 1 and "`dgon-agent service install`" in said.err, said
    said = machine.run(f"{AGENT} service install --state-dir /srv/x", check=False)
    assert said.code == 64 and "/var/lib/dgon" in said.err, said


def test_a_users_own_service(machine):
    dgon.start_plane(machine)
    dgon.start_runtime(machine)
    machine.run("useradd --create-home --shell /bin/bash ada && loginctl enable-linger ada")
    uid = machine.out("id -u ada")
    machine.until("ada's systemd", lambda: machine.active(f"user@{uid}"))
    env = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": f"/run/user/{uid}"}

    def ada(command, **options):
        return machine.run(command, user="ada", env=env, **options)

    clean = machine.files()
    ada(f"{AGENT} enroll --api {dgon.PLANE} --token-file -", input=dgon.token(machine))
    said = ada(f"{AGENT} service install --user").out
    assert "started" in said and "enable-linger" not in said, said
    state = status(machine, "--user", user="ada", env=env)
    assert state["service"]["running"] and state["same_version"] is True, state
    assert dgon.ask(machine)
    pid = state["service"]["pid"]
    assert machine.out(f"ps -o user= -p {pid}") == "ada"
    ada("mkdir -p ~/.config/systemd/user/dgon-agent.service.d")
    ada("cat > ~/.config/systemd/user/dgon-agent.service.d/test.conf", input=SHORT_WATCHDOG)
    ada("systemctl --user daemon-reload && systemctl --user restart dgon-agent")
    before = ada("systemctl --user show -P MainPID dgon-agent").out.strip()
    machine.run(f"kill -STOP {before}")
    restarts = "systemctl --user show -P NRestarts dgon-agent"
    machine.until("ada's systemd starts it again", lambda: ada(restarts).out.strip() == "1")
    machine.until("it serves again", lambda: machine.ok(f"curl -s {dgon.PROXY}/ -o /dev/null"))
    ada("rm -r ~/.config/systemd/user/dgon-agent.service.d && systemctl --user daemon-reload")
    unit_file = "/home/ada/.config/systemd/user/dgon-agent.service"
    checked = ada(f"systemd-analyze --user verify {unit_file}", check=False)
    assert checked.code == 0 and not checked.err, checked
    said = ada(f"{AGENT} service uninstall --user").out
    assert "kept /home/ada/.local/state/dgon" in said and "--user --purge" in said, said
    said = ada(f"{AGENT} service uninstall --user --purge").out
    assert "deleted /home/ada/.local/state/dgon" in said, said
    left = differences(clean, machine.files())
    assert left in ([], ["/home/ada/.config", "/home/ada/.local", "/home/ada/.local/state"]), left
