# The detect worker: torch, mmdet, and the demo model. Runs on a CPU, or on a GPU with the NVIDIA
# container toolkit; torch brings its CUDA libraries.
ARG BASE=python:3.12-slim
# `language` for the models that take a prompt.
ARG REQUIREMENTS=runtime

FROM ${BASE} AS libraries
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python3 -m venv /opt/boxyard
ARG REQUIREMENTS
COPY requirements/${REQUIREMENTS}.txt requirements.txt
RUN /opt/boxyard/bin/pip install --no-deps --require-hashes -r requirements.txt

FROM libraries AS build
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY ledger ledger
COPY producer producer
COPY worker worker
RUN /opt/boxyard/bin/pip install --no-deps --no-build-isolation --root /built .

# Boxyard itself is a small layer on the libraries: its updates are quick, and share the gigabytes.
FROM libraries
COPY --from=build /built /
COPY deploy/detect_health.py /opt/boxyard/deploy/
# A named volume takes its owner from here.
RUN mkdir /weights && chown 10001:10001 /weights
WORKDIR /
# mmdet imports matplotlib, which wants a folder that it may write.
ENV PATH=/opt/boxyard/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp USER=boxyard MPLCONFIGDIR=/tmp NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
ENTRYPOINT ["boxyard-worker"]
CMD ["detect"]
