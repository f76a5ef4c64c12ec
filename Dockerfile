# syntax=docker/dockerfile:1
# nearbucket, for serving only: Python, and no shell or other program. Configuration:
# /etc/nearbucket/nearbucket.yaml, or NEARBUCKET_* variables alone. Runs as 10001 on a read-only
# root; /var/cache/nearbucket is all it writes to.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
WORKDIR /src

# What is served: every package by its hash, in an environment that has no installer of its own.
COPY requirements/serve.txt requirements/
RUN python -m venv --without-pip /opt/nearbucket
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/nearbucket/bin/python install --require-hashes --only-binary :all: -r requirements/serve.txt
# Of botocore's 400 service descriptions the SDK's credential chain and S3 need these.
RUN find /opt/nearbucket/lib/python3.13/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} +

# The project itself, built with tools that stay in this stage.
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/build.txt
# Compiled as well with --build-arg COMPILED=1, by a compiler and mypy that stay in this stage too
# (docs/operations.md, "The compiled build").
ARG COMPILED=0
COPY requirements/compile.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    case "$COMPILED" in \
      0) ;; \
      1) apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
         && /opt/build/bin/pip install --require-hashes -r requirements/compile.txt ;; \
      *) echo "COMPILED is 0 or 1" >&2; exit 1 ;; \
    esac
COPY . .
ARG REVISION=
# The date of files in the wheel, whose checksum pip writes down (reproducible-builds.org).
ARG SOURCE_DATE_EPOCH=315532800
RUN printf %s "$REVISION" > proxy/nearbucket/commit.txt \
 && COMPILE_NEARBUCKET="$COMPILED" PYTHONHASHSEED=0 \
    /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/nearbucket/bin/python install --no-index --no-deps /wheels/*.whl

# Bytecode that needs no look at the source's date: layers may change dates, never contents. In one
# process, and without random hashes: else the order of sets, and what is shared, differ each time.
RUN rm -rf /opt/nearbucket/bin/__pycache__ \
 && PYTHONHASHSEED=0 python -m compileall -q -f -j 1 --invalidation-mode unchecked-hash /opt/nearbucket/lib


FROM python:3.13-slim-trixie AS root
# No packaging tools. The cache folder is open to all, as /tmp is: a tmpfs mounted over it takes
# over its mode, and a named volume its owner as well.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip \
 && rm -r /usr/local/lib/python3.13/ensurepip \
 && groupadd --gid 10001 nearbucket \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/cache/nearbucket \
      --shell /usr/sbin/nologin nearbucket \
 && install -d -m 1777 -o nearbucket -g nearbucket /var/cache/nearbucket \
 && install -d /etc/nearbucket

COPY --from=build /opt/nearbucket /opt/nearbucket
# Standard-library bytecode of what serving and the health check import: the base image has none,
# and a read-only root could not keep it.
RUN ["/opt/nearbucket/bin/python", "-c", "import nearbucket.cli.main, nearbucket.supervisor.prefork, nearbucket.supervisor.supervisor, nearbucket.telemetry.prometheus, urllib.request"]
# Every program of Debian's goes: shells, perl, apt, dpkg, all that is setuid. The list of packages
# in /var/lib/dpkg stays, for scanners. Nothing can be run in this stage after that.
RUN rm -rf /opt/nearbucket /usr/bin/* /usr/sbin/* /usr/libexec /usr/games /usr/local/sbin \
      /usr/lib/apt /usr/lib/dpkg /usr/lib/*/perl* /usr/share/perl* /var/lib/apt /var/cache/apt


FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nearbucket" \
      org.opencontainers.image.description="Sends every download to the bucket nearest to it" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=root / /
COPY --from=build /opt/nearbucket /opt/nearbucket

# The configuration is the file nearbucket.yaml in the working folder, if there is one.
ENV PATH=/opt/nearbucket/bin:/usr/local/bin \
    HOME=/var/cache/nearbucket \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /etc/nearbucket
USER 10001:10001
VOLUME /var/cache/nearbucket
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --start-interval=1s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:%s/readyz' % os.environ.get('NEARBUCKET_ADMIN__PORT', 9090), timeout=2)"]
ENTRYPOINT ["nearbucket"]
CMD ["serve"]
