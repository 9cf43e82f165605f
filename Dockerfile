# Any Debian with Python 3.11 or newer and its venv: `python3 dev.py container` builds on one of its own. Its release decides the
# version of pg_dump, which must not be older than the server's: Debian 13 has 17, as docker-compose.yml, Debian 12 has 15.
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

# `imagegate backup` and `restore` on PostgreSQL: these two programs only, as the package brings Perl.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client \
    && cp /usr/lib/postgresql/*/bin/pg_dump /usr/lib/postgresql/*/bin/pg_restore "$VIRTUAL_ENV/bin/"


FROM ${BASE}

ENV PATH=/opt/imagegate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    IMAGEGATE_HOST=0.0.0.0 \
    IMAGEGATE_PORT=8000 \
    IMAGEGATE_DATA_DIR=/data

# The number is fixed so that a shared volume belongs to the same user in every container.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin imagegate \
    && install --directory --owner=imagegate --mode=0700 /data
# What they load.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libpq5 liblz4-1 libzstd1 zlib1g \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt
COPY --from=build /opt/imagegate /opt/imagegate

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"IMAGEGATE_PORT\"]}/healthz', timeout=4)"]

ENTRYPOINT ["imagegate"]
CMD ["serve"]
