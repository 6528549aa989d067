#!/bin/sh
# Installs dgon-agent on this machine. A control plane serves this script with its own address and the checksums of
# its packages in it:
#
#   curl -fsSL https://CONTROL-PLANE/install.sh | sh
#   curl -fsSL https://CONTROL-PLANE/install.sh | sh -s -- --dry-run
#
# It fetches one package from that control plane, refuses it unless its SHA-256 is the one below, and installs it: as
# root the .deb or .rpm (else an archive below /usr/local), as another user an archive below ~/.local. Then it enrols
# the machine, with a token that is asked for, or read from DGON_ENROL_TOKEN or a file; never from the command line,
# which other users can see. Nothing runs before the last line: a script that was cut off on its way does nothing.
set -eu

origin='@ORIGIN@'
# Each line: kind, SHA-256, bytes, name.
files='@FILES@'

usage() {
    cat <<'END'
usage: install.sh [--dry-run] [--user] [--format deb|rpm|tar] [--token-file FILE] [--no-enroll]

  --dry-run          say what would be done, and do nothing
  --user             install below ~/.local, without root
  --format FORMAT    deb, rpm or tar, instead of what this system uses
  --token-file FILE  the enrolment token; else DGON_ENROL_TOKEN, else it is asked for
  --no-enroll        install only
END
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# Says a command, and runs it unless this is a dry run.
run() {
    say "+ $*"
    [ -n "$dry_run" ] || "$@"
}

read_flags() {
    dry_run='' user='' format='' token_file='' enrol=1
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry_run=1 ;;
        --user) user=1 ;;
        --no-enroll) enrol='' ;;
        --format | --token-file)
            [ $# -ge 2 ] || fail "$1 needs a value"
            if [ "$1" = --format ]; then format=$2; else token_file=$2; fi
            shift
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            usage >&2
            fail "unknown option: $1"
            ;;
        esac
        shift
    done
    case $format in
    '' | deb | rpm | tar) ;;
    *) fail "--format takes deb, rpm or tar" ;;
    esac
    if [ -n "$token_file" ] && [ ! -r "$token_file" ]; then
        fail "the token file $token_file cannot be read"
    fi
}

# Sets: system, arch, libc, is_root, prefix, format.
look_at_machine() {
    case $(uname -s) in
    Linux) system=linux ;;
    Darwin) system=macos ;;
    *) fail "there is no package for $(uname -s); on Windows use the zip from $origin/downloads/" ;;
    esac
    case $(uname -m) in
    x86_64 | amd64) arch=x86_64 ;;
    aarch64 | arm64) arch=aarch64 ;;
    *) fail "there is no package for $(uname -m) processors" ;;
    esac
    libc=''
    if [ "$system" = linux ]; then
        if getconf GNU_LIBC_VERSION >/dev/null 2>&1; then libc=glibc; else libc=other; fi
    fi
    is_root=''
    if [ "$(id -u)" -eq 0 ] && [ -z "$user" ]; then is_root=1; fi
    if [ -n "$is_root" ]; then
        prefix=/usr/local
    else
        [ -n "${HOME:-}" ] || fail "HOME is not set, so there is no place to install to"
        prefix=$HOME/.local
    fi
    choose_format
}

choose_format() {
    if [ -n "$format" ]; then
        [ "$format" = tar ] || [ -n "$is_root" ] || fail "a .$format is installed by root; run this with sudo, or use --format tar"
    elif [ -z "$is_root" ] || [ "$system" != linux ] || [ "$libc" != glibc ]; then
        format=tar
    elif has dpkg && kind_is_there deb; then
        format=deb
    elif has rpm && kind_is_there rpm; then
        format=rpm
    else
        format=tar
    fi
}

# The kinds that fit this machine, best first.
kinds() {
    case $1-$arch in
    deb-x86_64) say _amd64.deb ;;
    deb-aarch64) say _arm64.deb ;;
    rpm-*) say "-1.$arch.rpm" ;;
    tar-*)
        if [ "$system" = macos ]; then
            say "-macos-$arch.tar.gz"
            return
        fi
        if [ "$libc" = glibc ]; then say "-linux-$arch.tar.gz"; fi
        say "-linux-$arch-musl.tar.gz"
        ;;
    esac
}

# The line of the first kind that this control plane has.
line_of() {
    for kind in $(kinds "$1"); do
        line=$(say "$files" | awk -v kind="$kind" '$1 == kind { print; exit }')
        if [ -n "$line" ]; then
            say "$line"
            return
        fi
    done
}
kind_is_there() { [ -n "$(line_of "$1")" ]; }

choose_file() {
    [ -n "$files" ] || fail "the control plane $origin offers no packages. Its operator sets downloads_dir (DGON_DOWNLOADS_DIR) to a folder with what \`cargo xtask package\` makes."
    chosen=$(line_of "$format")
    [ -n "$chosen" ] || fail "the control plane $origin has no $format package for $system on $arch. It has:
$(say "$files" | awk '{ print "  " $4 }')"
    # shellcheck disable=SC2086  # four words without blanks in them
    set -- $chosen
    sum=$2 bytes=$3 name=$4
    case $name in
    *-musl.tar.gz) is_static=1 ;;
    *) is_static='' ;;
    esac
}

