# syntax=docker/dockerfile:1
# The exporter with what it can read and push. Compilers and installers stay in the first stage.

ARG PYTHON=3.13.7-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /source
RUN python -m venv /opt/insights-exporter
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src src
COPY dashboards dashboards
RUN /opt/insights-exporter/bin/pip install --no-cache-dir --disable-pip-version-check \
      --constraint constraints.txt '.[postgres,otlp,otlp-grpc]' \
 && /opt/insights-exporter/bin/pip uninstall --yes --disable-pip-version-check pip

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="insights-exporter" \
      org.opencontainers.image.description="Coder's Template Insights for Prometheus." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
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
