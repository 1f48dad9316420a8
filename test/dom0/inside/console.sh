# console.sh - the guest's own verdict, read from what it prints (guest/init says the format).
#
# mark_console before a step, guest_is_whole after it. The log goes on in the same file when
# a guest of the same name is restored, so one look at it covers the guest's whole life.
# shellcheck shell=sh

console_log() { echo "$LOGS/console/guest-$guest.log"; }

# judge MORE WORK: reads the console log; MORE is the tick to go beyond, WORK the counters.
# Prints "whole", "waiting" (no fault, but not enough ticks yet) or what is wrong.
judge() {
    awk -v more="$1" -v work="$2" '
        function fault(text) { if (!wrong) wrong = text }
        { sub(/\r$/, "") }
        /^guest ready sum / { if (sum && sum != $4) fault("the guest started anew"); sum = $4 }
        /^tick [0-9]+ sum [a-zA-Z]+ mono [0-9.]+ wall [0-9]+ cpus [0-9]+ work [-0-9,]+$/ {
            if ($4 != "ok") fault("its memory changed, tick " $2)
            if (seen && $2 < tick) fault("its ticks fell from " tick " to " $2)
            if (seen && $6 < mono) fault("its uptime fell from " mono " to " $6)
            if (seen && $8 < wall) fault("its date fell from " wall " to " $8)
            if (seen && $6 > mono + 600) fault("its uptime leapt from " mono " to " $6)
            if (seen && $8 > wall + 600) fault("its date leapt from " wall " to " $8)
            if (seen && $10 != cpus) fault("it had " cpus " cpus, now " $10)
            seen = 1; tick = $2; mono = $6; wall = $8; cpus = $10; counters = $12
        }
        END {
            idle = 0
            n = split(counters, new, ",")
            split(work, old, ",")
            if (work != "-") for (i = 1; i <= n; i++) if (new[i] <= old[i] + 0) idle++
            if (wrong) print wrong
            else if (tick >= more + 3 && !idle) print "whole"
            else print "waiting"
        }' "$(console_log)"
}

last_tick() {
    awk '/^tick .* work [-0-9,]+\r?$/ { sub(/\r$/, ""); last = $0 } END { print last }' \
        "$(console_log)"
}
ticks_reached() { awk -v n="$1" '/^tick .* work/ && $2 >= n { found = 1 } END { exit !found }' \
    "$(console_log)" 2>/dev/null; }

mark_console() {
    set -- $(last_tick)
    marked_tick=$2 marked_work=${12}
}

judged() { verdict=$(judge "$marked_tick" "$marked_work") && [ "$verdict" != waiting ]; }

# answers: types a word on the guest's console and waits for the guest's answer to it.
answers() {
    word=$$-$(now)
    domid=$(xl domid "$guest") &&
        tty=$(xenstore-read "/local/domain/$domid/console/tty") &&
        echo "ask $word" >"$tty" &&
        within 30 grep -q "^answer $word" "$(console_log)"
}

# guest_is_whole: it ticks on from where it was, same memory, time not gone back, all its
# cpus at work, console alive.
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
