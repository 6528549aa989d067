"""The clean root file system that every machine starts from: Debian's smallest, with a real systemd.

It is made once by debootstrap and kept in the user's cache directory under a name that holds its suite and its list of
packages, so a change of either makes a new one. Nothing ever writes to it: machines lie over it as overlays.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

# What an ordinary server has and a package of ours may count on; `rpm` so that its packages can be installed too.
PACKAGES = [
    "adduser", "ca-certificates", "curl", "dbus", "iproute2", "libpam-systemd", "procps", "rpm", "systemd",
    "systemd-sysv",
]
DEFAULT_MIRROR = "http://deb.debian.org/debian"
KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Raised when `finish` changes, so that older caches are not used.
RECIPE = 1


class Unavailable(Exception):
    """Why this machine cannot make clean machines."""


def os_release():
    lines = pathlib.Path("/etc/os-release").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key: value.strip('"') for key, value in pairs}


def check():
    """Raises `Unavailable` where clean machines cannot be made, and says for want of what."""
    if os.geteuid() != 0:
        raise Unavailable("clean machines need root (namespaces, mounts, debootstrap)")
    release = os_release() if pathlib.Path("/etc/os-release").exists() else {}
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise Unavailable("clean machines are made on Debian only: the programs must fit their C library")
    for program in ["debootstrap", "unshare", "nsenter", "setpriv", "pivot_root"]:
        if shutil.which(program) is None:
            raise Unavailable(f"{program} is missing; install the packages debootstrap and util-linux")


def mirror(suite):
    """The archive that this machine's own apt uses for `suite`."""
    for file in sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.sources")):
        for block in file.read_text().split("\n\n"):
            fields = dict(
                line.split(":", 1) for line in block.splitlines() if ":" in line and not line.startswith(("#", " "))
            )
            if suite in fields.get("Suites", "").split() and fields.get("URIs", "").split():
                return fields["URIs"].split()[0]
    lists = [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt").glob("sources.list.d/*.list"))]
    for file in lists:
        for line in file.read_text().splitlines() if file.exists() else []:
            words = [word for word in line.split() if not word.startswith(("[", "signed-by", "arch="))]
            if words[:1] == ["deb"] and words[2:3] == [suite]:
                return words[1]
    return DEFAULT_MIRROR


def proxy():
    """The proxy that apt uses, as environment for debootstrap."""
    said = subprocess.run(["apt-config", "dump", "Acquire::http::Proxy"], capture_output=True, text=True, check=False)
    address = said.stdout.partition('"')[2].partition('"')[0]
    return {"http_proxy": address} if address and address != "DIRECT" else {}


def root_fs():
    """The folder of the clean root file system; made where it is not there yet."""
    check()
    suite = os_release()["VERSION_CODENAME"]
    key = hashlib.sha256(" ".join([*PACKAGES, suite, str(RECIPE)]).encode()).hexdigest()[:12]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dgon"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"machine-{suite}-{key}"
    with lock(cache / "machine.lock"):
        if not folder.exists():
            make(suite, folder)
    return folder


@contextlib.contextmanager
def lock(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make(suite, folder):
    print(f"making a clean {suite} by debootstrap (once; about a minute)", flush=True)
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--keyring={KEYRING}"] if KEYRING.exists() else []
    command += [suite, str(part), mirror(suite)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **proxy()}, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"debootstrap failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    finish(part)
    part.rename(folder)


def finish(root):
    """Takes out what makes one machine this machine, and what only costs space."""
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("clean-machine\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost clean-machine\n::1 localhost\n")
    (root / "etc/resolv.conf").write_text("")
    for waste in ["var/cache/apt/archives", "var/lib/apt/lists"]:
        for entry in (root / waste).iterdir():
            if entry.is_file():
                entry.unlink()
    # The journal in memory alone, so that a machine's disk holds only what its packages wrote.
    drop = root / "etc/systemd/journald.conf.d"
    drop.mkdir(parents=True)
    (drop / "volatile.conf").write_text("[Journal]\nStorage=volatile\nRateLimitBurst=0\n")
