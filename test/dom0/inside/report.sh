# report.sh - how scripts in dom0 talk to the host: lines on the serial console, and logs.
#
# A line that starts with "@rig " is shown to the user; the host stops at "@rig end".
# Logs are written as one tar straight onto the virtio disk, again after every case, so that
# the host has them even when a later case hangs.
# shellcheck shell=sh

LOGS=/var/log/xen

tell() { echo "@rig $*" >/dev/console; }

keep_logs() {
    xl dmesg >"$LOGS/xl-dmesg.log" 2>&1
    dmesg >"$LOGS/dom0-dmesg.log"
    tar -C /var/log -cf /dev/vda xen
}

# now: hundredths of a second since boot; seconds HUNDREDTHS: as "1.23".
now() {
    read -r now_seconds now_rest </proc/uptime
    echo "${now_seconds%.*}${now_seconds#*.}"
}
seconds() { awk -v c="$1" 'BEGIN { printf "%.1f", c / 100 }'; }
mebibytes() { awk -v b="$1" 'BEGIN { printf "%.1f", b / 1048576 }'; }

# within SECONDS COMMAND...: true as soon as the command is, false if it never was. It looks
# only so often because dom0 has one slow cpu, which the device model needs more.
within() {
    within_end=$(($(now) + $1 * 100))
    shift
    until "$@"; do
        [ "$(now)" -lt "$within_end" ] || return 1
        usleep 250000
    done
}
