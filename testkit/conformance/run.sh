#!/bin/sh
# The HTTP API against its own OpenAPI document, by schemathesis of PyPI: as nobody, admin, operator, API key and node.
# usage: run.sh [--long] [--seed N] [--only ROLE]
# Needs python3 with venv and cargo. Everything it makes lies under target/.
set -eu
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
# As the gate builds them (xtask/src/build.rs): any other choice would build their dependencies anew.
cargo build --quiet --workspace --features dgon-agent/schema --lib --bins --examples
python=$(testkit/clients/venv.sh "$target/conformance-venv" 'schemathesis==4.32.5' 'hypothesis==6.170.17' 'cryptography>=42')
exec "$python" testkit/conformance/conformance.py --bin "$target/debug" --out "$target/conformance" "$@"
