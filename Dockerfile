# The operator's image: Python, the packages of requirements/runtime.txt (hashed) and watchbell. No compiler, no pip, no tests.
# Any base with Python >= 3.11 will do: --build-arg BASE_IMAGE=…
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The environment gets its packages from outside, so that the image needs no pip of its own.
RUN python3 -m venv --without-pip /opt/watchbell && python3 -m venv /build/tools
COPY requirements/runtime.txt requirements/build.txt requirements/
RUN /build/tools/bin/pip install --require-hashes -r requirements/build.txt \
 && /build/tools/bin/pip --python /opt/watchbell/bin/python install --require-hashes --only-binary :all: -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY operator operator
RUN /build/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /build/tools/bin/pip --python /opt/watchbell/bin/python install --no-deps --no-index dist/watchbell-*.whl \
 && /opt/watchbell/bin/python -m compileall -q /opt/watchbell/lib

FROM ${BASE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="watchbell" \
      org.opencontainers.image.description="Mail that a Kubernetes cluster can rely on" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/watchbell/watchbell" \
      org.opencontainers.image.documentation="https://github.com/watchbell/watchbell/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/watchbell /opt/watchbell
# The root file system may be read-only: nothing is written, and bytecode is compiled already.
ENV PATH=/opt/watchbell/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/nonexistent
USER 65532:65532
WORKDIR /
ENTRYPOINT ["watchbell"]
CMD ["run"]
