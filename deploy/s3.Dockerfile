# versitygw keeps objects as plain files. This adds only a folder that a user other than root owns:
# a named volume takes its owner from it.
ARG BASE=versity/versitygw:v1.7.0
FROM ${BASE}
RUN mkdir -p /data && chown 10001:10001 /data
USER 10001:10001
