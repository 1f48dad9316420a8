# console.sh - the guest's own verdict, read from what it prints (guest/init says the format).
#
# mark_console before a step, guest_is_whole after it. xenconsoled writes a log for each domain,
# named after it; $consoles are those of the guest's whole life in order, the last one being
# written, as operands of awk: before the log of a domain that took over after its primary died
# stands "failover=N", N being how often the guest had been suspended when the primary was killed;
# before others "failover=0". So one look covers the guest's whole life.
# shellcheck shell=sh

consoles=''

console_of() { echo "$LOGS/console/guest-$1.log"; } # NAME
console_log() { echo "${consoles##* }"; }

# clear_console NAME: a domain of that name is about to come; a log there is already, perhaps of
# a domain still running, gets another name (xenconsoled writes on in it).
clear_console() {
    clear_from=$(console_of "$1")
    [ -e "$clear_from" ] || return 0
    clear_n=$((clear_n + 1))
    clear_to=${clear_from%.log}.$clear_n.log
    mv "$clear_from" "$clear_to"
    clear_all=$consoles consoles=''
    for clear_log in $clear_all; do
        [ "$clear_log" = "$clear_from" ] && clear_log=$clear_to
        consoles="${consoles:+$consoles }$clear_log"
    done
}

# console_goes_on NAME FAILOVER: the guest lives in the domain of that name now.
console_goes_on() { consoles="$consoles failover=$2 $(console_of "$1")"; }

# judge MORE WORK GEN: reads the console logs; MORE is the tick to go beyond, WORK the counters, GEN
# the generation of a busy guest's memory. Prints "whole", "waiting" (no fault, but not enough
# ticks yet) or what is wrong.
#
# After a fail-over the guest goes on from the last complete checkpoint. It counts its suspensions,
# so the count it goes on with says which checkpoint that is: the last one begun, or, when that
# was not complete yet, the one before. What the primary printed since then never happened.
judge() {
    # shellcheck disable=SC2086
    awk -v more="$1" -v work="$2" -v lowest="$3" '
        function fault(text) { if (!wrong) wrong = text }
        { sub(/\r$/, "") }
        /^guest ready sum / { if (sum && sum != $4) fault("the guest started anew"); sum = $4 }
        /^busy: BAD / { fault($0) }
        /^tick [0-9]+ sum [a-zA-Z]+ mono [0-9.]+ wall [0-9]+ cpus [0-9]+ work [-0-9,]+ gen [-0-9]+ suspends [0-9]+$/ {
            if ($4 != "ok") fault("its memory changed, tick " $2)
            if (failover && FILENAME != taken_over) {
                taken_over = FILENAME
                while (n && suspend[n] >= $16) n--
                lowest = $14
                ticks_after = 0
            }
            # Its first tick there may have counted the suspensions before the last of them.
            if (failover && ++ticks_after == 2 && ($16 < failover - 1 || $16 > failover))
                fault("it went on from suspension " $16 ", and the last was " failover)
            if (n && $2 < tick[n]) fault("its ticks fell from " tick[n] " to " $2)
            if (n && $6 < mono[n]) fault("its uptime fell from " mono[n] " to " $6)
            if (n && $8 < wall[n]) fault("its date fell from " wall[n] " to " $8)
            if (n && $6 > mono[n] + 600) fault("its uptime leapt from " mono[n] " to " $6)
            if (n && $8 > wall[n] + 600) fault("its date leapt from " wall[n] " to " $8)
            if (n && $10 != cpus) fault("it had " cpus " cpus, now " $10)
            if (n && $14 < gen[n]) fault("its memory fell from generation " gen[n] " to " $14)
            n++; tick[n] = $2; mono[n] = $6; wall[n] = $8; gen[n] = $14; suspend[n] = $16
            cpus = $10; counters = $12
        }
        END {
            idle = 0
            m = split(counters, new, ",")
            split(work, old, ",")
            if (work != "-") for (i = 1; i <= m; i++) if (new[i] <= old[i] + 0) idle++
            if (gen[n] != "-" && gen[n] <= lowest) idle++
            if (wrong) print wrong
            else if (tick[n] >= more + 3 && !idle && (!failover || ticks_after >= 3)) print "whole"
            else print "waiting"
        }' $consoles
}

TICK='^tick [0-9]* sum .* suspends [0-9]*[[:cntrl:]]*$'
last_tick() { grep "$TICK" "$(console_log)" | tail -n 1 | tr -d '\r'; }
ticks_reached() { # N
    set -- "$1" $(last_tick 2>/dev/null)
    [ "${3:-0}" -ge "$1" ]
}

mark_console() {
    set -- $(last_tick)
    marked_tick=$2 marked_work=${12} marked_gen=${14} marked_suspends=${16}
}

judged() {
    verdict=$(judge "$marked_tick" "$marked_work" "$marked_gen") && [ "$verdict" != waiting ]
}

# answers: types a word on the guest's console and waits for the guest's answer to it.
# Three times at the most: a busy guest on one emulated cpu may take its time.
answers() {
    for attempt in 1 2 3; do
        word=$$-$attempt-$(now)
        domid=$(xl domid "$guest") &&
            tty=$(xenstore-read "/local/domain/$domid/console/tty") &&
            echo "ask $word" >"$tty" &&
            within 15 grep -q "^answer $word" "$(console_log)" && return
    done
    return 1
}

# guest_is_whole: it ticks on from where it was, same memory, time not gone back, all its
# cpus at work, a busy one's memory still being rewritten, console alive.
guest_is_whole() {
    verdict=waiting
    within 40 judged
    reason="the guest: $verdict"
    case $verdict in
        whole) ;;
        waiting) reason="the guest: no more ticks after $(last_tick)"; return 1 ;;
        *) return 1 ;;
    esac
    reason='the guest: its console does not answer'
    answers
}
