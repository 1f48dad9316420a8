#!/bin/bash
# build-hypervisor.sh VERSION - Debian's hypervisor of that version with shadow paging, which live
# migration and Remus of PV guests need; Debian's own 4.20 is built without.
#
# The sources Debian has of it (without its patches, which are about the tools), built inside the root of that version, on top of it: an overlay takes
# what apt and make write, so the root stays as it is. Result: $CACHE/hypervisor-RELEASE-KEY/xen.elf.
# It runs in a mount namespace of its own, so that no mount outlives it however it ends.
set -euo pipefail
. "$(dirname "$0")/common.sh"

hypervisor_of() {
    local root
    root=$("$RIG_DIR/build-root.sh" --path "$1")
    echo "$CACHE/hypervisor-$(release_of "$1")-$(key_of "$RIG_DIR/build-hypervisor.sh" "${root##*/}")"
}

build() {
    local version=$1 root result tmp log
    root=$("$RIG_DIR/build-root.sh" --path "$version")
    result=$(hypervisor_of "$version")
    [[ -d $result ]] && return
    tmp=$result.partial
    log=$CACHE/hypervisor-$(release_of "$version").log
    sweep "hypervisor-$(release_of "$version")-*" "$result"
    note "$version: hypervisor with shadow paging"
    mkdir -p "$tmp"/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$tmp/upper,workdir=$tmp/work" "$tmp/root"
    mount -t proc proc "$tmp/root/proc"
    # The package lists of the root's own sources, for source packages as well.
    chroot "$tmp/root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C sh -exc '
        sed "s/^deb /deb-src /" /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
        apt-get update
        apt-get install -y bison flex python3
        mkdir /hypervisor
        cd /hypervisor
        apt-get source --download-only --tar-only xen
        tar -xf xen_*.orig.tar.*
        make -C */xen defconfig
        sed -i "s/.*CONFIG_SHADOW_PAGING.*/CONFIG_SHADOW_PAGING=y/" */xen/.config
        make -C */xen olddefconfig
        grep -x CONFIG_SHADOW_PAGING=y */xen/.config
        make -C */xen -j2
        cp */xen/xen /xen.elf' >"$log" 2>&1 </dev/null ||
        die "$version: the hypervisor does not build, see $log"
    mv "$tmp/upper/xen.elf" "$tmp/xen.elf"
    umount "$tmp/root/proc" "$tmp/root"
    rm -rf "$tmp"/{upper,work,root}
    publish "$tmp" "$result"
}

case ${1-} in
    --path) hypervisor_of "$2" ;;
    --in-namespace) build "$2" ;;
    *)
        with_lock "hypervisor-$(release_of "$1")" \
            unshare --mount --propagation private "$0" --in-namespace "$1"
        ;;
esac
