#!/usr/bin/env bash
# Installs what the benchmark compares imgcopy with and measures through, and the tools, proxies and terminal that tests use, where it is missing:
# crane, regctl, oras and distribution v3 (`registry`) with Go, the rest with apt-get, as root.
set -euo pipefail

PATH=$PATH:$(go env GOPATH)/bin:/usr/sbin

for module in \
  github.com/google/go-containerregistry/cmd/crane \
  github.com/regclient/regclient/cmd/regctl \
  oras.land/oras/cmd/oras \
  github.com/distribution/distribution/v3/cmd/registry; do
  command -v "${module##*/}" >/dev/null || go install "$module@latest"
done

missing=()
for package in skopeo buildah umoci docker-registry python3 squid tinyproxy tmux mandoc; do
  command -v "$package" >/dev/null || missing+=("$package")
done
command -v man >/dev/null || missing+=(man-db)
command -v danted >/dev/null || missing+=(dante-server)
command -v podman >/dev/null || missing+=(podman crun)
command -v dockerd >/dev/null || missing+=(docker.io)
command -v ctr >/dev/null || missing+=(containerd)
if ((${#missing[@]} > 0)); then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
fi
