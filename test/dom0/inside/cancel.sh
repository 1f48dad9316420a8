# cancel.sh - cases that stop a save half-way; the image goes into a fifo, so that "half-way"
# is certain: its reader takes 10 MiB and then no more.
# shellcheck shell=sh

# start_reader THEN: reads 10 MiB, says so by /run/half-way, then "close"s the fifo or "hold"s
# it open, without reading, until /run/let-go appears (then takes the rest).
start_reader() {
    rm -f /run/half-way /run/let-go /images/fifo
    mkfifo /images/fifo
    {
        dd bs=64k count=160 iflag=fullblock of=/dev/null 2>/dev/null
        [ "$1" = close ] && exec <&-
        : >/run/half-way
        if [ "$1" = hold ]; then
            until [ -e /run/let-go ]; do usleep 100000; done
            cat >/dev/null
        fi
    } </images/fifo &
    reader=$!
}

start_save() {
    new_step "$1"
    mark_console
    xl_with xensr save "$guest" /images/fifo >"$log" 2>&1 &
    saver=$!
}

half_way() {
    reason='the save never got half-way'
    within 60 test -e /run/half-way || return 1
    usleep 500000 # so that a fifo that is held is full, and the helper blocked in write
}

# The ways to stop a save.
reader_gone() {
    start_reader close
    start_save reader-gone
    half_way
}
helper_terminated() {
    start_reader hold
    start_save terminated
    half_way || return
    reason='no helper at work to be terminated'
    kill -TERM $(helpers)
}

cancelled() { # STOP
    "$1" || return
    stop_start=$(now)
    wait "$saver"
    status=$?
    detail="xl gone after $(seconds $(($(now) - stop_start))) s with status $status, "
    : >/run/let-go
    [ $status != 0 ] || { reason='xl says the save succeeded'; return 1; }
    [ $status != 137 ] || { reason='xl hung'; return 1; }
    used xensr || return
    reason='a helper process is left'
    within 10 no_helpers || return
    wait "$reader"
    guest_is_whole
}

# xl_killed: nobody is left to resume the guest then, so all that is asked is that the helper
# goes, and that the suspended guest can be destroyed without leaving anything.
xl_killed() {
    start_reader hold
    start_save xl-killed
    half_way || return
    for pid in $(pidof xl); do # not the one that watches over the guest
        grep -q save "/proc/$pid/cmdline" && kill -KILL "$pid"
    done
    wait "$saver"
    : >/run/let-go
    reason='the helper outlives xl'
    within 20 no_helpers || return
    used xensr || return
    xl destroy "$guest" >>"$log" 2>&1
    guest_kind=''
    reason='a domain is left'
    within 10 no_domains
}
