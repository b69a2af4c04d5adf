#!/bin/bash
# tests/camera.sh COMMAND...: runs COMMAND as root in a throw-away virtual machine with a camera.
#
# The machine has Debian's own kernel with vivid (/dev/video0, colour bars), no network and no disk. Its
# root is this machine's, read-only (9p) under a tmpfs, so that any program here runs there at its
# usual path. Without /dev/kvm it is emulated, and everything in it is ten times slower.
#
# VM_DIR     where kernel and initial file system are kept (target/vm); the kernel is fetched once
# VM_TIMEOUT seconds until it is given up (300)
#
# Exit status: COMMAND's; 77 where it cannot be run here (the reason is on standard error); 125 where
# the machine did not come up.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
dir=${VM_DIR:-$here/target/vm}
mkdir -p "$dir"
cd "$dir"

skip() {
    echo "camera.sh: $1" >&2
    exit 77
}

for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod; do
    PATH=$PATH:/sbin:/usr/sbin command -v "${tool%%:*}" > /dev/null || skip "${tool#*:} is not installed"
done
PATH=$PATH:/sbin:/usr/sbin

# One run at a time: they share the files below.
exec 9> lock
flock 9

fetch_kernel() {
    command -v apt-get > /dev/null || skip "no kernel package can be fetched without apt-get"
    local package
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    [ -n "$package" ] || skip "apt knows no package linux-image-amd64 (run: apt-get update)"
    rm -rf kernel download
    mkdir download
    (cd download && apt-get download -q "$package" > /dev/null) || skip "$package cannot be downloaded"
    dpkg-deb -x download/*.deb kernel
    rm -rf download
    version=${package#linux-image-}
    depmod -b kernel "$version"
    echo "$version" > version
}
[ -s version ] || fetch_kernel
version=$(cat version)

# The initial file system: busybox, the modules in the order of loading, and the script that goes on.
rm -rf initial
mkdir -p initial/{bin,proc,sys,dev,modules,mnt/host,mnt/over,mnt/root,out}
cp "$(command -v busybox)" initial/bin/busybox
modules() {
    for module in "$@"; do
        modprobe -d "$dir/kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
    done | awk '!seen[$0]++'
}
add() {
    local list=$1 path
    shift
    for path in $(modules "$@"); do
        cp -n "$path" initial/modules/
        basename "$path" >> "initial/$list"
    done
}
add first virtio_pci 9pnet_virtio 9p overlay virtio_rng
add then vivid
printf '%q ' "$@" > initial/command

cat > initial/init <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
load() { for m in $($b cat "$1"); do $b insmod "/modules/$m" $([ $m = vivid.ko ] && echo n_devs=1 node_types=0x1 input_types=0) 2>/dev/null; done; }
load /first
share=trans=virtio,version=9p2000.L,msize=524288
$b mount -t 9p -o ro,$share,cache=loose host /mnt/host
$b mount -t tmpfs over /mnt/over
$b mkdir /mnt/over/upper /mnt/over/work
$b mount -t overlay -o lowerdir=/mnt/host,upperdir=/mnt/over/upper,workdir=/mnt/over/work root /mnt/root
load /then
root=/mnt/root
for d in proc sys dev; do $b mount --move /$d $root/$d; done
$b mkdir -p $root/dev/shm $root/dev/pts $root/vm-out
$b mount -t tmpfs shm $root/dev/shm
$b mount -t tmpfs run $root/run
$b mount -t tmpfs tmp $root/tmp
$b mount -t devpts pts $root/dev/pts
$b mount -t 9p -o $share out $root/vm-out
$b ip link set lo up
export HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin TERM=linux
$b chroot $root /bin/bash -c "$($b cat /command)" < $root/dev/null
echo $? > $root/vm-out/status
$b sync
echo o > $root/proc/sysrq-trigger
$b sleep 5
$b poweroff -f
INIT
chmod +x initial/init
(cd initial && find . | cpio -o -H newc --quiet | gzip -1) > initial.gz

rm -rf out
mkdir out
acceleration="-accel tcg,thread=multi"
[ -z "${VM_KVM:-}" ] || acceleration="-accel kvm -cpu host"
timeout "${VM_TIMEOUT:-300}" qemu-system-x86_64 -M q35 $acceleration -smp 2 -m 1024 -nodefaults -no-reboot \
    -display none -serial stdio -kernel "kernel/boot/vmlinuz-$version" -initrd initial.gz \
    -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable random.trust_cpu=on" \
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=host,mount_tag=host \
    -fsdev local,id=out,path="$dir/out",security_model=none \
    -device virtio-9p-pci,fsdev=out,mount_tag=out -device virtio-rng-pci < /dev/null || true
exit "$(cat out/status 2> /dev/null || echo 125)"
