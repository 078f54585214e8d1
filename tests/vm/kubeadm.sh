#!/bin/bash
# Builds kubeadm 1.20.2 from Debian 12's source package of Kubernetes, of which Debian itself ships kubectl
# alone: OUT/kubeadm.
# usage: kubeadm.sh SUITE OUT      (root, mmdebstrap; two minutes of a processor)
set -euo pipefail
suite=$1 out=$2 tree=$2/tree

mkdir -p "$out"
# This host's own Debian mirror, if it has one; mmdebstrap's default otherwise.
# shellcheck disable=SC2016 # apt's own variables
uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | grep -m 1 . || true)
# shellcheck disable=SC2016 # $1 is the hook's
mmdebstrap --mode=root --variant=apt --include=golang-go,golang-github-modern-go-reflect2-dev \
    --aptopt='Acquire::Retries "3"' \
    --customize-hook='sed -n "s/^deb /deb-src /p" "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/source.list"' \
    --customize-hook='chroot "$1" apt-get update -qq' \
    --customize-hook='chroot "$1" sh -c "cd /root && apt-get source -qq --download-only kubernetes"' \
    "$suite" "$tree" ${uri:+"$uri"}

# shellcheck disable=SC2016 # what is there expands there
chroot "$tree" bash -euc '
    cd /root
    mkdir -p go/src/k8s.io/kubernetes
    tar -xf kubernetes_*.orig.tar.gz -C go/src/k8s.io/kubernetes --strip-components=1
    cd go/src/k8s.io/kubernetes
    # reflect2 1.0.1 reads maps as they were before Go 1.18.
    rm -r vendor/github.com/modern-go/reflect2
    cp -r /usr/share/gocode/src/github.com/modern-go/reflect2 vendor/github.com/modern-go/
    flags="-s -w"
    for package in component-base/version client-go/pkg/version; do
        package=k8s.io/kubernetes/vendor/k8s.io/$package
        flags+=" -X $package.gitVersion=v1.20.2 -X $package.gitMajor=1 -X $package.gitMinor=20"
    done
    export HOME=/root GOPATH=/root/go GO111MODULE=off CGO_ENABLED=0
    go build -ldflags "$flags" -o /root/kubeadm k8s.io/kubernetes/cmd/kubeadm
'
mv "$tree/root/kubeadm" "$out/kubeadm"
rm -rf "$tree"
