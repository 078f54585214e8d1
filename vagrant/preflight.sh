#!/bin/sh
# The conditions that `kubeadm init phase preflight` tests, looked at with the system's own tools: for
# machines without kubeadm, and so that nodeprep is not judged by itself. One line each,
#     ok NAME | warn NAME: WHY | error NAME: WHY
# with kubeadm's name and severity; the exit code is 1 where there is an error. IGNORE, names with
# commas between them, makes errors warnings, as kubeadm's --ignore-preflight-errors does. What it tests
# is in kubeadm's sources (cmd/kubeadm/app/preflight/checks.go of 1.33; k8s.io/system-validators 1.12). Not here: what needs a
# kubeadm (KubernetesVersion), an external etcd, or pulls images (ImagePull: see the end).
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
errors=0

ok() { echo "ok $1"; }
warn() { echo "warn $1: $2"; }
error() {
    case ",${IGNORE:-}," in
        *",$1,"*) warn "$1" "$2" && return ;;
    esac
    echo "error $1: $2"
    errors=1
}
# is SEVERITY NAME WHY COMMAND...: the command has to succeed.
is() {
    severity=$1 check=$2 why=$3
    shift 3
    if "$@" >/dev/null 2>&1; then ok "$check"; else "$severity" "$check" "$why"; fi
}
not() { ! "$@"; }

# In MB of 2^20 bytes, from the kernel's kB of 2^10.
memory() { awk '/^MemTotal:/ { exit !($2 / 1024 >= 1700) }' /proc/meminfo; }

# A listening socket is in state 0A, its port in hexadecimal (Documentation/networking/proc_net_tcp.rst).
listens() {
    port=$(printf '%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v "port=$port" '$4 == "0A" && $2 ~ ":" port "$" { found = 1 } END { exit !found }'
}

# A directory that is not there or has nothing in it.
is_free() { [ ! -d "$1" ] || [ -z "$(ls -A "$1")" ]; }

# kubeadm's names for files: slashes become hyphens.
named() { echo "$1" | tr / -; }

# One line of column names, then a line an area.
no_swap() { [ "$(wc -l </proc/swaps)" -le 1 ]; }

# containerd's plugin is in state ok. Where there is crictl, the runtime has to answer it as well.
cri() {
    ctr plugins ls | awk '$1 == "io.containerd.grpc.v1" && $2 == "cri" && $NF == "ok" { found = 1 } END { exit !found }' &&
        { ! command -v crictl || crictl info; }
}

# RuntimeConfig is there from containerd 2.0 on.
has_runtime_config() { containerd --version | awk '{ sub(/^v/, "", $3); new = $3 + 0 >= 2 } END { exit !new }'; }

config() {
    for file in /proc/config.gz "/boot/config-$release" "/usr/src/linux-$release/.config" \
        /usr/src/linux/.config "/usr/lib/modules/$release/config" "/usr/lib/ostree-boot/config-$release" \
        /usr/lib/kernel/config-"$release" "/usr/src/linux-headers-$release/.config" \
        "/lib/modules/$release/build/.config"; do
        [ -r "$file" ] || continue
        case $file in *.gz) zcat "$file" ;; *) cat "$file" ;; esac
        return
    done
    return 1
}

# has_option NAME OR-NAME...
has_option() {
    for option; do
        echo "$options" | grep -q "^CONFIG_$option=[ym]$" && return
    done
    return 1
}

KERNEL='NAMESPACES NET_NS PID_NS IPC_NS UTS_NS CPUSETS MEMCG INET EXT4_FS PROC_FS
    NETFILTER_XT_TARGET_REDIRECT|IP_NF_TARGET_REDIRECT NETFILTER_XT_MATCH_COMMENT FAIR_GROUP_SCHED'
KERNEL_V1='CGROUPS CGROUP_CPUACCT CGROUP_DEVICE CGROUP_FREEZER CGROUP_PIDS CGROUP_SCHED'
KERNEL_V2='CGROUPS CGROUP_BPF CGROUP_PIDS CGROUP_SCHED'

is_cgroup2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }

