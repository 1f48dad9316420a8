# look.sh - what the xensr command says of images and streams, and what it makes of them.
# shellcheck shell=sh

# sound FILE: nothing that a restore would refuse is in it, nor anything odd.
sound() {
    xensr verify "$1" >"${log%.log}-verify.log" 2>&1 && return
    reason="xensr verify ends with $?: $(tail -n 1 "${log%.log}-verify.log")"
    return 1
}

# unsound FILE: it says that this is damaged, and where.
unsound() {
    xensr verify "$1" >"${log%.log}-verify.log" 2>&1
    [ $? = 2 ] && grep -q 'error: .*offset' "${log%.log}-verify.log" && return
    reason='xensr verify does not say where the image is damaged'
    return 1
}

# summed: an image gets checksums, which a damaged page does not get past, and stock restores it.
summed() {
    save stock /images/guest || return
    reason='no checksums could be added'
    xensr checksum --add /images/guest /images/summed >>"$log" 2>&1 || return
    rm /images/guest
    reason='its checksums are wrong'
    xensr checksum /images/summed >>"$log" 2>&1 && sound /images/summed || return
    restore stock /images/summed && guest_is_whole && save xensr /images/guest || return
    reason='a page was changed, and nobody noticed'
    xensr checksum --add /images/guest /images/summed >>"$log" 2>&1 || return
    printf x | dd of=/images/summed bs=1 seek=60000000 conv=notrunc 2>>"$log"
    unsound /images/summed || return
    restore xensr /images/guest && guest_is_whole
}

# watched: xensr verify sits in the pipe of a migration.
watched() {
    VERIFY_LOG=$LOGS/$guest-watched.log
    migrate stock xensr
    status=$?
    found=$(tail -n 1 "$VERIFY_LOG")
    VERIFY_LOG=''
    [ $status = 0 ] || return
    reason="xensr verify says: $found"
    ! grep -q 'error: ' "$LOGS/$guest-watched.log" && echo "$found" | grep -q ' records, '
}
