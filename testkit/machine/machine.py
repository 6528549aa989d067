"""A clean machine: a fresh copy of the clean root file system in which a real systemd runs as process 1.

    with Machine(folder, binds={"/host/folder": "/mnt/dgon"}) as machine:
        machine.run("systemctl is-active dgon-agent")
        machine.until("it serves", lambda: machine.ok("curl -fs http://127.0.0.1:11435/"))

It has its own processes, mounts, network (loopback alone), host name and control groups, all of which end with the
`with` block, and also when this program is killed. Standard library only; needs root.
"""

import contextlib
import dataclasses
import os
import pathlib
import pty
import shutil
import signal
import stat
import subprocess
import threading
import time

import base

HERE = pathlib.Path(__file__).parent
PATIENCE_S = 60
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "",
}
# Not part of what is installed: kernel, memory, and the programs under test.
NOT_LISTED = {"proc", "sys", "dev", "run", "tmp", "mnt"}


class Failed(AssertionError):
    """A command inside the machine ended otherwise than expected."""


@dataclasses.dataclass
class Said:
    """What a command inside printed and how it ended."""

    code: int
    out: str
    err: str


def until(what, found, patience_s=PATIENCE_S):
    """Waits until `found()` is true and gives its result."""
    begin = time.monotonic()
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() - begin > patience_s:
            raise TimeoutError(f"{what}: not within {patience_s} s")
        time.sleep(0.05)


class Machine:
    """See the module. `folder` must not exist yet and is removed at the end; `binds` are read-only folders."""

    until = staticmethod(until)

    def __init__(self, folder, binds=None):
        self.folder = pathlib.Path(folder)
        self.binds = binds or {}
        self.pid = None
        self.unshare = None
        self.cgroup = None
        self.console = bytearray()

    def __enter__(self):
        try:
            self._boot()
        except BaseException:
            print(self.console.decode(errors="replace")[-4000:])
            self._end()
            raise
        return self

    def __exit__(self, kind, _fault, _trace):
        if kind is not None:
            self._tell()
        self._end()

    # --- commands ---

    def run(self, command, check=True, input=None, env=None, user=None, patience_s=PATIENCE_S):
        """Runs a shell command (text) or a program (list) inside, as root or as `user`; what it said.

        Raises `Failed` where it does not end with 0, unless `check` is off; never waits longer than `patience_s`."""
        words = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        if user is not None:
            words = ["runuser", "-u", user, "--", *words]
        enter = ["nsenter", "--target", str(self.pid), *"-m -u -i -n -p -r -w --".split()]
        variables = [f"{name}={value}" for name, value in {**ENVIRONMENT, **(env or {})}.items()]
        given = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        done = subprocess.run(
            [*enter, "env", "-i", *variables, *words],
            capture_output=True, text=True, errors="replace", timeout=patience_s, check=False, **given,
        )
        if check and done.returncode != 0:
            shown = command if isinstance(command, str) else " ".join(words)
            raise Failed(f"`{shown}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return Said(done.returncode, done.stdout, done.stderr)

    def out(self, command, **options):
        """What a command printed, without the blanks around it."""
        return self.run(command, **options).out.strip()

    def ok(self, command, **options):
        """Whether a command ends with 0."""
        return self.run(command, check=False, **options).code == 0

    # --- files ---

    def path(self, inside):
        """The host's path of a file inside, to read and write it directly. Do not follow links with it."""
        return pathlib.Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def put(self, source, inside):
        """Copies a file of the host into the machine."""
        shutil.copy(source, self.path(inside))

    def files(self):
        """Everything on the disk: path to (kind and permissions, owner, group)."""
        root = f"/proc/{self.pid}/root"
        found = {}
        for folder, folders, names in os.walk(root):
            if folder == root:
                folders[:] = [name for name in folders if name not in NOT_LISTED]
            for name in folders + names:
                path = os.path.join(folder, name)
                facts = os.lstat(path)
                found[path.removeprefix(root)] = (stat.filemode(facts.st_mode), facts.st_uid, facts.st_gid)
        return found

    # --- services ---

    def unit(self, name, *properties):
        """Properties of a unit, as systemd says them: `unit("x", "ActiveState")["ActiveState"]`."""
        said = self.out(["systemctl", "show", "--property", ",".join(properties), name])
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def active(self, name):
        return self.unit(name, "ActiveState")["ActiveState"] == "active"

    def journal(self, unit, lines=40):
        return self.out(["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", "--unit", unit])

    # --- life ---

    def _boot(self):
        root_fs = base.root_fs()
        self.folder.mkdir(parents=True)
        self.cgroup = cgroup_root() / f"dgon-machine-{self.folder.name}"
        self.cgroup.mkdir()
        terminal, slave = pty.openpty()
        threading.Thread(target=self._listen, args=[terminal], daemon=True).start()
        binds = [f"{host}:{inside}" for host, inside in self.binds.items()]
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--kill-child=KILL", "--propagation", "private"]
        command += "--mount --pid --fork --uts --ipc --net --cgroup".split()
        command += ["sh", HERE / "boot.sh", root_fs, self.folder, os.ttyname(slave), *binds]
        procs = self.cgroup / "cgroup.procs"
        self.unshare = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
            preexec_fn=lambda: procs.write_text("0"),
        )
        until("the machine's first process", self._first_process)
        until("systemd", lambda: self._alive() and self._is_systemd())
        until("the machine has booted", lambda: self._alive() and self._has_booted())
        os.close(slave)

    def _alive(self):
        if self.unshare.poll() is not None:
            raise Failed(f"the machine did not boot (exit {self.unshare.returncode})")
        return True

    def _first_process(self):
        self._alive()
        children = pathlib.Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children").read_text().split()
        self.pid = int(children[0]) if children else None
        return self.pid

    def _is_systemd(self):
        return pathlib.Path(f"/proc/{self.pid}/comm").read_text().strip() == "systemd"

    def _has_booted(self):
        state = self.run(["systemctl", "is-system-running"], check=False).out.strip()
        if state == "degraded":
            raise Failed("units failed at boot:\n" + self.out("systemctl --failed --no-legend --plain"))
        return state == "running"

    def _listen(self, terminal):
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 4096):
                self.console += piece
        os.close(terminal)

    def _tell(self):
        print("--- the machine's journal")
        with contextlib.suppress(subprocess.SubprocessError, Failed):
            print(self.out("journalctl --no-pager --output=short-monotonic --lines=60 --priority=info"))

    def _end(self):
        if self.unshare is not None:
            if self.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            else:
                self.unshare.kill()
            self.unshare.wait()
        if self.cgroup is not None:
            until("the machine's control groups end", lambda: remove_cgroup(self.cgroup))
        shutil.rmtree(self.folder, ignore_errors=True)


def cgroup_root():
    """Where the unified hierarchy is mounted: alone, or beside the old ones."""
    for place in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]:
        if os.path.exists(f"{place}/cgroup.procs") and os.path.exists(f"{place}/cgroup.controllers"):
            return pathlib.Path(place)
    raise base.Unavailable("the kernel's unified control groups (cgroup2) are not mounted")


def remove_cgroup(top):
    """Whether it is gone. A group can be removed once its last process has been reaped."""
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not top.exists()
