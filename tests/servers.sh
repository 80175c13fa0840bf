#!/bin/sh
# The real servers that the tests talk to. As root they are installed; otherwise say what to install.
set -eu

packages="mosquitto mosquitto-clients snmpd snmp influxdb victoria-metrics chromium chromium-driver iproute2 iputils-ping libcap2-bin strace faketime prometheus-alertmanager dnsmasq-base fping python3 python3-gi gir1.2-gst-rtsp-server-1.0 poppler-utils"
missing=""
for pair in mosquitto:mosquitto mosquitto_pub:mosquitto-clients snmpd:snmpd snmpget:snmp \
            influxd:influxdb victoria-metrics:victoria-metrics chromium:chromium \
            chromedriver:chromium-driver ip:iproute2 setcap:libcap2-bin strace:strace faketime:faketime \
            prometheus-alertmanager:prometheus-alertmanager pdftotext:poppler-utils \
            dnsmasq:dnsmasq-base fping:fping; do
    command=${pair%%:*}
    # Debian keeps daemons in /usr/sbin, which is on root's path only.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$command" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
# Bindings are no command: GStreamer's RTSP server, the true camera of the tests.
/usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null ||
    missing="$missing python3-gi gir1.2-gst-rtsp-server-1.0"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # The packages' own services must not start: tests start each server on a port of their own.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
    exit 0
fi
echo "make test: the tests talk to real servers and these are missing; as root:" >&2
echo "    apt-get install $missing" >&2
exit 1
