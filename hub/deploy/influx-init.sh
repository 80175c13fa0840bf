#!/bin/sh
# Runs once, inside InfluxDB 2's image, after it has set itself up on an empty volume: makes the
# user that Grafana reads the bucket with, and that can do nothing else.
set -eu
secret=${SECRET:-/run/secrets/grafana_influx_password}
[ -s "$secret" ] || { echo "influx-init: $secret is missing or empty; run: make secrets" >&2; exit 1; }
influx v1 auth create \
    --org "$DOCKER_INFLUXDB_INIT_ORG" \
    --username grafana \
    --password "$(cat "$secret")" \
    --read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID" \
    --description "Grafana, read only"
