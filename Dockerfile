# syntax=docker/dockerfile:1
# The exporter with what it can read and push. Compilers and installers stay in the first stage.

# The release workflow passes the tag with the digest that the registry has for it, for example
# 3.13.7-slim-bookworm@sha256:…, and writes the digest into the labels. docs/releasing.md describes it.
ARG PYTHON=3.13.7-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /source
RUN python -m venv /opt/insights-exporter
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src src
COPY dashboards dashboards
COPY docs/exporter.schema.json docs/exporter.schema.json
RUN /opt/insights-exporter/bin/pip install --no-cache-dir --disable-pip-version-check \
      --constraint constraints.txt '.[postgres,otlp,otlp-grpc]' \
 && /opt/insights-exporter/bin/pip uninstall --yes --disable-pip-version-check pip

FROM python:${PYTHON}
ARG PYTHON
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=https://github.com/insights-exporter/insights-exporter
ARG BASE_DIGEST=unknown
LABEL org.opencontainers.image.title="insights-exporter" \
      org.opencontainers.image.description="Coder's Template Insights for Prometheus." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.documentation="${SOURCE}/blob/main/docs/install.md" \
      org.opencontainers.image.base.name="python:${PYTHON}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
 && mkdir -p /etc/insights-exporter \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/insights-exporter
COPY --from=build /opt/insights-exporter /opt/insights-exporter
ENV PATH=/opt/insights-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    INSIGHTS_EXPORTER_SERVER_HOST=0.0.0.0
USER 65532:65532
EXPOSE 9766
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9766/-/healthy', timeout=4)"]
ENTRYPOINT ["insights-exporter"]
CMD ["run"]
