# image.sh - saving and restoring the guest with stock xl through a chosen helper.
#
# An engine is "stock" or "xensr". Each step's xl output goes to a log of its own, and shows
# which helper really did it: xensr's first line has its name and version.
# shellcheck shell=sh

HELPER=/usr/libexec/xensr/libxl-save-helper
steps=0

new_step() { # NAME: sets $log
    steps=$((steps + 1))
    log=$LOGS/$(printf %02d "$steps")-$guest-$1.log
}

# xl_with ENGINE ARGUMENT...: its exit status is xl's; 137 if it had to be killed.
xl_with() {
    unset LIBXL_SAVE_HELPER
    [ "$1" = stock ] || export LIBXL_SAVE_HELPER="$HELPER"
    shift
    timeout -s KILL 120 xl -vvv "$@"
}

used() { # ENGINE [LOG]: did it do the step of $log?
    used_engine=stock
    grep -Eq '(^|: )xensr [0-9]+\.' "${2:-$log}" && used_engine=xensr
    [ "$used_engine" = "$1" ] || {
        reason="done by the helper of $used_engine, not of $1"
        return 1
    }
}

# measured OPERATION ENGINE NOTE: a line for the table at the end ("-": nothing to note), and for
# the result line.
measured() {
    step_time=$(($(now) - step_start))
    [ "${guest_kind#* }" != 2 ] &&
        echo "${guest_kind% *} $1 $2 $step_time $3" >>/run/measurements
}

save() { # ENGINE IMAGE: afterwards there is no guest running
    new_step "save-$1"
    mark_console
    step_start=$(now)
    xl_with "$1" save "$guest" "$2" >"$log" 2>&1 || {
        reason="save by $1 failed with status $?"
        return 1
    }
    size=$(stat -c %s "$2")
    measured save "$1" "$(mebibytes "$size") MiB"
    detail="${detail}save $(seconds "$step_time") s $(mebibytes "$size") MiB, "
    used "$1" && sound "$2"
}

restore() { # ENGINE IMAGE [FAILOVER]: FAILOVER as for console_goes_on
    new_step "restore-$1"
    clear_console "$guest"
    step_start=$(now)
    xl_with "$1" restore "$2" >"$log" 2>&1 || {
        reason="restore by $1 failed with status $?"
        return 1
    }
    console_goes_on "$guest" "${3:-0}"
    measured restore "$1" -
    detail="${detail}restore $(seconds "$step_time") s, "
    used "$1"
}
