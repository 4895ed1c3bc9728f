# Debian's Prometheus where the image from the registry would be.
ARG BASE
FROM ${BASE}
RUN apt-get -qq update && apt-get -qq install --yes --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* /etc/prometheus && install --directory --owner 65534 --group 65534 /prometheus
WORKDIR /prometheus
USER 65534:65534
ENTRYPOINT ["prometheus"]
