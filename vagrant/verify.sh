#!/bin/sh
# Proves on a machine nobody minds that nodeprep does what it says: it differs, is prepared in one
# apply, a second one finds nothing to do, and all of it is so after a reboot, which is the caller's.
# usage: verify.sh prepare PROFILE      on a bare machine, as root
#        verify.sh prove PROFILE        after the reboot
# Vagrant's boxes and the lab in tests/vm run this very file. IGNORE names kubeadm's checks that this
# machine can't pass, with commas between them.
set -eu

stage=${1:-} profile=${2:-}
nodeprep=${NODEPREP:-/usr/local/bin/nodeprep}
here=$(dirname "$0")

say() { printf '%s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    exit 1
}

# run EXPECTED ARGUMENTS...: runs nodeprep, whose exit code has to be one of EXPECTED ("0 3").
run() {
    expected=$1 code=0
    shift
    answer=$("$nodeprep" "$@") || code=$?
    case " $expected " in
        *" $code "*) say "ok: nodeprep $* exits with $code" ;;
        *) fail "nodeprep $* exits with $code, expected $expected:
$answer" ;;
    esac
}

# An apply where there is nothing to do has no step; without jq, the json view says so in one line.
nothing_to_do() {
    run "$1" apply "$profile" --output json
    case $answer in
        *'"steps": []'*) say "ok: no step" ;;
        *) fail "there was something left to do:
$answer" ;;
    esac
}

prepare() {
    run 2 check "$profile"
    run '0 3' apply "$profile"
    applied=$code
    nothing_to_do "$applied"
    run "$applied" check "$profile"
}

prove() {
    run 0 check "$profile"
    nothing_to_do 0
    if command -v kubeadm >/dev/null; then
        kubeadm_itself
    else
        say "kubeadm is not installed: its checks by the system's own tools"
        sh "$here/preflight.sh"
    fi
}

# A warning counts too. kubeadm itself knows no way to make one an error.
kubeadm_itself() {
    code=0
    answer=$(kubeadm init phase preflight ${IGNORE:+--ignore-preflight-errors="$IGNORE"} 2>&1) || code=$?
    say "$answer"
    [ "$code" = 0 ] || fail "kubeadm init phase preflight exits with $code"
    said=$(say "$answer" | sed -n 's/.*\[WARNING \([^]]*\)\].*/\1/p')
    for name in $said; do
        case ",${IGNORE:-}," in
            *",$name,"*) ;;
            *) fail "kubeadm warns: $name" ;;
        esac
    done
    say "ok: kubeadm has nothing to complain about"
}

case $stage:$profile in
    prepare:?* | prove:?*) "$stage" ;;
    *)
        say "usage: $0 prepare|prove PROFILE" >&2
        exit 64
        ;;
esac
