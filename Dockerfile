# An image with the runtime, for the argument runtimeImage (docs/kubernetes/runtime.md, "An image of your own").
FROM docker.io/library/node:24-slim@sha256:a9f5f7c91a432850b2a8a7797adf5eadb6c733ceed61167806cee7ea7fbc29df
COPY dist/runtime.cjs /pgbackstop/bundle/runtime.cjs
RUN gzip -9 /pgbackstop/bundle/runtime.cjs && chmod -R a+rX /pgbackstop
USER 10001
