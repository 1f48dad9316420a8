# examine.sh - each subcommand of xensr on an image that stock saved here, whole and damaged.
#
# What is demanded comes from elsewhere: the guest's configuration, what its busy program has in memory
# (core-pages finds that in a core, by itself), cmp and hexdump of busybox, damage-image.
# shellcheck shell=sh

# Everything, for each type of guest, when cases are named. A run of all cases has each kind of damage for
# each command once among its types and versions, and draws one picture for each type.
BUSY_MIB=16 # domain.sh
thorough() { [ "$cases" ] && [ "$cases" != live ]; }

looked() {
    save stock /images/guest || return
    new_step looked
    image=/images/guest look=/images/look
    mkdir -p "$look"
    for examined in informed listed cores_agree page_shown mapped same_as_itself; do
        reason="$examined"
        examine_start=$(now)
        $examined >>"$log" 2>&1 || return
        told "$examined"
    done
    restore xensr /images/guest || return
    reason='the guest does not tick on'
    within 30 ticks_reached $((marked_tick + 1)) && save xensr /images/again || return
    examine_start=$(now)
    differs >>"$log" 2>&1 || return
    told differs
    examine_start=$(now)
    damage_found || return
    told damage_found
    restore xensr /images/again && guest_is_whole
}
# told WHAT: how long it took, for those who want it faster.
told() { echo "$1: $(seconds $(($(now) - examine_start))) s" >>"$LOGS/$guest-looked-times.log"; }

# ends STATUS COMMAND ARGUMENT...: xensr does so. What it says is in $look/out, its errors in $look/errors.
ends() {
    ends_with=$1
    shift
    timeout -s KILL 60 xensr "$@" >"$look/out" 2>"$look/errors" </dev/null
    status=$?
    [ $status = "$ends_with" ] && return
    reason="xensr $*: ends with $status, not $ends_with: $(tail -n 1 "$look/errors")"
    return 1
}

fact() { sed -n "s/^ *\"$1\": *\(.*[^,]\),\{0,1\}\$/\1/p" "$look/facts" | tr -d '"' | head -n 1; }
is() { # FACT WANTED
    reason="info: $1 is $(fact "$1"), not $2"
    [ "$(fact "$1")" = "$2" ]
}
configured() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$LOGS/$guest.cfg"; }

# informed: the guest is the one that was made.
informed() {
    ends 0 info --json -q "$image" || return
    mv "$look/out" "$look/facts"
    case $(configured type) in
        pvh) kind_of_guest='x86 PVH' ;;
        hvm) kind_of_guest='x86 HVM' ;;
        pv) kind_of_guest='x86 PV, 64-bit' ;;
    esac
    is guest "$kind_of_guest" && is name "$guest" && is vcpus "$(configured vcpus)" &&
        is damaged false && is complete true && is octets "$(stat -c %s "$image")" || return
    reason="info: $(fact memory_pages) pages are not $(configured memory) MiB"
    memory_off=$(($(fact memory_pages) - $(configured memory) * 256))
    [ $memory_off -ge -64 ] && [ $memory_off -le 64 ]
}

# listed: the list goes to the end, and has as many records as info counts, and the fields of all devices.
listed() {
    ends 0 ls "$image" || return
    reason="ls: the last line is $(tail -n 1 "$look/out")"
    tail -n 1 "$look/out" | grep -q '^ *[0-9]* *0  END$' || return
    counted=$(awk '/"pages":/ { exit } /"count":/ { sum += $2 } END { print sum }' "$look/facts")
    lines=$(grep -c '^ *[0-9]\{1,\} *[0-9]\{1,\}  [A-Z]' "$look/out")
    reason="ls: $lines records, info counts $counted"
    [ "$lines" = "$counted" ] || return
    # Every device of Xen's machine is described.
    [ "$type" = hvm ] || return 0
    reason="ls: no device state, or $(grep SECTION_FULL "$look/out" | grep -v 'known device')"
    [ "$(grep -c 'SECTION_FULL.*known device' "$look/out")" -gt 10 ] &&
        [ "$(grep -c SECTION_FULL "$look/out")" = "$(grep -c 'SECTION_FULL.*known device' "$look/out")" ]
}

# cores_agree: all of busy's memory is in each layout, at the same pfns. $busy_pfn is where its first
# page is, $look/page the content.
cores_agree() {
    for layout in elf xen raw; do
        case $layout in
            raw) ends 0 core -q --raw "$image" "$look/core" ;;
            *) ends 0 core -q --format $layout "$image" "$look/core" ;;
        esac || return
        reason="core, $layout: busy's memory is not there"
        core-pages $layout $BUSY_MIB "$look/core" >"$look/pages.$layout" || return
        reason="core, $layout: other pfns than in an ELF core"
        cmp "$look/pages.elf" "$look/pages.$layout" || return
        [ $layout = raw ] || rm "$look/core"
    done
    busy_pfn=$(awk '{ print $2; exit }' "$look/pages.raw")
    dd if="$look/core" of="$look/page" bs=4096 count=1 skip=$((busy_pfn))
    rm "$look/core"
}

