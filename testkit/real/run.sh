#!/bin/sh
# The whole path on a real llama-server: receipts of answers that no code of ours made.
# Needs python3 with venv, a C++ compiler, curl and cargo. The server is built once into the user's cache.
set -eu
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-$PWD/target}"
server=$(testkit/real/build_llama_server.sh)
# As the gate builds them (xtask/src/build.rs): any other choice would build their dependencies anew.
cargo build --quiet --workspace --features dgon-agent/schema --lib --bins --examples
python=$(testkit/clients/venv.sh "$target/real-venv" 'openai>=2,<4' gguf numpy)
"$python" testkit/real/make_tiny_gguf.py "$target/tiny.gguf"
exec "$python" testkit/real/real.py --bin "$target/debug" --server "$server" --model "$target/tiny.gguf" "$@"
