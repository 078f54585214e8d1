#!/usr/bin/env bash
# Installs what the lab needs and is not here, with the system's own package manager. Silent where
# all is there.
set -euo pipefail

need() { PATH=$PATH:/usr/sbin:/sbin:/usr/libexec command -v "$1" >/dev/null || missing+=("$2"); }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

debian() {
    need qemu-system-x86_64 qemu-system-x86
    need qemu-img qemu-utils
    need mmdebstrap mmdebstrap
    need mkfs.ext4 e2fsprogs
    need sfdisk fdisk
    need cc gcc
    need nft nftables
    need strace strace
    need c++ g++
    need mkfs.xfs xfsprogs
    need vagrant vagrant
    need dnf-3 dnf
    need rpmbuild rpm
    need createrepo_c createrepo-c
    need gpg gnupg
    [ -e /usr/lib/python3/dist-packages/dnf-plugins/versionlock.py ] || missing+=(dnf-plugins-core)
}

install_debian() {
    root apt-get update -qq
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

el() {
    need qemu-kvm qemu-kvm
    need qemu-img qemu-img
    need mmdebstrap mmdebstrap
    need mkfs.ext4 e2fsprogs
    need sfdisk util-linux
    need cc gcc
    need nft nftables
    need strace strace
    need c++ gcc-c++
    need mkfs.xfs xfsprogs
    need rpmbuild rpm-build
    need rpmsign rpm-sign
    need createrepo_c createrepo_c
    need gpg gnupg2
}

install_el() {
    root dnf install -y -q epel-release || true # Fedora has no such package and needs none
    root dnf install -y -q "${missing[@]}"
}

if command -v apt-get >/dev/null; then
    system=debian
elif command -v dnf >/dev/null; then
    system=el
else
    echo "install qemu-system-x86_64, qemu-img, mmdebstrap, e2fsprogs, xfsprogs, sfdisk, strace, a C and a C++ compiler by hand" >&2
    exit 1
fi

# More than once: an older QEMU can't live beside the qemu-img of backports, and takes it away.
for _ in 1 2 3; do
    missing=()
    "$system"
    [ ${#missing[@]} = 0 ] && exit
    "install_$system"
done
echo "still missing after they were installed: ${missing[*]}" >&2
exit 1
