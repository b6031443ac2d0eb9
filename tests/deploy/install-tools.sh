#!/usr/bin/env bash
# Builds the programs that tests/deploy runs, from the Go module proxy, into a cache that later runs reuse.
# Without Go, it names those that are missing; their tests then say that they did not run.
set -euo pipefail

bin="${XDG_CACHE_HOME:-$HOME/.cache}/insights-exporter/bin"
declare -A modules=(
  [helm]=helm.sh/helm/v3/cmd/helm@v3.22.0
  [actionlint]=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
  [kustomize]=sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
)

missing=()
for program in "${!modules[@]}"; do
  # A file beside each program names its version, as a program built from a module may not know its own.
  if [ ! -x "$bin/$program" ] || [ "$(cat "$bin/$program.version" 2>/dev/null)" != "${modules[$program]}" ]; then
    missing+=("$program")
  fi
done
[ "${#missing[@]}" -eq 0 ] && exit 0

if ! command -v go >/dev/null; then
  echo "Go is not installed, so tests of these will not run: ${missing[*]}." >&2
  exit 0
fi

mkdir -p "$bin"
for program in "${missing[@]}"; do
  echo "Building $program from ${modules[$program]}; this takes a minute or two, once." >&2
  if GOBIN="$bin" GOFLAGS=-mod=mod go install "${modules[$program]}"; then
    echo "${modules[$program]}" >"$bin/$program.version"
  else
    echo "Not built, so its tests will not run: $program." >&2
  fi
done