# v2: the freezer and devices are no controllers there, but every group but the root has the former's file.
has_controller() {
    case $1 in
        devices) is_cgroup2 || enabled devices ;;
        freezer) if is_cgroup2; then [ -n "$(ls -d /sys/fs/cgroup/*/cgroup.freeze)" ]; else enabled freezer; fi ;;
        *) if is_cgroup2; then grep -qw "$1" /sys/fs/cgroup/cgroup.controllers; else enabled "$1"; fi ;;
    esac
}
enabled() { awk -v "name=$1" '$1 == name && $4 == 1 { found = 1 } END { exit !found }' /proc/cgroups; }

# What system-validators calls one check is many here.
system_verification() {
    release=$(uname -r)
    is error SystemVerification-os "not Linux" [ "$(uname -s)" = Linux ]
    is warn SystemVerification-kernel "$release is none that Kubernetes is tested with" \
        sh -c 'echo "$1" | grep -Eq "^(5\.(4|10|15)\.|([6-9]|[1-9][0-9])\.[0-9]+\.[0-9])"' _ "$release"
    options=$(config) || error SystemVerification-config "no configuration of kernel $release is to be found"
    if is_cgroup2; then wanted="$KERNEL $KERNEL_V2"; else wanted="$KERNEL $KERNEL_V1"; fi
    for option in $wanted; do
        # shellcheck disable=SC2046 # two words: an option has two names
        is error "SystemVerification-CONFIG_${option%%|*}" "neither y nor m" has_option $(echo "$option" | tr '|' ' ')
    done
    is warn SystemVerification-cgroups "cgroup v1: refused from Kubernetes 1.35 on" is_cgroup2
    controllers='cpu cpuset devices freezer memory pids'
    is_cgroup2 || controllers="$controllers cpuacct"
    for controller in $controllers; do
        is error "SystemVerification-cgroup-$controller" "not enabled" has_controller "$controller"
    done
}

is error IsPrivilegedUser "not root" [ "$(id -u)" = 0 ]
is error NumCPU "fewer than 2 processors" [ "$(getconf _NPROCESSORS_ONLN)" -ge 2 ]
is error Mem "less than 1700 MB" memory
is warn Firewalld "it runs: kubeadm warns whatever its rules are" not systemctl is-active firewalld
for port in 6443 10259 10257; do
    is error "Port-$port" "something listens there" not listens "$port"
done
for part in kube-apiserver kube-controller-manager kube-scheduler etcd; do
    file=/etc/kubernetes/manifests/$part.yaml
    is error "FileAvailable-$(named "$file")" "$file exists" [ ! -e "$file" ]
done
is error FileContent--proc-sys-net-ipv4-ip_forward "it does not begin with 1" grep -q ^1 /proc/sys/net/ipv4/ip_forward
# To 1.29 an error; the bridge networks need it still.
is warn FileContent--proc-sys-net-bridge-bridge-nf-call-iptables "not 1" \
    grep -q ^1 /proc/sys/net/bridge/bridge-nf-call-iptables
is error CRI "containerd's CRI does not answer" cri
is warn ContainerRuntimeVersion "containerd before 2.0: a warning from Kubernetes 1.35 on" has_runtime_config
is warn Swap "it is on" no_swap
# Of all versions from 1.28 on; errors to 1.31, mount and cp to this day.
for program in mount cp ip iptables nsenter conntrack; do
    is error "FileExisting-$program" "not in root's PATH" command -v "$program"
done
for program in losetup ethtool tc touch; do
    is warn "FileExisting-$program" "not in root's PATH" command -v "$program"
done
system_verification
name=$(uname -n)
is warn Hostname-name "\"$name\" is no RFC 1123 subdomain" \
    sh -c 'echo "$1" | grep -Eq "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"' _ "$name"
is warn Hostname "$name does not resolve" getent hosts "$name"
is error KubeletVersion "there is no kubelet" kubelet --version
is warn Service-Kubelet "kubelet.service is not enabled" systemctl is-enabled kubelet
is error Port-10250 "something listens there" not listens 10250
for port in 2379 2380; do
    is error "Port-$port" "something listens there" not listens "$port"
done
is error DirAvailable--var-lib-etcd "not empty" is_free /var/lib/etcd
is warn HTTPProxy "connections to the API server would take a proxy" [ -z "${https_proxy:-}${HTTPS_PROXY:-}" ]
# kubeadm would pull what is missing; a node without a registry can't.
is warn ImagePull "no kube-apiserver image is there" \
    sh -c 'ctr --namespace k8s.io images ls -q | grep -q /kube-apiserver:'
exit "$errors"
