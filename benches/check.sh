#!/usr/bin/env bash
# The questions of the kubeadm-control-plane profile as a careful administrator would script them: what
# nodeprep's check is measured beside. Says what differs, exits 2 where anything does. It looks less far
# than nodeprep: at boot it takes our own file for what the boot will make.
set -uo pipefail

differs=0
tell() {
    printf '%s\n' "$*"
    differs=2
}

# Swap.
[ -z "$(swapon --show --noheadings 2>/dev/null)" ] || tell "swap is on"
if awk '$1 !~ /^#/ && $3 == "swap" { found = 1 } END { exit !found }' /etc/fstab 2>/dev/null; then
    tell "swap comes back at boot: fstab"
fi
for unit in /etc/systemd/system/*.{wants,requires}/*.swap; do
    [ ! -e "$unit" ] || tell "swap comes back at boot: $unit"
done

# Kernel modules.
listed=$(cat /etc/modules-load.d/*.conf /usr/lib/modules-load.d/*.conf 2>/dev/null)
barred=$(grep -hs '^blacklist ' /etc/modprobe.d/*.conf /usr/lib/modprobe.d/*.conf)
builtin=$(cat "/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null)
for module in overlay br_netfilter nf_conntrack ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh; do
    [[ $builtin == */$module.ko* ]] && continue
    [ -d "/sys/module/$module" ] || tell "$module is not loaded"
    [[ $'\n'$listed$'\n' == *$'\n'$module$'\n'* ]] || tell "$module is not loaded at boot"
    [[ $'\n'$barred$'\n' == *$'\n'"blacklist $module"$'\n'* ]] && tell "$module is blacklisted"
done

# Kernel parameters: KEY WANTED, `+` before a value that may be higher; at boot the last line wins.
declare -A boot
while IFS='=' read -r key value; do
    boot[$key]=$value
done < <(sed -n 's/^[[:space:]]*\([a-z][^=[:space:]]*\)[[:space:]]*=[[:space:]]*/\1=/p' \
    /usr/lib/sysctl.d/*.conf /etc/sysctl.d/*.conf 2>/dev/null)
while read -r key wanted; do
    read -r now 2>/dev/null <"/proc/sys/${key//.//}" || { tell "$key is not there"; continue; }
    for value in "live $now" "boot ${boot[$key]-}"; do
        found=${value#* }
        case $wanted in
            +*) [ "${found:-0}" -ge "${wanted#+}" ] || tell "$key ${value%% *}: $found, not $wanted" ;;
            *) [ "$found" = "$wanted" ] || tell "$key ${value%% *}: $found, not $wanted" ;;
        esac
    done
done <<'KEYS'
net.ipv4.ip_forward 1
net.bridge.bridge-nf-call-iptables 1
net.bridge.bridge-nf-call-ip6tables 1
vm.overcommit_memory 1
vm.panic_on_oom 0
kernel.panic 10
kernel.panic_on_oops 1
kernel.keys.root_maxkeys 1000000
kernel.keys.root_maxbytes 25000000
fs.inotify.max_user_instances +8192
fs.inotify.max_user_watches +1048576
vm.max_map_count +262144
kernel.pid_max +4194304
net.netfilter.nf_conntrack_max +131072
KEYS

# journald.
declare -A journal
while IFS='=' read -r key value; do
    journal[$key]=$value
done < <(grep -hs '^[A-Z]' /etc/systemd/journald.conf /etc/systemd/journald.conf.d/*.conf)
while IFS== read -r key wanted; do
    [ "${journal[$key]-}" = "$wanted" ] || tell "journald $key: ${journal[$key]-}, not $wanted"
done <<'KEYS'
Storage=persistent
Compress=yes
SystemMaxUse=2G
SystemMaxFileSize=128M
KEYS
[ -d /var/log/journal ] || tell "/var/log/journal is not there"
systemctl is-active --quiet systemd-journald 2>/dev/null || tell "journald does not run"

# The container runtime, and crictl's way to it.
if command -v containerd >/dev/null; then
    containerd config dump 2>/dev/null | grep -q 'SystemdCgroup = true' || tell "SystemdCgroup is off"
    systemctl is-active --quiet containerd || tell "containerd does not run"
    systemctl is-enabled --quiet containerd || tell "containerd is not enabled"
fi
for line in 'runtime-endpoint: unix:///run/containerd/containerd.sock' \
    'image-endpoint: unix:///run/containerd/containerd.sock' 'timeout: 10' 'debug: false'; do
    grep -qx "$line" /etc/crictl.yaml 2>/dev/null || tell "crictl.yaml lacks $line"
done
[ -S /run/containerd/containerd.sock ] || tell "containerd's socket is not there"

# Ports.
if command -v nft >/dev/null; then
    rules=$(nft list ruleset 2>/dev/null)
    for port in 6443 2379 2380 10250 10257 10259; do
        if grep -q 'hook input.*policy drop' <<<"$rules" && ! grep -q "dport.*$port" <<<"$rules"; then
            tell "port $port is closed"
        fi
    done
fi
exit "$differs"
