#!/bin/sh
# The first process of the node's namespaces (network, mounts, processes); `unshare` starts it. Gives the node folders of its own where the
# programs expect theirs, then waits. When it ends, the kernel ends every process in here and drops every mount, whatever happened before.
set -eu
work="$1"

# The shell opens the outer /proc: this is its id as the machine sees it.
read -r outer _ < /proc/self/stat
mount -t proc proc /proc
for place in run var/lib var/log; do
  mkdir -p "$work/root/$place"
  mount --bind "$work/root/$place" "/$place"
done
mkdir -p /run/netns /var/lib/kubelet
# Volumes that containers share with the kubelet.
mount --bind /var/lib/kubelet /var/lib/kubelet
mount --make-shared /var/lib/kubelet
echo 'nameserver 127.0.0.1' > "$work/resolv.conf"
mount --bind "$work/resolv.conf" /etc/resolv.conf

# The kubelet sets these for the whole machine unless they are so already. It is shown that they are.
show() {
  if [ -e "/proc/sys/$1" ]; then
    file="$work/$(echo "$1" | tr / .)"
    echo "$2" > "$file"
    mount --bind "$file" "/proc/sys/$1"
  fi
}
show vm/overcommit_memory 1
show vm/panic_on_oom 0
show kernel/panic 10
show kernel/panic_on_oops 1
show kernel/keys/root_maxkeys 1000000
show kernel/keys/root_maxbytes 25000000

echo "$outer" > "$work/pid.part"
mv "$work/pid.part" "$work/pid"
trap 'exit 0' TERM INT
# As the first process it also reaps what others leave behind.
while :; do sleep 3600 & wait $! || true; done
