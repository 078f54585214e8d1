#!/bin/bash
# Makes the base image of one Debian suite: disk.raw, vmlinuz and initrd.img in OUT.
# usage: build.sh SUITE OUT      (root, mmdebstrap, e2fsprogs, sfdisk)
# image.rs hashes this file and its neighbours: changing one of them makes new images.
set -euo pipefail
suite=$1 out=$2 here=$(dirname "$(readlink -f "$0")")
tree=$out/tree

# The cloud kernel is Debian's own kernel without drivers for bare metal; br_netfilter, overlay,
# ip_vs*, nf_conntrack and zram are in it.
mkdir -p "$out"

packages=(
    linux-image-cloud-amd64 initramfs-tools zstd
    systemd systemd-sysv udev dbus kmod procps util-linux e2fsprogs iproute2
    containerd iptables nftables firewalld ufw ipvsadm conntrack ipset ethtool socat
    selinux-policy-default policycoreutils
    grub-pc-bin grub2-common
    tzdata chrony cron
    strace ca-certificates gpg gpg-agent
)
# hwclock has moved there.
[ "$suite" = bullseye ] || packages+=(util-linux-extra)

# Only the modules the root disk needs: a small initrd boots faster under software emulation.
slim_initrd() {
    cat <<'HOOK'
mkdir -p "$1/etc/initramfs-tools/conf.d"
echo 'MODULES=list' >"$1/etc/initramfs-tools/conf.d/nodeprep-lab"
printf '%s\n' virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"
HOOK
}

# netfilter-persistent and ufw exclude each other: a scenario installs the former in the latter's place.
persistent() {
    cat <<'HOOK'
mkdir "$1/opt/persistent" && cd "$1/opt/persistent" &&
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -qq netfilter-persistent iptables-persistent
HOOK
}

# This host's own Debian mirror, if it has one; mmdebstrap's default otherwise.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
        grep -m 1 . || true
}

# Check-Valid-Until: testing's release file is good for a week, and a mirror can be older.
debootstrap() {
    local uri
    uri=$(mirror)
    # shellcheck disable=SC2016,SC2046 # $1 is the hook's; no mirror means no argument
    mmdebstrap --mode=root --variant=minbase \
        --include="$(IFS=, && echo "${packages[*]}")" \
        --aptopt='Acquire::Retries "3"' \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook="$(slim_initrd)" \
        --customize-hook="$(persistent)" \
        "$suite" "$tree" ${uri:+"$uri"}
}

configure() {
    echo nodeprep-lab >"$tree/etc/hostname"
    printf '# <file system>\t<mount point>\t<type>\t<options>\t<dump>\t<pass>\n/dev/vda1\t/\text4\tdefaults\t0\t1\n' \
        >"$tree/etc/fstab"
    rm -f "$tree/etc/resolv.conf"
    install -D -m 755 "$here/lab.sh" "$tree/usr/local/libexec/nodeprep-lab"
    install -D -m 644 "$here/lab.service" "$tree/usr/local/lib/systemd/system/nodeprep-lab.service"
    chroot "$tree" passwd --quiet --delete root
    chroot "$tree" systemctl --quiet enable nodeprep-lab.service
    # Installed for scenarios that want it, not running in those that don't.
    chroot "$tree" systemctl --quiet disable firewalld.service chrony.service cron.service
}

# SELinux labels go into the image now: relabelling at boot would take minutes under emulation.
label() {
    # setfiles needs /proc; the private mount goes away with its namespace.
    unshare --mount -- bash -euc 'mount -t proc proc "$1/proc"
        chroot "$1" setfiles -m -e /proc /etc/selinux/default/contexts/files/file_contexts /
        chroot "$1" ls -Zd /etc | grep -q :etc_t:' label "$tree"
}

# One partition behind a classic partition table, with room before it where GRUB installs itself.
# The kernel and its initrd lie beside the disk as well, for machines that start without GRUB.
readonly DISK=$((4 << 30)) PARTITION=$((1 << 20)) # bytes

pack() {
    cp -L "$tree/vmlinuz" "$out/vmlinuz"
    cp -L "$tree/initrd.img" "$out/initrd.img"
    truncate -s "$DISK" "$out/disk.raw"
    echo 'start=1MiB, type=83, bootable' | PATH=$PATH:/usr/sbin:/sbin sfdisk --quiet --label dos "$out/disk.raw"
    mkfs.ext4 -q -L root -d "$tree" -E offset="$PARTITION" "$out/disk.raw" \
        "$(((DISK - PARTITION) / 1024))k"
    rm -rf "$tree"
}

for step in debootstrap configure label pack; do
    echo "== $step $suite ($(date +%T))"
    "$step"
done
