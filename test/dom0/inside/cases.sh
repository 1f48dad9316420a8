# cases.sh - the cases: runs the table below for each type of guest, a line for each result.
#
# Columns of the table: id | what | vcpus | function and its arguments. A function gets a running
# guest, leaves one running and whole, or none (then it clears $guest_kind), returns 0 when
# all went as it must, else says why in $reason. $detail is what the result line shows besides.
# A case that failed takes its guest with it; the next one creates its own.
# shellcheck shell=sh
. /rig/report.sh
. /rig/domain.sh
. /rig/console.sh
. /rig/image.sh
. /rig/hostile.sh
. /rig/cancel.sh

TABLE='
stock-stock   | save=stock restore=stock | 1 | round_trip stock stock
xensr-xensr   | save=xensr restore=xensr | 1 | round_trip xensr xensr
stock-xensr   | save=stock restore=xensr | 1 | round_trip stock xensr
xensr-stock   | save=xensr restore=stock | 1 | round_trip xensr stock
reader-gone   | save to a closed pipe    | 1 | cancelled reader_gone
terminated    | save, helper terminated  | 1 | cancelled helper_terminated
truncated     | restore truncated image  | 1 | bad_image truncate_image
damaged       | restore damaged image    | 1 | bad_image damage_image
xl-killed     | save, xl killed          | 1 | xl_killed
ballooned     | ballooned, both xensr    | 1 | ballooned
two-vcpus     | two vcpus, both xensr    | 2 | round_trip xensr xensr
'
TYPES=pvh+hvm+pv # those run when the host names none

round_trip() { # SAVER RESTORER
    save "$1" /images/guest &&
        restore "$2" /images/guest &&
        guest_is_whole
}

# ballooned: the guest gives memory back, so that its address space has holes where there was some.
BALLOONED=116 # MiB of its 128
ballooned() {
    reason="the guest did not give memory back"
    xl mem-set "$guest" $BALLOONED >>"$LOGS/$guest-mem-set.log" 2>&1 && within 30 has_shrunk &&
        round_trip xensr xensr &&
        reason='the guest has another size' && has_shrunk
}
has_shrunk() { [ "$(xl list "$guest" | awk 'NR > 1 { print $3 }')" -le $((BALLOONED + 1)) ]; }

run_case() { # TYPE NAME VCPUS FUNCTION ARGUMENT...
    type=$1 name=$2 vcpus=$3
    shift 3
    reason='' detail=''
    label="$version $type $name"
    if ! need_guest "$type" "$vcpus"; then
        result=FAIL reason='no guest could be created'
    else
        case_start=$(now)
        if "$@"; then result=ok; else result=FAIL; fi
    fi
    if [ $result = ok ]; then
        passed=$((passed + 1))
        tell "ok   $label(${detail}case $(seconds $(($(now) - case_start))) s)"
    else
        failed=$((failed + 1))
        tell "FAIL $label$reason (${detail}log ${log##*/})"
        cp "$log" "$LOGS/FAIL-${log##*/}" 2>/dev/null
        destroy_guest
    fi
    rm -f /images/*
    keep_logs
}

# wanted CHOICE NAME: is it among the names the host asked for (all, when it named none)?
wanted() {
    [ -z "$1" ] && return
    case "+$1+" in *"+$2+"*) ;; *) return 1 ;; esac
}

# table: the times of all saves and restores of guests with one vcpu, xensr beside stock.
table() {
    [ -s /run/measurements ] || return
    sort /run/measurements | awk '
        { row[$1 " " $2] = 1; cell = $1 " " $2 SUBSEP $3
          if (!n[cell]++ || $4 < least[cell]) least[cell] = $4
          sum[cell] += $4; size[cell] = $5 }
        function show(cell) {
            if (!n[cell]) return sprintf("%-34s", "-")
            return sprintf("%6.2f s (mean of %d: %6.2f s)%s", least[cell] / 100, n[cell],
                           sum[cell] / n[cell] / 100,
                           cell ~ /save/ ? sprintf(" %.1f MiB", size[cell] / 1048576) : "          ")
        }
        END {
            for (r in row) {
                stock = r SUBSEP "stock"; xensr = r SUBSEP "xensr"
                printf "%-11s  stock %s  xensr %s", r, show(stock), show(xensr)
                if (n[stock] && n[xensr]) printf "  ratio %.2f", least[xensr] / least[stock]
                print ""
            }
        }' | sort >/run/table
    tell "table $version least time of each step in this boot"
    while IFS= read -r line; do tell "table $version $line"; done </run/table
}

passed=0 failed=0
IFS=+
# shellcheck disable=SC2086
set -- ${types:-$TYPES}
unset IFS
for type; do
    echo "$TABLE" | sed '/^$/d' >/run/table
    while IFS='|' read -r id name vcpus command <&3; do
        wanted "$cases" "${id%% *}" || continue
        case "+$finished+" in *"+$type:${id%% *}+"*) continue ;; esac
        tell "begin $type:${id%% *}"
        # shellcheck disable=SC2086
        run_case "$type" "$name" $vcpus $command
    done 3</run/table
    destroy_guest
done
table
tell "done $version $passed passed, $failed failed"
