#!/bin/bash
# build-xensr.sh VERSION - compiles the source tree inside the root of one Xen version.
#
# Result: $CACHE/xensr-RELEASE-KEY, a tree of the files a dom0 needs (helper, library, the xensr
# command and what it is linked with) and the rig's own small programs, KEY being a hash of the sources: an unchanged tree is not compiled twice.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# sources: the files of the tree, without what a build leaves there; NUL-separated.
# The rig itself is left out of it: it does not go into the library or the helper.
sources() {
    cd "$SOURCE_DIR"
    if [[ $(git rev-parse --show-toplevel 2>/dev/null) == "$SOURCE_DIR" ]]; then
        git ls-files -z -co --exclude-standard
    else
        find . -type f -not \( -name '*.o' -o -name '*.lo' -o -name '*.la' -o -path '*/.libs/*' \
            -o -path '*/.deps/*' -o -path './autom4te.cache/*' -o -path './build*/*' \
            -o -name config.status -o -name config.log -o -name config.cache \) -print0
    fi | while IFS= read -r -d '' file; do
        case ${file#./} in test/dom0/*) ;; *) [[ -f $file ]] && printf '%s\0' "${file#./}" ;; esac
    done | sort -z
}

# result_of: the tree built last. A link says which, rather than a fresh look at sources that
# somebody may be editing.
result_of() { readlink -f "$CACHE/xensr-$(release_of "$1").current"; }

# build_tool SOURCE PLACE: a small program of the rig, linked statically so it runs anywhere.
build_tool() {
    cp "$1" "$root/src/tool.c"
    install -D -t "$root/src/guest" "$RIG_DIR/guest/busy.h"
    chroot "$root" gcc -O2 -Wall -static -I/src/guest -o /src/tool /src/tool.c
    install -D "$root/src/tool" "$tmp/$2"
}

# put_libraries PROGRAM: those of Debian's that it is linked with, links followed.
put_libraries() {
    local library
    chroot "$root" ldd "/out/$1" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u | while read -r library; do
        install -D "$root$library" "$tmp/usr${library#/usr}"
    done
}

build() {
    local version=$1 release root result snapshot tmp log tool
    release=$(release_of "$version")
    root=$("$RIG_DIR/build-root.sh" --path "$version")
    log=$CACHE/xensr-$release.log
    snapshot=$CACHE/xensr-$release.tar
    sources | tar -C "$SOURCE_DIR" --null -T - -cf "$snapshot" --mtime=@0 --owner=0 --group=0
    result=$CACHE/xensr-$release-$(key_of "$snapshot" "$0" "$RIG_DIR"/{damage-image,core-pages,copy-stream,guest/busy}.c \
        "$RIG_DIR/guest/busy.h" "$root")
    if [[ -d $result ]]; then
        ln -sfnT "$result" "$CACHE/xensr-$release.current"
        return
    fi
    tmp=$result.partial
    sweep "xensr-$release-*" "$(result_of "$version")"
    note "$version: compiling xensr"

    rm -rf "$root/src" "$root/out"
    mkdir -p "$root/src/xensr" "$root/out" "$tmp"
    tar -C "$root/src/xensr" -xf "$snapshot"
    chroot "$root" env LC_ALL=C sh -exc '
        cd /src/xensr
        autoreconf -fi
        ./configure --prefix=/usr --libexecdir=/usr/libexec
        make -j2
        make install DESTDIR=/out' >"$log" 2>&1 </dev/null || {
        tail -n 20 "$log"
        die "$version: xensr does not build, see $log"
    }
    install -D "$root/out/usr/libexec/xensr/libxl-save-helper" \
        "$tmp/usr/libexec/xensr/libxl-save-helper"
    mkdir -p "$tmp/usr/lib"
    cp -a "$root"/out/usr/lib/libxensr.so.* "$tmp/usr/lib/"
    install -D "$root/out/usr/bin/xensr" "$tmp/usr/bin/xensr"
    put_libraries usr/bin/xensr
    for tool in damage-image core-pages copy-stream; do
        build_tool "$RIG_DIR/$tool.c" "usr/bin/$tool"
    done
    build_tool "$RIG_DIR/guest/busy.c" guest/busy
    publish "$tmp" "$result"
    ln -sfnT "$result" "$CACHE/xensr-$release.current"
}

case ${1-} in
    --path) result_of "$2" ;;
    --locked) build "$2" ;;
    *) with_lock "root-$(release_of "$1")" "$0" --locked "$1" ;;
esac
