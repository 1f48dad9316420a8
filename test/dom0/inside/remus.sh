# remus.sh - replication of a busy guest to this host; its primary's side is killed at a random
# moment of the checkpoint cycle, and the guest has to go on from a complete checkpoint.
#
# How the verdict knows the checkpoint: console.sh, judge. The survivor is the next one's primary.
# shellcheck shell=sh

REMUS_INTERVAL=500 # ms
REMUS_MOMENTS=3000 # ms, a few cycles: the kill comes at a random one of them

# fail_overs SENDER RECEIVER TIMES [HOW]: one after the other. One that comes to nothing because stock's
# xl spins (see xl_spins) is said, and done again with another guest, twice at the most.
fail_overs() {
    spun=0 fail_over_n=0
    while [ $fail_over_n -lt "$3" ]; do
        if fail_over "$1" "$2" "$4"; then
            fail_over_n=$((fail_over_n + 1))
            continue
        fi
        reason="fail-over $((fail_over_n + 1)): $reason"
        [ $status = spun ] && [ $spun -lt 2 ] || return 1
        spun=$((spun + 1))
        tell "note $version $type  killed $moment ms in, between a checkpoint's two halves: stock's xl spins; once more"
        destroy_guest
        need_guest "$type" busy || return
    done
}

fail_over() { # SENDER RECEIVER [half-way]
    status=''
    start_live "remus-$1-$2" "$2"
    unset LIBXL_SAVE_HELPER
    [ "$1" = stock ] || export LIBXL_SAVE_HELPER="$HELPER"
    xl -vvv remus -F -n -d -i $REMUS_INTERVAL -s "$ssh" "$guest" localhost >"$log" 2>&1 &
    primary=$!
    reason='no checkpoint was completed'
    within 60 suspended_times 2 || { kill -KILL "$primary"; return 1; }

    moment=$(($(od -An -N2 -tu2 /dev/urandom) * REMUS_MOMENTS / 65536))
    usleep ${moment}000
    [ -z "$3" ] || between_the_halves || return
    kill -KILL $primary $(helper_that save)
    killed=$(now)
    wait $primary
    begun=$(suspensions)
    xl destroy "$guest" >>"$log" 2>&1
    reason='no fail-over'
    if ! within 30 taken_over; then
        may_spin "$2" "$3" && xl_spins && status=spun reason="stock's xl spins"
        return 1
    fi
    xl rename "$guest--incoming" "$guest" >>"$log" 2>&1
    console_goes_on "$guest--incoming" $((marked_suspends + begun))
    detail="${detail}killed $moment ms in, $begun checkpoints begun, up in $(seconds $(($(now) - killed))) s, "
    used "$1" && used "$2" "$RECEIVER_LOG" || return
    guest_is_whole && only_guest_left "$free_before"
}

# between_the_halves: stops xl when the guest has been suspended, so that the helper sends its half
# of the checkpoint, and xl nothing more.
between_the_halves() {
    reason='no further checkpoint'
    within 20 suspended_times $(($(suspensions) + 1)) || return
    kill -STOP "$primary"
    usleep 2000000
}

# xl_spins: when a stream ends where libxl reads it, between the end of the helper's half of a
# checkpoint and CHECKPOINT_END, the receiving xl takes what it did not read for END records, for
# ever. A helper can only look whether there is more before it lets xl read on. That helps ours, except
# where the end falls among an HVM guest's emulator records, which it cannot look at.
may_spin() { [ "$1" = stock ] || { [ "$type" = hvm ] && [ -z "$2" ]; }; } # RECEIVER [half-way]
xl_spins() {
    spent=$(cpu_time $(receivers)) && usleep 2000000 &&
        [ $(($(cpu_time $(receivers)) - spent)) -ge 50 ]
}
cpu_time() { awk '{ print $14 + $15 }' "/proc/$1/stat"; } # PID: in hundredths of a second

# suspensions: how often xl had the guest suspended, once for each checkpoint.
suspensions() { grep -c 'guest has suspended' "$log"; }
suspended_times() { [ "$(suspensions)" -ge "$1" ]; } # the first is complete when the second begins
taken_over() {
    grep -q 'Remus Failover' "$RECEIVER_LOG" && grep -q "$TICK" "$(console_of "$guest--incoming")"
}
