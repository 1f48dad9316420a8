#!/bin/bash
# overlay.sh VERSION > ARCHIVE - the part of the dom0 image that is made anew for each run:
# xensr's helper and library, the guest's initramfs, the scripts that run inside dom0.
#
# It is unpacked over base.cpio.gz (build-image.sh), so it only adds files.
set -euo pipefail
. "$(dirname "$0")/common.sh"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$("$RIG_DIR/build-root.sh" --path "$1")
xensr=$("$RIG_DIR/build-xensr.sh" --path "$1")

pack() { (cd "$1" && find . -print0 | cpio -0o -H newc --quiet -R 0:0); }

mkdir -p "$tmp/guest"/{bin,proc,sys,dev,data} "$tmp/dom0"/{guest,rig}
cp "$root/usr/bin/busybox" "$tmp/guest/bin/busybox"
ln -s busybox "$tmp/guest/bin/sh"
install -m 755 "$RIG_DIR/guest/init" "$tmp/guest/init"
install -m 755 "$xensr/guest/busy" "$tmp/guest/bin/busy"
pack "$tmp/guest" | gzip -1 >"$tmp/dom0/guest/initramfs"

cp -a "$xensr/usr" "$tmp/dom0/"
chmod 755 "$tmp/dom0"
cp "$RIG_DIR"/inside/*.sh "$tmp/dom0/rig/"
install -m 755 "$RIG_DIR/inside/fakessh" "$tmp/dom0/rig/fakessh"
install -m 755 "$RIG_DIR/inside/init" "$tmp/dom0/init"
pack "$tmp/dom0" | gzip -1
