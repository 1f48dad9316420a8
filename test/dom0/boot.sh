#!/bin/bash
# boot.sh VERSION RESULTS KERNEL-ARGUMENT... - one run of a dom0 under QEMU's emulation.
#
# Prints what dom0 reports as it comes, and afterwards unpacks dom0's logs into the folder
# RESULTS, the serial console among them. Succeeds if dom0 reported an end without failures;
# a panic, a silence, an early exit or a run of no case at all is a failure; what is not told by
# a result line is told with the console's tail. One thing is tried again, as creating a guest is
# (README): when the whole machine stands still, or hangs while a guest is being created, it is booted
# again, twice at the most, for the cases that are left, and the run says so. A case in which it stands
# still twice has failed.
set -euo pipefail
. "$(dirname "$0")/common.sh"

BOOT_LIMIT=240    # seconds until dom0's first word
SILENCE_LIMIT=420 # seconds from one word to the next: a case can wait for xl twice
CREATION_LIMIT=240 # the same while a guest is being created
STILL_LIMIT=150   # without a sign of life, which dom0 gives far more often whatever its cases do
RUN_LIMIT=2700    # seconds for the whole run

# Why each of these: smap and smep, QEMU's iret trips over them; monitor, Xen's idle loop
# faults on mwait; avx, faults at random in HVM guests; eager-fpu, lazy switching leaks XMM
# registers between domains. All of that is QEMU's emulation, not Xen.
# One cpu in one thread: when VMRUN injects an interrupt, QEMU (7.2) leaves its vector in the
# cpu's exception_index, and if another thread or the round robin between cpus kicks the cpu out
# of its loop at that moment, the interrupt is delivered a second time, interrupts off or not.
# The guest's kernel then panics, or triple faults. With a single cpu nothing kicks it. With two,
# a guest with two vcpus seldom lives for half a minute, without any save or restore.
CPU=EPYC,-monitor,-smap,-smep,-avx,-avx2,-f16c
XEN_ARGUMENTS="console=com1 com1=115200,8n1 dom0_mem=2048M,max:2048M dom0_max_vcpus=1
    loglvl=warning guest_loglvl=warning spec-ctrl=eager-fpu"

start_qemu() {
    local dom0_arguments="console=hvc0 rdinit=/init panic=-1 quiet $*"
    (
        cd "$run"
        rm -f monitor.in monitor.out
        mkfifo monitor.in monitor.out
        exec qemu-system-x86_64 -accel tcg,thread=single -M q35 -cpu "$CPU" -smp 1 -m 4096 \
            -nographic -nodefaults -serial stdio -no-reboot -nic none \
            -chardev pipe,id=monitor,path=monitor -mon chardev=monitor \
            -kernel xen.elf -append "${XEN_ARGUMENTS//$'\n'/ }" \
            -initrd "vmlinuz $dom0_arguments,dom0.img" \
            -drive file=logs.img,format=raw,if=virtio,cache=unsafe \
            </dev/null >console.log 2>&1
    ) &
    qemu=$!
}

stop_qemu() {
    if [[ $qemu ]]; then
        kill "$qemu" 2>/dev/null || true
        wait "$qemu" 2>/dev/null || true
        qemu=''
    fi
}

# look_at_machine: what the emulated machine is at, twice, for whoever wonders why it hung: QEMU's state and
# time used (proc(5)), its cpu's registers and timer.
look_at_machine() {
    local command
    {
        exec 7<>"$run/monitor.in" 8<>"$run/monitor.out"
        for command in 'info registers' 'info lapic' 'info pic' 'info registers'; do
            cut -d' ' -f3,14,15 "/proc/$qemu/stat"
            echo "$command" >&7
            timeout 2 cat <&8
        done
        exec 7>&- 8>&-
    } >"$run/machine.log" 2>&1 || true
}

