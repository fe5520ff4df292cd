# docker build --build-arg COMMIT="$(git show -s --abbrev=8 --format='%h %cs')" -t clfsload .
#
# A static program, so that the image is of that, certificates of authorities, and nothing to log in to.

FROM rust:1-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What --version tells; the history is not in here.
ARG COMMIT=
RUN CLFSLOAD_COMMIT="$COMMIT" scripts/build-static > /program \
    && install -D --strip-program=strip --strip "$(cat /program)" /image/usr/local/bin/clfsload \
    && install -D --mode=644 LICENSE /image/usr/share/doc/clfsload/LICENSE \
    && install -D --mode=644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install --directory --mode=1777 /image/tmp \
    && install --directory /state

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /state /state
# Reads what everybody may read. For a source of files that only their owners read: --user 0
# --cap-drop ALL --cap-add DAC_READ_SEARCH.
USER 65532:65532
WORKDIR /state
ENTRYPOINT ["/usr/local/bin/clfsload"]
