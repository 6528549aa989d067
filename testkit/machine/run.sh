#!/bin/sh
# Tests on clean machines: a fresh Debian with a real systemd for each. Needs root, Debian and debootstrap, and says so
# where they are missing. Everything it makes lies under target/, but for the clean root file system, which is kept in
# ~/.cache/dgon.
set -eu
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --package dgon-agent --package dgon-control-plane --package dgon-testkit
exec python3 testkit/machine/run.py --bin "$target/debug" --work "$target/machine" "$@"