# follow: shows dom0's words until its end; sets $fate, "end" if all went well.
follow() {
    local line part='' last_word=$SECONDS last_sign=$SECONDS spoken='' alive=1
    exec 3<"$run/console.log"
    while :; do
        if IFS= read -r -u 3 line; then
            line=$part$line part=''
            line=${line//$'\r'/} # the console adds one or two
            case $line in
                *'@rig end'*) fate=end && return ;;
                *'@rig alive'*) last_sign=$SECONDS ;;
                *'@rig '*) hear "${line#*@rig }" && last_word=$SECONDS last_sign=$SECONDS spoken=1 ;;
                *'Kernel panic'* | *'Panic on CPU'* | *'FATAL TRAP'*) fate="panic: $line" && return ;;
            esac
            continue
        fi
        part+=$line
        [[ $alive ]] || { fate='QEMU ended before dom0 did' && return; }
        kill -0 "$qemu" 2>/dev/null || { alive='' && continue; }
        if [[ $creating ]] && ((SECONDS - last_word > CREATION_LIMIT)); then
            fate=hung && return
        fi
        if [[ $spoken ]] && ((SECONDS - last_sign > STILL_LIMIT)); then
            fate=hung && return
        fi
        if ((SECONDS - last_word > (${spoken:-0} ? SILENCE_LIMIT : BOOT_LIMIT))); then
            fate="dom0 silent for $((SECONDS - last_word)) s" && return
        fi
        ((SECONDS < RUN_LIMIT)) || { fate="not finished after $RUN_LIMIT s" && return; }
        sleep 0.2
    done
}

# hear WORDS: passes on to the user what dom0 said; keeps the result of the run.
hear() {
    case $1 in
        'done '*) outcome=${1#done * } && note "$version: $outcome" ;;
        'demo '* | 'table '*) say "${1#* }" ;;
        'begin '*) finished+=${current:++$current} current=${1#begin } ;;
        creating) creating=1 ;;
        created) creating='' ;;
        'note '*) say "     ${1#* }" ;;
        *) say "$1" ;;
    esac
}

version=$1 results=$2
shift 2
find "$CACHE" -maxdepth 1 -name 'run.*' -mtime +1 -exec rm -rf {} +
run=$(mktemp -d "$CACHE/run.XXXXXX")
qemu='' fate='' outcome='' current='' finished='' creating=''
trap 'stop_qemu; rm -rf "$run"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

image=$("$RIG_DIR/build-image.sh" --path "$version")
hypervisor=$image
[[ ! ${RIG_SHADOW:-} ]] || hypervisor=$("$RIG_DIR/build-hypervisor.sh" --path "$version")
ln "$hypervisor/xen.elf" "$image/vmlinuz" "$run/"
"$RIG_DIR/overlay.sh" "$version" | cat "$image/base.cpio.gz" - >"$run/dom0.img"
truncate -s 256M "$run/logs.img"

# boot ARGUMENT...: one boot, followed to its end.
boot() {
    creating=''
    : >"$run/console.log"
    note "$version: booting Xen under emulation"
    start_qemu "rig.version=$version" "$@"
    follow
    [[ $fate == end ]] || look_at_machine
    if [[ $fate == end ]]; then
        for _ in {1..50}; do kill -0 "$qemu" 2>/dev/null || break; sleep 0.2; done
    fi
    stop_qemu
}

# keep_logs FOLDER: what the machine has left.
keep_logs() {
    mkdir -p "$1"
    cp "$run/console.log" "$1/"
    [[ ! -e $run/machine.log ]] || mv "$run/machine.log" "$1/"
    tar -C "$1" -xf "$run/logs.img" 2>/dev/null || true
}

boot "$@"
hung_in=''
for again in 1 2; do
    [[ $fate == hung && ( $creating || ! $current || $current != "$hung_in" ) ]] || break
    hung_in=$current
    say "     $version the machine stood still in ${current:-no case}${creating:+, creating a guest}: booting again"
    keep_logs "$results/hung-$again"
    current=''
    boot "$@" "rig.finished=${finished#+}"
done
[[ $fate != hung ]] || fate="the machine stood still in ${current:-no case}, again and again"

keep_logs "$results"
[[ $fate != end || $outcome ]] || fate='the cases did not come to an end'
if [[ $fate != end ]]; then
    say "FAIL $version run  $fate; the console's last lines:"
    tail -n 15 "$run/console.log" | tr -d '\r' | sed 's/^/     | /'
    exit 1
fi
[[ $outcome != '0 passed,'* && $outcome == *' 0 failed' ]]
