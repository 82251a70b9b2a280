# The context is bin/image, which `make image` fills: nothing else of the tree gets near the image.
FROM scratch
COPY kindred /kindred
USER 65532:65532
# Metrics, profiles and health are for machines inside: publish 3000 only.
ENV LISTEN_ADDR=:3000 OPS_ADDR=:9464
EXPOSE 3000 9464
ENTRYPOINT ["/kindred"]
CMD ["serve"]
