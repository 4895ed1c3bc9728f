# The server, and the deliver and sweep loops: no torch, no OpenCV.
ARG BASE=python:3.12-slim

FROM ${BASE} AS libraries
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python3 -m venv /opt/boxyard
COPY requirements/server.txt requirements/server.txt
RUN /opt/boxyard/bin/pip install --no-deps --require-hashes -r requirements/server.txt

FROM libraries AS build
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY ledger ledger
COPY producer producer
COPY worker worker
RUN /opt/boxyard/bin/pip install --no-deps --no-build-isolation --root /built .

FROM libraries
COPY --from=build /built /
COPY deploy/create_bucket.py /opt/boxyard/deploy/
WORKDIR /
ENV PATH=/opt/boxyard/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp USER=boxyard
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "boxyard_producer.server", "--host", "0.0.0.0", "--port", "8000"]
