# common.sh - what every host-side script of the rig shares: names, paths, messages, locks.
#
# Sourced, never run. Sets no state beyond the variables below; everything that lives longer
# than a run is under $CACHE, and nothing there is visible under its final name before it is
# complete (see publish).
# shellcheck shell=bash

RIG_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE_DIR=$(cd "$RIG_DIR/../.." && pwd)
CACHE=$(realpath -m "${XENSR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xensr}")/dom0
export RIG_DIR SOURCE_DIR CACHE

VERSIONS=(4.17 4.20)

# release_of VERSION: the Debian release that ships this Xen.
release_of() {
    case $1 in
        4.17) echo bookworm ;;
        4.20) echo trixie ;;
        *) die "no such Xen version: $1 (known: ${VERSIONS[*]})" ;;
    esac
}

say() { printf '%s\n' "$*"; }
note() { printf '== %s\n' "$*"; }
die() { printf 'rig: %s\n' "$*" >&2; exit 1; }

# key_of FILE|WORD...: a short hash of the contents of files and of plain words.
key_of() {
    local part
    for part; do
        if [[ -f $part ]]; then cat "$part"; else printf '%s\n' "$part"; fi
    done | sha256sum | cut -c1-12
}

# with_lock NAME COMMAND...: one builder of NAME at a time, across processes.
with_lock() {
    local name=$1
    shift
    mkdir -p "$CACHE"
    (
        flock -n 9 || { note "waiting for another build of $name"; flock 9; }
        "$@" 9>&-
    ) 9>"$CACHE/$name.lock"
}

# publish TEMPORARY FINAL: the moment a thing built aside becomes the cached thing.
publish() {
    sync -f "$1"
    mv -T "$1" "$2"
}

# sweep PATTERN KEEP: remove what older keys and interrupted builds left behind.
sweep() {
    local pattern=$1 keep=$2 old
    for old in "$CACHE"/$pattern; do
        [[ -e $old && $old != "$keep" ]] && rm -rf --one-file-system "$old"
    done
    return 0
}

# need_host_tools: what must be on the machine itself; everything else lives in the roots.
need_host_tools() {
    local tool package missing=()
    [[ $(id -u) == 0 ]] || die "needs root: debootstrap and chroot"
    while read -r tool package; do
        command -v "$tool" >/dev/null || missing+=("$package")
    done <<-EOT
	debootstrap debootstrap
	qemu-system-x86_64 qemu-system-x86
	cpio cpio
	flock util-linux
	EOT
    [[ ${#missing[@]} == 0 ]] || die "missing Debian packages: ${missing[*]}"
}
