#!/bin/bash
# build-root.sh VERSION - the Debian root of one Xen version; prints nothing but progress.
#
# The root serves twice: the dom0 image is cut out of it, and xensr is compiled inside it,
# so that the helper is built against exactly the libraries it will meet in that dom0.
# Result: $CACHE/root-RELEASE-KEY (see root_of), KEY being a hash of this file.
# It runs in a mount namespace of its own, so that no mount outlives it however it ends.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# packages VERSION: what dom0 runs on, then what xensr is built with.
packages() {
    echo "xen-hypervisor-$1-amd64 xen-utils-$1 xenstore-utils linux-image-amd64" \
        "kmod busybox-static cpio strace libgcc-s1 qemu-system-xen seabios xz-utils"
    echo "build-essential autoconf automake libtool pkg-config libxen-dev check"
    echo "libxxhash-dev libjansson-dev libcairo2-dev libzstd-dev"
}

root_of() {
    echo "$CACHE/root-$(release_of "$1")-$(key_of "$RIG_DIR/build-root.sh")"
}

build() {
    local version=$1 release root tmp
    release=$(release_of "$version")
    root=$(root_of "$version")
    [[ -d $root ]] && return
    tmp=$root.partial
    sweep "root-$release-*" "$root"

    note "$version: debootstrap of $release"
    debootstrap --variant=minbase "$release" "$tmp" >"$CACHE/root-$release.log" 2>&1 ||
        die "$version: debootstrap failed, see $CACHE/root-$release.log"

    note "$version: packages"
    printf '#!/bin/sh\nexit 101\n' >"$tmp/usr/sbin/policy-rc.d"
    chmod 755 "$tmp/usr/sbin/policy-rc.d"
    echo force-unsafe-io >"$tmp/etc/dpkg/dpkg.cfg.d/rig"
    printf '%s\n' 'APT::Install-Recommends "false";' 'APT::Install-Suggests "false";' \
        >"$tmp/etc/apt/apt.conf.d/99rig"
    printf '%s\n' 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
        'path-exclude=/usr/share/locale/*' >"$tmp/etc/dpkg/dpkg.cfg.d/rig-no-docs"
    mount -t proc proc "$tmp/proc"
    # INITRD=No: dom0 gets an initramfs of ours, so the kernel package need not make one.
    # shellcheck disable=SC2046
    chroot "$tmp" env DEBIAN_FRONTEND=noninteractive INITRD=No LC_ALL=C sh -ec '
        apt-get update
        apt-get install -y "$@"
        apt-get clean' sh $(packages "$version") \
        >>"$CACHE/root-$release.log" 2>&1 </dev/null ||
        die "$version: apt failed, see $CACHE/root-$release.log"
    umount "$tmp/proc"
    publish "$tmp" "$root"
    note "$version: root ready ($(du -sm "$root" | cut -f1) MiB)"
}

case ${1-} in
    --path) root_of "$2" ;;
    --in-namespace) build "$2" ;;
    *)
        with_lock "root-$(release_of "$1")" \
            unshare --mount --propagation private "$0" --in-namespace "$1"
        ;;
esac
