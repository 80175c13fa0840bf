#!/bin/sh
# Runs once, inside InfluxDB 2's image, after it has set itself up on an empty volume: makes the
# user that Grafana reads the bucket with, and that can do nothing else.
set -eu
secret=${SECRET:-/run/secrets/grafana_influx_password}
[ -s "$secret" ] || { echo "influx-init: $secret is missing or empty; run: make secrets" >&2; exit 1; }
# Buckets of the rollups; how long their rows are kept is store.retention of the settings, and
# `toba-hub influx setup` tells what differs.
org=$DOCKER_INFLUXDB_INIT_ORG
bucket() {
    influx bucket create --org "$org" --name "$1" --retention "$2" --hide-headers | cut -f1
}
five=$(bucket "${DOCKER_INFLUXDB_INIT_BUCKET:?}-5m" 400d)
hour=$(bucket "$DOCKER_INFLUXDB_INIT_BUCKET-1h" 87660h)
influx v1 auth create \
    --org "$org" \
    --username grafana \
    --password "$(cat "$secret")" \
    --read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID" \
    --read-bucket "${five:?}" \
    --read-bucket "${hour:?}" \
    --description "Grafana, read only"
