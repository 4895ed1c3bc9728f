# OpenStack Swift: an S3 server that checks signatures and comes from the package registry.
ARG BASE
FROM ${BASE}
COPY requirements/dev.txt pinned.txt
# The versions alone: pip takes hashes for all or for none, and Swift is a part of the list.
RUN sed '/^ *--hash/d; s/ *\\$//' pinned.txt > versions.txt && python3 -m venv /opt/swift \
    && /opt/swift/bin/pip install --no-cache-dir --constraint versions.txt swift
RUN useradd --uid 10001 --no-create-home swift && install --directory --owner swift /data
ENV PATH=/opt/swift/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
