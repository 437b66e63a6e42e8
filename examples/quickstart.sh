#!/bin/sh
# The README's tour against a server of its own, in a directory that is removed at the end:
#   sh examples/quickstart.sh [directory of the programs, default target/release]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
programs=${1:-$here/target/release}
scratch=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
TSDB_METRICS_PORT=0 RUST_LOG=warn "$programs/tsdb_server" --port 0 --data-dir "$scratch/data" >"$scratch/out" &
server=$!
until grep -q listening "$scratch/out" 2>/dev/null; do
    kill -0 "$server"
    sleep 0.1
done
TSDB_PORT=$(sed 's/.*://' "$scratch/out")
export TSDB_PORT
client="$programs/tsdb_client"
set -x
"$client" import demand "$here/examples/data/electricity_victoria_2014.csv" --value-columns demand_gw --create
"$client" --table ANOMALY demand 336 6
"$client" --table MOTIF demand 48 1
"$client" plot demand --window 336 --anomalies 6 --width 78 --height 10
"$client" CREATE wind 2
"$client" INSERT wind 3.5,-1.2 mast=north
"$client" --table SIMILAR wind 1,0 3
"$client" --json STATS all
if command -v python3 >/dev/null 2>&1; then
    PYTHONPATH="$here/clients/python" python3 "$here/examples/quickstart.py" "$TSDB_PORT"
else
    echo "SKIPPED: python3 is not installed" >&2
fi
