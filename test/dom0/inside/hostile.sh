# hostile.sh - cases that restore an image no restore may accept.
#
# What is demanded: xl fails, xensr says in which place of the stream, nothing of the domain is
# left, and the host can still restore the intact image.
# shellcheck shell=sh

# The ways to spoil an image; each gets the file's name.
truncate_image() { truncate -s $(($(stat -c %s "$1") * 6 / 10)) "$1"; }
damage_image() { damage-image "$1"; }

bad_image() { # SPOIL
    save xensr /images/guest || return
    cp /images/guest /images/bad
    "$1" /images/bad >"$LOGS/$guest-$1.log" 2>&1 || { reason="$1 failed"; return 1; }
    unsound /images/bad || return
    free_before=$(free_memory)

    new_step "restore-bad"
    xl_with xensr restore /images/bad >"$log" 2>&1
    status=$?
    bad_log=$log
    [ $status != 0 ] || { reason='xl accepted the image'; return 1; }
    [ $status != 137 ] || { reason='xl hung'; return 1; }
    used xensr || return
    grep -Eq 'xensr: .*offset' "$log" || { reason='no error that names an offset'; return 1; }
    nothing_left "$free_before" || return
    rm /images/bad

    restore xensr /images/guest && guest_is_whole || return
    detail="${detail}$(grep -E 'xensr: .*offset' "$bad_log" | head -n 1), "
}
