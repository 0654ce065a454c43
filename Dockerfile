# syntax=docker/dockerfile:1
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/netns-agent .
#   docker build --target prebuilt --build-arg BINARY=target/release/netns-agent .   # an existing binary
#
# To pin both base images: --build-arg BUILD_IMAGE=…@sha256:… --build-arg BASE_IMAGE=…@sha256:…
#
# The last stage is distroless/cc: glibc, libgcc and certificates, no shell, no package manager. The program is
# linked dynamically against glibc: getaddrinfo resolves the names of receivers, and a static glibc needs the shared
# libraries of the same version for getaddrinfo.

ARG RUST_VERSION=1.95
ARG BUILD_IMAGE=docker.io/library/rust:${RUST_VERSION}-bookworm
# The Debian release of the build, for the same glibc.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:latest

FROM ${BUILD_IMAGE} AS build
# Two platforms build in parallel; each needs a cache of its own to copy its program from.
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETARCH},target=/src/target,sharing=locked \
    cargo build --release --locked -p netns-agent && cp target/release/netns-agent /netns-agent

# The program alone, for archives and packages: docker buildx build --target program --output type=local,dest=out .
FROM scratch AS program
COPY --from=build /netns-agent /netns-agent

FROM ${BASE_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="netns-agent" \
      org.opencontainers.image.description="Finds every network interface of a Kubernetes node and exports its traffic" \
      org.opencontainers.image.source="https://github.com/netns-agent/netns-agent" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# glibc's allocator: one arena, no blocks cached per thread, large blocks mapped one by one. With the defaults, memory of
# deleted pods would not return to the node.
ENV GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072
# uid 0 reads the CNI results (mode 0700). The chart drops all capabilities and adds two.
USER 0:0
ENTRYPOINT ["/usr/local/bin/netns-agent"]
CMD ["run"]

FROM base AS prebuilt
ARG BINARY=target/release/netns-agent
COPY ${BINARY} /usr/local/bin/netns-agent

FROM base
COPY --from=build /netns-agent /usr/local/bin/netns-agent
