# The context is bin/image, which `make image` fills: nothing else of the tree gets near the image.
FROM scratch
ARG VERSION=dev
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="Kindred" \
      org.opencontainers.image.description="An auth server on PostgreSQL with persistent token families" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY kindred /kindred
USER 65532:65532
# Metrics, profiles and health are for machines inside: publish 3000 only.
ENV LISTEN_ADDR=:3000 OPS_ADDR=:9464
EXPOSE 3000 9464
ENTRYPOINT ["/kindred"]
CMD ["serve"]
# Only whether it lives: some supervisors restart what is unhealthy, and no restart brings a database back.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/kindred", "healthcheck", "--live"]
