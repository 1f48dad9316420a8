# migrate.sh - live migration of a busy guest within this host, and migrations that are stopped.
#
# The receiver's helper is chosen by the stand-in for ssh (fakessh). The incoming domain is called
# NAME--incoming until the sender lets go of the guest.
# shellcheck shell=sh

HOLD_AFTER='' VERIFY_LOG='' STREAM_COPY=''
export HELPER RECEIVER_LOG HOLD_AFTER VERIFY_LOG STREAM_COPY

# start_live STEP RECEIVER: what every live step begins with.
start_live() {
    new_step "$1"
    RECEIVER_LOG=${log%.log}-receiver.log
    ssh="/rig/fakessh $2"
    watchers=$(xl_that migrate-receive)
    free_before=$(free_memory)
    mark_console
    clear_console "$guest--incoming"
    step_start=$(now)
}

migrate() { # SENDER RECEIVER [--debug]
    start_live "migrate$3-$1-$2" "$2"
    # shellcheck disable=SC2086
    xl_with "$1" migrate $3 -s "$ssh" "$guest" localhost >"$log" 2>&1 || {
        reason="migration from $1 to $2 failed with status $?"
        return 1
    }
    console_goes_on "$guest--incoming" 0
    [ "$1$3" = "$2" ] && measured migrate "$1" "$(pause)"
    detail="${detail}migrate $(seconds $(($(now) - step_start))) s, paused $(pause), "
    used "$1" && used "$2" "$RECEIVER_LOG" || return
    [ -z "$3" ] || nothing_differed || return
    guest_is_whole && only_guest_left "$free_before"
}

# pause: for how long the guest stood still, in the words of our helper.
pause() {
    tr '\r' '\n' <"$log" | sed -n 's/.* paused for \([0-9.]* ms\).*/\1/p' | grep . || echo '-'
}

# nothing_differed: the receiver compared all pages once more, and found each as it was sent.
nothing_differed() {
    reason="the receiver says: $(tr '\r' '\n' <"$RECEIVER_LOG" | grep -i verify | grep -i -m 1 'fail\|differ')"
    [ "$reason" = 'the receiver says: ' ]
}

# The ways to stop a migration.
terminate_sender() {
    kill -TERM $(helper_that save)
}
kill_sender() {
    kill -KILL $(xl_that migrate)
}
# Killed so, the receiver leaves its half of a domain behind, so that is destroyed for it.
kill_receiver() {
    kill -KILL $(receivers) $(helper_that restore)
}

helper_that() { pids_of libxl-save-helper "--$1-domain"; } # save|restore
xl_that() { pids_of xl "$1"; }                             # COMMAND
pids_of() { # PROGRAM ARGUMENT
    for pid in $(pidof "$1"); do
        tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qx -e "$2" && echo "$pid"
    done
}

# interrupted STOP ENGINE: the guest goes on at the source as if nothing had been, and can be migrated.
INTERRUPTED_AFTER=40 # MiB of the guest's 120
interrupted() {
    start_live "$1" "$2"
    rm -f /run/half-way /run/let-go
    HOLD_AFTER=$INTERRUPTED_AFTER
    xl_with "$2" migrate -s "$ssh" "$guest" localhost >"$log" 2>&1 &
    sender=$!
    HOLD_AFTER=''
    reason='the migration never got half-way'
    within 60 test -e /run/half-way || return
    usleep 500000 # so that the pipe is full, and the helper blocked in write
    reason='there was nobody to be stopped'
    "$1" || return
    stop_start=$(now)
    : >/run/let-go
    wait "$sender"
    status=$?
    detail="xl gone after $(seconds $(($(now) - stop_start))) s with status $status, "
    [ $status != 0 ] || { reason='xl says the migration succeeded'; return 1; }
    [ "$1" = kill_sender ] || [ $status != 137 ] || { reason='xl hung'; return 1; }
    used "$2" || return
    reason='the receiver is still there'
    within 20 no_receiver || return
    [ "$1" != kill_receiver ] || xl destroy "$guest--incoming" >>"$log" 2>&1
    guest_is_whole && only_guest_left "$free_before" && migrate "$2" "$2"
}
no_receiver() { [ -z "$(receivers)$(helpers)" ]; }
# receivers: not those that received the guest before and watch over it since.
receivers() {
    for pid in $(xl_that migrate-receive); do
        echo "$watchers" | grep -qx "$pid" || echo "$pid"
    done
}
