# The context is bin/image, which `make image` fills: nothing else of the tree gets near the image.
FROM scratch
COPY kindred /kindred
USER 65532:65532
ENV LISTEN_ADDR=:3000
EXPOSE 3000
ENTRYPOINT ["/kindred"]
CMD ["serve"]
