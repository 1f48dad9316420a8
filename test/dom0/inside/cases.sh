# cases.sh - the cases: runs the table below for each type of guest, a line for each result.
#
# Columns of the tables: id | what | kind of guest (domain.sh) | function and its arguments. A function
# gets a running guest, leaves one running and whole, or none (then it clears $guest_kind), returns
# 0 when all went as it must, else says why in $reason. $detail is what the result line shows besides.
# A case that failed takes its guest with it; the next one creates its own.
# shellcheck shell=sh
. /rig/report.sh
. /rig/domain.sh
. /rig/console.sh
. /rig/image.sh
. /rig/look.sh
. /rig/examine.sh
. /rig/converted.sh
. /rig/hostile.sh
. /rig/cancel.sh
. /rig/migrate.sh
. /rig/remus.sh

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
summed        | checksums added, stock   | 1 | summed
ballooned     | ballooned, both xensr    | 1 | ballooned
two-vcpus     | two vcpus, both xensr    | 2 | round_trip xensr xensr
looked        | looked into and damaged  | busy | looked
'
LIVE_TABLE='
migrate-stock-stock | migrate stock to stock    | busy | migrate stock stock
migrate-xensr-stock | migrate xensr to stock    | busy | migrate xensr stock
migrate-stock-xensr | migrate stock to xensr    | busy | migrate stock xensr
migrate-xensr-xensr | migrate xensr to xensr    | busy | migrate xensr xensr
verify-xensr-stock  | verify xensr to stock     | busy | migrate xensr stock --debug
verify-stock-xensr  | verify stock to xensr     | busy | migrate stock xensr --debug
verify-xensr-xensr  | verify xensr to xensr     | busy | migrate xensr xensr --debug
verified-migrate    | migrate, xensr verify between | busy | watched
sender-terminated   | migrate, helper terminated| busy | interrupted terminate_sender xensr
sender-killed       | migrate, sender killed    | busy | interrupted kill_sender xensr
receiver-killed     | migrate, receiver killed  | busy | interrupted kill_receiver xensr
remus-xensr-xensr   | remus xensr to xensr, 4 x | busy | fail_overs xensr xensr 4
remus-xensr-stock   | remus xensr to stock      | busy | fail_overs xensr stock 1
remus-stock-xensr   | remus stock to xensr      | busy | fail_overs stock xensr 1
converted-remus     | remus stream, made plain  | busy | from_remus
converted-debug     | verify data dropped       | busy | without_verify
remus-half-way      | remus, half a checkpoint  | busy | fail_overs xensr xensr 1 half-way
'
TYPES=pvh+hvm+pv # those run when the host names none
LIVE_TYPES=pvh+hvm # and PV, if the hypervisor has shadow paging: Debian's 4.17 has, 4.20 not
xl info | grep -q '^virt_caps.* shadow' && LIVE_TYPES=$LIVE_TYPES+pv
# What runs when no cases are named: the cases that have nothing to do with the type of guest are left
# to PVH, which comes up fastest.
LIVE_DEFAULT_PVH='migrate|verif|sender|receiver|remus-xensr|remus-stock|converted-debug'
LIVE_DEFAULT_PV='migrate|verify-xensr-xensr|remus-xensr|remus-stock'
LIVE_DEFAULT_HVM="$LIVE_DEFAULT_PV|converted-remus"

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
    type=$1 name=$2 kind=$3
    shift 3
    reason='' detail=''
    label="$version $type $name"
    if ! need_guest "$type" "$kind"; then
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
    rm -rf /images/*
    keep_logs
}

# wanted CHOICE NAME: is it among the names the host asked for (all, when it named none)? "live" stands
# for the live cases that run when none is named.
wanted() {
    [ -z "$1" ] || [ "$1" = live ] && return
    case "+$1+" in *"+$2+"*) ;; *) return 1 ;; esac
}

# rows_for TYPE: the rows for that type of guest.
rows_for() {
    [ "$cases" = live ] || echo "$TABLE"
    case "+$LIVE_TYPES+" in *"+$1+"*) ;; *) return ;; esac
    case $1 in
        pvh) live=$LIVE_DEFAULT_PVH ;;
        hvm) live=$LIVE_DEFAULT_HVM ;;
        *) live=$LIVE_DEFAULT_PV ;;
    esac
    [ "$cases" ] && [ "$cases" != live ] && live=
    echo "$LIVE_TABLE" | grep -E "^($live)"
}

# table: the times of all steps with guests with one vcpu, xensr beside stock.
table() {
    [ -s /run/measurements ] || return
    sort /run/measurements | awk '
        { row[$1 " " $2] = 1; cell = $1 " " $2 SUBSEP $3
          if (!n[cell]++ || $4 < least[cell]) least[cell] = $4
          sum[cell] += $4; note[cell] = $5 == "-" ? "" : $5 " " $6 }
        function show(cell) {
            if (!n[cell]) return sprintf("%-38s", "-")
            return sprintf("%6.2f s (mean of %d: %6.2f s) %-9s", least[cell] / 100, n[cell],
                           sum[cell] / n[cell] / 100, note[cell])
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
    rows_for "$type" | sed '/^$/d' >/run/table
    while IFS='|' read -r id name kind command <&3; do
        wanted "$cases" "${id%% *}" || continue
        case "+$finished+" in *"+$type:${id%% *}+"*) continue ;; esac
        tell "begin $type:${id%% *}"
        # shellcheck disable=SC2086
        run_case "$type" "$name" $kind $command
    done 3</run/table
    destroy_guest
done
table
tell "done $version $passed passed, $failed failed"
