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
runtime=/etc/containerd/config.toml socket=/run/containerd/containerd.sock
for wanted in 'SystemdCgroup = true' 'sandbox_image = "registry.k8s.io/pause:3.10.1"'; do
    grep -qsE "^[[:space:]]*$wanted" "$runtime" || tell "containerd: no $wanted"
done
if grep -qs '^disabled_plugins.*cri' "$runtime"; then
    tell "containerd: its CRI plugin is off"
fi
systemctl is-active --quiet containerd 2>/dev/null || tell "containerd does not run"
systemctl is-enabled --quiet containerd 2>/dev/null || tell "containerd is not enabled"
[ -S "$socket" ] || tell "containerd's socket is not there"
while read -r line; do
    grep -qxs "$line" /etc/crictl.yaml || tell "crictl.yaml lacks $line"
done <<KEYS
runtime-endpoint: unix://$socket
image-endpoint: unix://$socket
timeout: 10
debug: false
KEYS

# Ports: of whichever firewall is there.
ports='10250/tcp 10256/tcp 8472/udp 6443/tcp 2379-2380/tcp 10257/tcp 10259/tcp 30000-32767/tcp 30000-32767/udp'
# A rule set, and how its rules name a port's protocol and the port.
look() {
    local port number
    for port in $ports; do
        number=${port%/*}
        grep -qE "${port#*/} .*dport ${number/-/[-:]} .*accept" <<<"${1,,}" || tell "$2: port $port is closed"
    done
}
if systemctl is-active --quiet firewalld 2>/dev/null; then
    for where in '' --permanent; do
        open=" $(firewall-cmd $where --list-ports) "
        for port in $ports; do
            [[ $open == *" $port "* ]] || tell "firewalld $where: port $port is closed"
        done
    done
else
    if command -v nft >/dev/null; then
        rules=$(nft list ruleset 2>/dev/null)
        [[ $rules != *'hook input'*'policy drop'* ]] || look "$rules" nftables
    fi
    for family in '' 6; do
        [ -s "/proc/net/ip${family}_tables_names" ] || continue
        rules=$("ip${family}tables-legacy" -S)
        [[ $rules != *'-P INPUT DROP'* ]] || look "$rules" "ip${family}tables"
    done
    for file in /etc/nftables.conf /etc/iptables/rules.v4 /etc/iptables/rules.v6; do
        [ -r "$file" ] || continue
        rules=$(<"$file")
        [[ $rules != *'policy drop'* && $rules != *':INPUT DROP'* ]] || look "$rules" "$file"
    done
fi
exit "$differs"
