# Portico's image: `docker build -t portico .`; compose.yaml shows it in use.

FROM python:3.13-slim AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /build

# What is pinned, by its hashes, in an environment of its own; it changes less often than the code below.
COPY requirements.lock requirements-dev.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    sed -n '/^setuptools==/,/[^\\]$/p' requirements-dev.lock >build.lock \
    && python -m venv tools \
    && python -m venv --without-pip /opt/portico \
    && tools/bin/python -m pip install --quiet --require-hashes --no-deps -r build.lock \
    && tools/bin/python -m pip --python /opt/portico install --quiet --require-hashes --no-deps -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY application application
COPY adapters adapters
COPY entrypoints entrypoints
RUN tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
    && tools/bin/python -m pip --python /opt/portico install --quiet --no-deps --no-index wheels/*.whl


FROM python:3.13-slim
RUN groupadd --system --gid 10001 portico \
    && useradd --system --uid 10001 --gid portico --home-dir /data --no-create-home --shell /usr/sbin/nologin portico \
    && install --directory --owner=portico --group=portico --mode=0700 /data
COPY --from=build /opt/portico /opt/portico
ENV PATH=/opt/portico/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=4)"]
ENTRYPOINT ["portico"]
CMD ["serve"]
