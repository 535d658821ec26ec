#!/bin/bash
# All that a GPU has to show, in under ten minutes: bash benchmarks/gpu.sh [FOLDER]
# Runs from a checkout, installed or not, where PyTorch 2.11 and the other packages are at hand; HPO_DATA names the folder
# with the Omniglot zips. Leaves a log of each part, and its figures as JSON, in FOLDER.
out=$(realpath "${1:-gpu}")
mkdir -p "$out"
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

part() { # NAME SECONDS COMMAND…
  local name=$1 most=$2 start=$SECONDS
  shift 2
  timeout "$most" "$@" > "$out/$name.log" 2>&1
  echo "$name: exit status $?, $((SECONDS - start)) s"
  tail -n 12 "$out/$name.log"
}

part tests 120 python3 -m pytest -q -n 4 -k "cuda and not cpu" tests/model tests/data tests/hpo/workers
part throughput 150 python3 -m benchmarks training validation --device cuda --rounds 2 -o "$out/throughput.json"
part limit 60 python3 -m benchmarks limit --device cuda --rounds 2 -o "$out/limit.json"
part at_once 120 python3 -m benchmarks "at once" --device cuda -o "$out/at_once.json"
part profile 90 python3 -m benchmarks.profile_step -o "$out/profile.json"
part learning 240 python3 -m benchmarks.learning --device cuda --seconds 100 -o "$out/learning.json"
