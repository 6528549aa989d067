#!/bin/sh
# Real HTTP clients (PyPI's `openai` and `ollama`, curl) through the agent's proxy, on simulated runtimes.
# Needs python3 with venv, curl and cargo. Everything it makes lies under target/.
set -eu
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
# As the gate builds them (xtask/src/build.rs): any other choice would build their dependencies anew.
cargo build --quiet --workspace --features dgon-agent/schema --lib --bins --examples
python=$(testkit/clients/venv.sh "$target/clients-venv" 'openai>=2,<4' 'ollama>=0.6,<1' 'cryptography>=42')
exec "$python" testkit/clients/clients.py --bin "$target/debug" "$@"
