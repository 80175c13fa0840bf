# The hub, as a user that can do nothing but run it. Build: docker compose build hub
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/hub
WORKDIR /src
# What changes rarely first: the locked packages stay in a layer of their own.
COPY requirements.lock ./
RUN /opt/hub/bin/pip install --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY hub hub
COPY collectors collectors
COPY rules rules
COPY grafana grafana
COPY firmware_stubs firmware_stubs
RUN /opt/hub/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin hub \
    && install -d -o hub -g hub /data /config
COPY --from=build /opt/hub /opt/hub
ENV PATH=/opt/hub/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER hub
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["toba-hub"]
CMD ["run", "--settings", "/config/toba-hub.yaml"]