# page_shown: that page, as cat and hexdump have it.
page_shown() {
    ends 0 cat --pfn "$busy_pfn" "$image" || return
    reason="cat: pfn $busy_pfn is not as in the core"
    cmp "$look/out" "$look/page" || return
    reason="cat: pfn $busy_pfn is not busy's"
    [ "$(od -An -tu4 -j8 -N4 "$look/out")" -lt $((BUSY_MIB * 256)) ] || return
    ends 0 hexdump --pfn "$busy_pfn" "$image" || return
    reason="hexdump: not what busybox shows of pfn $busy_pfn"
    sed 's/^[0-9a-f]* *//' "$look/out" >"$look/ours"
    hexdump -C "$look/page" | sed 's/^[0-9a-f]* *//' | cmp - "$look/ours" || return
    grep -q "^$(printf %016x $((busy_pfn * 4096)))  " "$look/out"
}

# mapped: the table has as many pages as info, and there are pictures.
mapped() {
    ends 0 pages --json -q "$image" || return
    reason="pages: not $(fact memory_pages), as info says"
    grep -q "^ *\"pages\": $(fact memory_pages),\$" "$look/out" || return
    { thorough || [ "$type" != hvm ]; } && { drawn png || return; }
    { thorough || [ "$type" = hvm ]; } && { drawn svg || return; }
    return 0
}
drawn() { # png|svg
    ends 0 pages -q --plot "$look/map.$1" "$image" || return
    reason="pages: the picture is no $1"
    case $1 in
        png) [ "$(head -c 4 "$look/map.png" | tail -c 3)" = PNG ] && tail -c 8 "$look/map.png" | grep -q IEND ;;
        svg) grep -q '<svg ' "$look/map.svg" && tail -n 1 "$look/map.svg" | grep -q '</svg>' ;;
    esac || return
    reason="pages: the picture has next to nothing in it"
    [ "$(stat -c %s "$look/map.$1")" -gt 5000 ] && cp "$look/map.$1" "$LOGS/$guest-map.$1"
}

same_as_itself() {
    ends 0 diff "$image" "$image" || return
    reason='diff: differences to itself'
    [ ! -s "$look/out" ]
}

# differs: the guest has gone on, so its memory differs, but not most of it.
differs() {
    ends 1 diff --json /images/guest /images/again || return
    mv "$look/out" "$look/facts"
    same=$(sed -n '/"memory"/,$s/^ *"same": \([0-9]*\),$/\1/p' "$look/facts")
    reason="diff: $(fact content_differs) pages differ, $same are the same"
    [ "$(fact content_differs)" -ge 100 ] && [ "$same" -gt "$(fact content_differs)" ] || return
    detail="${detail}$(fact content_differs) pages differ, $same do not, "
}

# damage_found: whatever is spoiled, verify says where, and each command ends with status 2.
DAMAGES='magic libxl marker domain length count entry type end cut'
damage_found() {
    cp /images/guest /images/bad || return
    case $type in pvh) turn=0 ;; hvm) turn=1 ;; *) turn=2 ;; esac
    [ "$version" = 4.17 ] || turn=$((turn + 3))
    tried=0
    for damage in $DAMAGES; do
        place=$(damage-image /images/bad "$damage") || { reason="$damage: not damaged"; return 1; }
        echo "$damage: $place" >>"$log"
        refused_by_each /images/bad || { reason="$damage: $reason"; return 1; }
        place=${place##*offset } # back to what it was
        place=${place%% *}
        dd if=/images/guest of=/images/bad bs=1 skip="$place" seek="$place" count=8 conv=notrunc 2>/dev/null
    done
    detail="${detail}$tried times damage found, "
}

refused_by_each() { # IMAGE
    ends 2 verify "$1" || return
    reason="verify: no offset: $(cat "$look/out")"
    [ "$damage" = magic ] || grep -q 'error: .*offset [0-9]' "$look/out" || return
    tried=$((tried + 1)) turn=$((turn + 1))
    for command in "info -q $1" "info -q --json $1" "ls $1" "ls --fields $1" "cat --pfn $busy_pfn $1" \
        "hexdump --pfn $busy_pfn $1" "diff -q $1 /images/guest" "core -q $1 $look/made" \
        "core -q --format xen $1 $look/made" "core -q --raw $1 $look/made" "convert -q $1 $look/made" \
        "pages -q $1" "pages -q --plot $look/made.svg $1"; do
        turn=$((turn + 1))
        thorough || [ $((turn % 6)) = 0 ] || continue
        tried=$((tried + 1))
        # shellcheck disable=SC2086
        ends 2 $command || return
        reason="xensr $command: says nothing"
        [ -s "$look/errors" ] || return
        reason="xensr $command: left something behind"
        [ ! -e "$look/made" ] && [ ! -e "$look/made.svg" ] || return
    done
}
