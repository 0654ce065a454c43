# syntax=docker/dockerfile:1
#
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/netns-agent .
#   docker build --target prebuilt --build-arg BINARY=target/release/netns-agent .   # a binary that is there already
#
# To pin what it is made from: --build-arg BUILD_IMAGE=…@sha256:… --build-arg BASE_IMAGE=…@sha256:…
#
# The last stage is distroless/cc: glibc, libgcc and certificates, no shell, no package manager. The program is
# linked dynamically against glibc, since names of receivers are resolved by its getaddrinfo, which a static glibc
# does only with the very same version's libraries beside it.

ARG RUST_VERSION=1.95
ARG BUILD_IMAGE=docker.io/library/rust:${RUST_VERSION}-bookworm
# The same Debian release as the build: the same glibc.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:latest

FROM ${BUILD_IMAGE} AS build
# Two platforms are built at the same time, and each must copy its own program out of its own cache.
ARG TARGETARCH
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETARCH},target=/src/target,sharing=locked \
    cargo build --release --locked -p netns-agent && cp target/release/netns-agent /netns-agent

FROM ${BASE_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="netns-agent" \
      org.opencontainers.image.description="Finds every network interface of a Kubernetes node and exports what it carries" \
      org.opencontainers.image.source="https://github.com/netns-agent/netns-agent" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# How glibc keeps memory: one arena, no blocks kept beside it by each thread, large ones mapped one by one. Otherwise what
# a node's pods took when there were many would not go back to it when they are gone.
ENV GLIBC_TUNABLES=glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072
# uid 0 without capabilities: the CNI result cache is root's, mode 0700. The chart drops all and adds two.
USER 0:0
ENTRYPOINT ["/usr/local/bin/netns-agent"]
CMD ["run"]

FROM base AS prebuilt
ARG BINARY=target/release/netns-agent
COPY ${BINARY} /usr/local/bin/netns-agent

FROM base
COPY --from=build /netns-agent /usr/local/bin/netns-agent
