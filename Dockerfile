# Any Debian with Python 3.11 or newer and its venv: `python3 dev.py container` builds on one of its own.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    VIRTUAL_ENV=/opt/imagegate
WORKDIR /src

# The dependencies have a layer of their own: it is built anew only when the lock changes.
COPY requirements.lock ./
RUN python3 -m venv "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/pip" install --require-hashes --requirement requirements.lock

COPY pyproject.toml LICENSE README.md ./
COPY migrations ./migrations
COPY app ./app
RUN "$VIRTUAL_ENV/bin/pip" install --no-deps --no-build-isolation .


FROM ${BASE}

ENV PATH=/opt/imagegate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IMAGEGATE_HOST=0.0.0.0 \
    IMAGEGATE_PORT=8000 \
    IMAGEGATE_DATA_DIR=/data

# The number is fixed so that a shared volume belongs to the same user in every container.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin imagegate \
    && install --directory --owner=imagegate --mode=0700 /data
COPY --from=build /opt/imagegate /opt/imagegate

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"IMAGEGATE_PORT\"]}/healthz', timeout=4)"]

ENTRYPOINT ["imagegate"]
CMD ["serve"]
