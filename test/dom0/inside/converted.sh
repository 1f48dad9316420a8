# converted.sh - streams as they went to another host, made plain images for a stock restore.
#
# The stand-in for ssh keeps a copy of the stream; the guest at both ends is destroyed, and lives again
# only in what xensr convert makes of the copy.
# shellcheck shell=sh

# convert STEP STATUS OPTION...: of /images/stream; /images/plain is what comes of it. STATUS is what it
# must end with.
convert() {
    new_step "$1"
    wanted_status=$2
    shift 2
    step_start=$(now)
    xensr convert "$@" /images/stream /images/plain >"$log" 2>&1
    status=$?
    detail="${detail}convert $(seconds $(($(now) - step_start))) s, "
    reason="xensr convert ends with $status: $(tail -n 1 "$log")"
    [ $status = "$wanted_status" ] && sound /images/plain
}

records_of() { xensr ls "$2" | grep -c "^ *[0-9]* *[0-9]*  $1\b"; } # TYPE IMAGE

all_gone() {
    destroy_domains
    reason='a domain or a helper is left'
    within 20 no_domains && within 20 no_helpers
}

# from_remus: the last complete checkpoint of a replication.
from_remus() {
    start_live remus-kept xensr
    STREAM_COPY=/images/stream LIBXL_SAVE_HELPER=$HELPER \
        xl -vvv remus -F -n -d -i "$REMUS_INTERVAL" -s "$ssh" "$guest" localhost >"$log" 2>&1 &
    primary=$!
    reason='no checkpoint was completed'
    within 60 suspended_times 3 || { kill -KILL "$primary"; return 1; }
    kill -KILL "$primary" $(helper_that save)
    wait "$primary"
    begun=$(suspensions)
    reason='the copy of the stream does not end'
    within 20 no_copier || return
    kill -KILL $(receivers) $(helper_that restore) 2>/dev/null
    all_gone || return
    [ "$(records_of CHECKPOINT /images/stream)" -ge 2 ] || { reason='no checkpoints in the copy'; return 1; }
    convert convert-remus 0 || return
    detail="${detail}$begun checkpoints begun, "
    restore stock /images/plain $((marked_suspends + begun)) && guest_is_whole
}
no_copier() { [ -z "$(pidof copy-stream)" ]; }

# without_verify: a migration that sent all memory once more to have it compared.
without_verify() {
    start_live migrate-kept xensr
    STREAM_COPY=/images/stream
    xl_with xensr migrate --debug -s "$ssh" "$guest" localhost >"$log" 2>&1
    status=$?
    STREAM_COPY=''
    [ $status = 0 ] || { reason="migration failed with status $status"; return 1; }
    all_gone || return
    # What the two ends said to each other afterwards is not part of it.
    end=$(xensr ls /images/stream 2>/dev/null | awk '$3 == "END" { at = $1 } END { print at + 8 }')
    truncate -s "$end" /images/stream
    reason='no verify data in the copy'
    [ "$(records_of VERIFY /images/stream)" = 1 ] || return
    convert convert-debug 0 --drop-verify || return
    reason='verify data is still there'
    [ "$(records_of VERIFY /images/plain)" = 0 ] || return
    detail="$detail$(mebibytes "$end") to $(mebibytes "$(stat -c %s /images/plain)") MiB, "
    restore stock /images/plain && guest_is_whole
}
