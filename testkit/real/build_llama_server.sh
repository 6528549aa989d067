#!/bin/sh
# Builds llama.cpp's own llama-server from the source package on PyPI, once, into the user's cache, and prints
# the path of the binary. About ten minutes of CPU the first time; nothing at all afterwards.
#
# -O1 and GGML_NATIVE=OFF: the binary is only ever used with a tiny model, so building fast and running on any
# CPU matter more than speed. The web UI is off because its assets would be fetched at build time.
set -eu

PACKAGE=llama-cpp-python
VERSION=0.3.36
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/dgon/llama-server-$VERSION"
BIN="$CACHE/llama-server"
JOBS="${DGON_BUILD_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}"

say() { printf '%s\n' "$*" >&2; }

if [ -x "$BIN" ]; then
    printf '%s\n' "$BIN"
    exit 0
fi
for tool in python3 cc c++ tar; do
    command -v "$tool" >/dev/null || { say "real: $tool is missing; on Debian: apt-get install python3-venv build-essential"; exit 3; }
done

mkdir -p "$CACHE"
# One builder at a time; a second one waits for the first and then finds the binary.
if command -v flock >/dev/null && [ -z "${DGON_BUILD_LOCKED:-}" ]; then
    DGON_BUILD_LOCKED=1 exec flock "$CACHE/lock" "$0"
fi

say "real: building llama-server $VERSION from its source package into $CACHE (about 10 minutes, once)"
[ -x "$CACHE/venv/bin/cmake" ] || {
    python3 -m venv "$CACHE/venv"
    "$CACHE/venv/bin/pip" install --quiet cmake ninja scikit-build-core >&2
}
cd "$CACHE"
if [ ! -d "src" ]; then
    # scikit-build-core is there so that pip can read the source package's metadata without isolation.
    PATH="$CACHE/venv/bin:$PATH" "$CACHE/venv/bin/pip" download --quiet --no-deps --no-binary :all: \
        --no-build-isolation "$PACKAGE==$VERSION" >&2
    rm -rf unpacked && mkdir unpacked
    tar xzf "llama_cpp_python-$VERSION.tar.gz" -C unpacked
    mv unpacked/*/vendor/llama.cpp src
    rm -rf unpacked "llama_cpp_python-$VERSION.tar.gz"
fi
PATH="$CACHE/venv/bin:$PATH"
cmake -S src -B build -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_FLAGS_RELEASE=-O1 -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DGGML_NATIVE=OFF \
    -DBUILD_SHARED_LIBS=OFF -DGGML_OPENMP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
    > configure.log 2>&1 || { tail -n 20 configure.log >&2; exit 1; }
cmake --build build --target llama-server -j"$JOBS" > build.log 2>&1 || { tail -n 40 build.log >&2; exit 1; }
strip -o "$BIN.new" build/bin/llama-server 2>/dev/null || cp build/bin/llama-server "$BIN.new"
mv "$BIN.new" "$BIN"
rm -rf build src
say "real: built $BIN"
printf '%s\n' "$BIN"
