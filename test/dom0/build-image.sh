#!/bin/bash
# build-image.sh VERSION - what a boot needs of Debian's, cut out of the root: the slow part
# of the dom0 image, which depends on packages only.
#
# Result: $CACHE/image-RELEASE-KEY with xen.elf, vmlinuz and base.cpio.gz. What changes with
# every build of xensr goes into a second archive (overlay.sh); Linux unpacks both.
set -euo pipefail
. "$(dirname "$0")/common.sh"

MODULES=(xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs xen-blkback virtio_pci virtio_blk)
ROMS=(usr/share/qemu/{kvmvapic,linuxboot,linuxboot_dma}.bin
    usr/share/seabios/{bios-256k,vgabios-stdvga,vgabios-cirrus}.bin)

image_of() {
    local root
    root=$("$RIG_DIR/build-root.sh" --path "$1")
    echo "$CACHE/image-$(release_of "$1")-$(key_of "$RIG_DIR/build-image.sh" "${root##*/}")"
}

# put FILE...: copies files of the root to the same place in dom0, links followed.
put() {
    local file place
    for file; do
        place=$file
        case $place in lib/* | lib64/* | bin/* | sbin/*) place=usr/$place ;; esac
        [[ -e $dom0/$place ]] || install -D -p "$root/$file" "$dom0/$place"
    done
}

# put_program FILE...: the same, with the libraries the root's own loader finds for them.
put_program() {
    local libraries
    put "$@"
    mapfile -t libraries < <(chroot "$root" ldd "${@/#//}" 2>/dev/null |
        grep -oE '/[^ ]+\.so[^ ]*' | grep -v ':$' | sort -u)
    put "${libraries[@]/#\//}"
}

put_modules() {
    local kernel=$1 module file n=10
    mkdir -p "$dom0/modules"
    for module in "${MODULES[@]}"; do
        chroot "$root" modprobe -S "$kernel" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
        module=$dom0/modules/$((n++))-$(basename "$file")
        cp "$root$file" "$module"
        case $module in *.xz) xz -d "$module" ;; esac
    done
}

build() {
    local version=$1 root image tmp dom0 xen kernel applet
    root=$("$RIG_DIR/build-root.sh" --path "$version")
    image=$(image_of "$version")
    [[ -d $image ]] && return
    tmp=$image.partial
    sweep "image-$(release_of "$version")-*" "$image"
    note "$version: dom0 image"

    dom0=$tmp/dom0
    mkdir -p "$dom0"/{proc,sys,dev,run,tmp,root,etc/xen,var/lib/xen,var/lib/xenstored} \
        "$dom0"/var/log/xen/console "$dom0"/usr/{bin,sbin,lib,lib64}
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$dom0"
    ln -s ../run "$dom0/var/run"

    put usr/bin/busybox
    while read -r applet; do
        ln -sf busybox "$dom0/usr/bin/$applet"
    done < <(chroot "$root" busybox --list | grep -vx busybox)

    xen=usr/lib/xen-$version
    put_program "$xen"/bin/{xl,libxl-save-helper,xenstored,xenconsoled,xen-init-dom0} \
        usr/bin/xenstore-{ls,list,read} usr/libexec/xen-qemu-system-i386
    put lib/x86_64-linux-gnu/libgcc_s.so.1 # glibc loads it by name, for pthread_cancel
    put "$xen/boot/hvmloader" "${ROMS[@]}"
    mkdir -p "$dom0/usr/share/qemu/keymaps"
    cp "$root"/usr/share/qemu/keymaps/{common,modifiers,en-us} "$dom0/usr/share/qemu/keymaps/" \
        2>/dev/null || true
    kernel=$(basename "$root"/lib/modules/*)
    put_modules "$kernel"
    echo 'autoballoon="off"' >"$dom0/etc/xen/xl.conf"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$dom0/etc/passwd"

    zcat "$root/boot/xen-$version-amd64.gz" >"$tmp/xen.elf"
    cp "$root/boot/vmlinuz-$kernel" "$tmp/vmlinuz"
    install -D "$tmp/vmlinuz" "$dom0/guest/vmlinuz"
    (cd "$dom0" && find . -print0 | cpio -0o -H newc --quiet) | gzip -1 >"$tmp/base.cpio.gz"
    du -sm "$dom0" | sed 's/\t.*/ MiB unpacked/' >"$tmp/size"
    rm -rf "$dom0"
    publish "$tmp" "$image"
}

case ${1-} in
    --path) image_of "$2" ;;
    --locked) build "$2" ;;
    *) with_lock "image-$(release_of "$1")" "$0" --locked "$1" ;;
esac
