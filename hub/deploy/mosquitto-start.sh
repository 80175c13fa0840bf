#!/bin/sh
# Starts mosquitto in its container: the hub's own account follows its secret, others are kept.
# A sensor gets an account (its id in the inventory as name) while the broker runs:
#   docker compose exec mosquitto mosquitto_passwd /mosquitto/data/passwd aq-balige
#   docker compose kill -s HUP mosquitto
set -eu
passwords=${PASSWORDS:-/mosquitto/data/passwd}
secret=${SECRET:-/run/secrets/mqtt_hub_password}
config=${CONFIG:-/mosquitto/config/mosquitto.conf}

[ -s "$secret" ] || { echo "mosquitto-start: $secret is missing or empty; run: make secrets" >&2; exit 1; }
umask 077
touch "$passwords"
mosquitto_passwd -b "$passwords" hub "$(cat "$secret")"
if [ "$(id -u)" = 0 ] && id mosquitto >/dev/null 2>&1; then
    chown mosquitto: "$passwords"
fi
exec mosquitto -c "$config"
