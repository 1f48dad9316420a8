# demo.sh - one PVH guest, saved and restored by stock xl through xensr, shown step by step.
# shellcheck shell=sh
. /rig/report.sh
. /rig/domain.sh
. /rig/console.sh
. /rig/image.sh
. /rig/look.sh

# show TITLE, then each line of stdin, indented.
show() {
    tell "demo $1"
    while IFS= read -r line; do tell "demo     $line"; done
}

failed_demo() {
    tell "demo "
    tell "demo FAILED: $reason"
    tail -n 20 "$log" 2>/dev/null | show "xl's last words:"
    tell "done $version 0 passed, 1 failed"
    exit 1
}

# console_says N: its last lines, but for what only the cases look at.
console_says() {
    tr -d '\r' <"$(console_log)" | grep -E '^(tick|answer|guest)' | tail -n "$1" | sed 's/ cpus .*//'
}

# asked ARGUMENT...: the xensr command, and what it says.
asked() {
    tell "demo "
    xensr "$@" >/run/said 2>&1
    status=$?
    show "\$ xensr $*" </run/said
    reason="xensr $1 ends with status $status"
    [ $status = 0 ]
}

# progress: what the helper says in xl's output, with one in twenty per cent of its progress.
progress() {
    tr '\r' '\n' <"$log" | awk '
        !/^(xensr|xc): / || /: debug: / { next }
        /[0-9]+%/ { percent = $NF + 0; if (percent < next_one) next; next_one = percent + 20 }
        { print }'
}

tell "demo Stock xl, and xensr's save helper in place of stock's."
xl info | grep -E '^(xen_version|total_memory|free_memory)' | show "Xen is up; xl info says:"
tell "demo "
tell "demo \$ xl create pvh.cfg   # a PVH guest with 128 MiB, 24 of them random data"
reason='the guest did not start'
need_guest pvh 1 || failed_demo
within 20 ticks_reached 4
console_says 5 | show "the guest's console: a tick a second, with its data summed up again, its uptime and its date:"

tell "demo "
tell "demo \$ LIBXL_SAVE_HELPER=$HELPER xl -vvv save $guest /images/guest"
detail=''
save xensr /images/guest || failed_demo
progress | show "xl's progress:"
# shellcheck disable=SC2086
set -- $detail # save SECONDS s SIZE MiB,
tell "demo saved in $2 s, $4 MiB"
xl list | show "\$ xl list   # the guest is in the file only"
asked info /images/guest || failed_demo
asked verify /images/guest || failed_demo

tell "demo "
tell "demo \$ LIBXL_SAVE_HELPER=$HELPER xl -vvv restore /images/guest"
detail=''
restore xensr /images/guest || failed_demo
progress | show "xl's progress:"
detail=${detail%, }
tell "demo restored in ${detail#* }"
xl list | show "\$ xl list   # it runs again"

guest_is_whole || failed_demo
console_says 7 |
    show "the guest's console goes on where it was, and answers a word typed on it:"
tell "demo "
tell "demo The guest's verdict: same data, ticking on from $marked_tick, time not gone back, console alive."
destroy_guest
tell "done $version 1 passed, 0 failed"
