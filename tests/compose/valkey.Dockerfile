# Debian's Valkey where the image from the registry would be.
ARG BASE
FROM ${BASE}
RUN apt-get -qq update && apt-get -qq install --yes --no-install-recommends valkey-server valkey-tools \
    && rm -rf /var/lib/apt/lists/* /etc/valkey && install --directory --owner 999 --group 999 /data
WORKDIR /data
USER 999:999
