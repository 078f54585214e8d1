#!/bin/bash
# The guest's end of the lab's channel. It writes nowhere but below /run.
#   to the host:    ready BOOT_ID
#   from the host:  run LENGTH\n<script>            answer: done CODE OUT_LENGTH ERR_LENGTH\n<out><err>
#                   put LENGTH MODE PATH\n<bytes>   answer: the same, of the install
set -u
cd /run/nodeprep-lab || exit
# udev may still be loading the port's driver when the boot is over.
until [ -e /dev/virtio-ports/nodeprep.lab ]; do sleep 0.2; done
exec 3<>/dev/virtio-ports/nodeprep.lab

answer() {
    printf 'done %d %d %d\n' "$1" "$(stat -c %s out)" "$(stat -c %s err)" >&3
    cat out err >&3
}

printf 'ready %s\n' "$(cat /proc/sys/kernel/random/boot_id)" >&3
while read -r verb length mode path <&3; do
    head -c "$length" <&3 >body
    case $verb in
        run) (cd /root && exec bash -euo pipefail /run/nodeprep-lab/body) </dev/null >out 2>err 3>&- ;;
        put) install -D -m "$mode" body "$path" >out 2>err 3>&- ;;
    esac
    answer $?
done
