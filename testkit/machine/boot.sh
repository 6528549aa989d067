#!/bin/sh
# The first process of a clean machine, in its own namespaces: mounts what a container has, then becomes systemd.
# usage: boot.sh BASE WORK CONSOLE [FOLDER:PLACE]...
#   BASE     the clean root file system, never written to
#   WORK     an empty folder for what this machine writes
#   CONSOLE  a terminal that takes what systemd says
#   FOLDER:PLACE  a folder of the host that is seen at PLACE, read-only
set -eu
base=$1 work=$2 console=$3
shift 3
root=$work/root
# In memory, and in this namespace alone: quick, and gone with the machine whatever ends it.
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$root" "$work/upper" "$work/work"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
# Settings of the host's kernel are not this machine's to change.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    name=${node%%:*} numbers=${node#*:}
    mknod -m 666 "$root/dev/$name" c "${numbers%%:*}" "${numbers##*:}"
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
: >"$root/dev/console"
mount --bind "$console" "$root/dev/console"
for bind in "$@"; do
    place=$root${bind#*:}
    mkdir -p "$place"
    mount --bind "${bind%%:*}" "$place"
    mount -o remount,bind,ro "$place"
done
hostname clean-machine
cd "$root"
# The host's files are gone from this namespace after this.
pivot_root . .
umount -l .
cd /
exec env -i container=dgon PATH=/usr/sbin:/usr/bin \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot,-mac_admin,-mac_override,-wake_alarm \
    /lib/systemd/systemd --show-status=1 </dev/console >/dev/console 2>&1