sha256_of() {
    if has sha256sum; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif has shasum; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    elif has openssl; then
        openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
    else
        fail "neither sha256sum, shasum nor openssl is here, so the package cannot be checked"
    fi
}

fetch() {
    say "fetching $origin/downloads/$name ($bytes bytes)"
    if has curl; then
        curl --fail --silent --show-error --location --output "$work/$name" "$origin/downloads/$name" ||
            fail "the download failed"
    elif has wget; then
        wget --quiet --output-document="$work/$name" "$origin/downloads/$name" || fail "the download failed"
    else
        fail "neither curl nor wget is here"
    fi
    got=$(wc -c <"$work/$name" | tr -d ' ')
    [ "$got" = "$bytes" ] || fail "the download is not whole: $got of $bytes bytes. Nothing was installed."
    got=$(sha256_of "$work/$name")
    [ "$got" = "$sum" ] || fail "the SHA-256 of the download is wrong. Nothing was installed.
  expected $sum
  got      $got"
    say "SHA-256 is right: $sum"
}

install_deb() {
    say "+ dpkg --install $name"
    [ -n "$dry_run" ] && return
    if ! dpkg --install "$work/$name"; then
        has apt-get || fail "dpkg could not install the package"
        # What it depends on was missing.
        run apt-get install --yes --fix-broken
    fi
}

install_rpm() {
    if has dnf; then
        run dnf install --assumeyes "$work/$name"
    elif has zypper; then
        run zypper --non-interactive install --allow-unsigned-rpm "$work/$name"
    elif has yum; then
        run yum install --assumeyes "$work/$name"
    else
        run rpm --upgrade --verbose --hash "$work/$name"
    fi
}

install_tar() {
    say "+ unpack $name to $prefix/bin and $prefix/share"
    [ -n "$dry_run" ] && return
    tar -xzf "$work/$name" -C "$work"
    tree=$work/${name%.tar.gz}
    mkdir -p "$prefix/bin" "$prefix/share"
    # Beside the old program and then over it: one that is running goes on, and none is ever half.
    cp "$tree/bin/dgon-agent" "$prefix/bin/.dgon-agent.new"
    chmod 755 "$prefix/bin/.dgon-agent.new"
    mv -f "$prefix/bin/.dgon-agent.new" "$prefix/bin/dgon-agent"
    cp -R "$tree/share/." "$prefix/share/"
}

# Where the program is now.
program() {
    if [ "$format" = tar ]; then say "$prefix/bin/dgon-agent"; else say /usr/bin/dgon-agent; fi
}

can_ask() { (: </dev/tty) 2>/dev/null; }

enrol_machine() {
    agent=$(program)
    # Who took the program over plain HTTP has accepted that for the enrolment; the agent says what it means.
    insecure=''
    case $origin in http://*) insecure=--insecure-http ;; esac
    if [ -n "$token_file" ]; then
        run "$agent" enroll --api "$origin" $insecure --token-file "$token_file"
    elif [ -n "${DGON_ENROL_TOKEN:-}" ]; then
        run "$agent" enroll --api "$origin" $insecure
    elif [ -n "$dry_run" ]; then
        say "+ $agent enroll --api $origin $insecure    (asks for the token)"
    elif can_ask; then
        run "$agent" enroll --api "$origin" $insecure </dev/tty
    else
        say "No token and no terminal to ask on. Next:"
        say "  $agent enroll --api $origin $insecure"
        enrol=''
    fi
}

start_service() {
    if [ "$format" != tar ] && [ -d /run/systemd/system ]; then
        run systemctl enable --now dgon-agent
    elif [ -n "$is_root" ]; then
        say "Next: $(program) service install"
    else
        say "Next: $(program) run"
        say "As a service of yours: $(program) service install --user"
    fi
}

main() {
    read_flags "$@"
    look_at_machine
    choose_file
    say "dgon-agent for $system on $arch, from $origin"
    if [ -n "$dry_run" ]; then
        say "would fetch $origin/downloads/$name ($bytes bytes, SHA-256 $sum)"
        work='.'
    else
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        trap 'exit 1' HUP INT TERM
        fetch
    fi
    "install_$format"
    if [ -n "$is_static" ] && { [ -e /dev/nvidiactl ] || has nvidia-smi; }; then
        say "note: this is the static build, which cannot load NVIDIA's library: its GPUs will not be seen"
    fi
    [ -n "$enrol" ] && enrol_machine
    [ -n "$enrol" ] && start_service
    case :$PATH: in
    *":$(dirname "$(program)"):"*) ;;
    *) say "note: $(dirname "$(program)") is not on your PATH" ;;
    esac
    if [ -n "$dry_run" ]; then say "nothing was done"; else say "done"; fi
}

main "$@"
