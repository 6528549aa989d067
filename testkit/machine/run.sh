#!/bin/sh
# Tests on clean machines: a fresh Debian with a real systemd for each. Needs root, Debian and debootstrap, and says so
# where they are missing. Everything it makes lies under target/, but for the clean root file system, which is kept in
# ~/.cache/dgon.
set -eu
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
# Packages of the debug programs in two versions: the newer one is what the older one is upgraded to.
packages="$target/machine-packages"
rm -rf "$packages"
for version in 0.0.1 0.0.2; do
    cargo run --quiet --package dgon-xtask -- package --profile dev --only deb,rpm,tar --version "$version" \
        --out "$packages" >"$target/machine-packages.log" 2>&1 || {
        cat "$target/machine-packages.log"
        exit 1
    }
done
exec python3 testkit/machine/run.py --bin "$target/debug" --packages "$packages" --work "$target/machine" "$@"
