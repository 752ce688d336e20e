# ops/seccomp.json, which is in Docker's own format, as the kubelet reads it: what a container without capabilities has on
# x86-64 and arm64.
#
#   jq -f ops/kubernetes/seccomp.jq ops/seccomp.json > ops/kubernetes/seccomp.json
def is_ours: ["amd64", "x86", "x32", "arm64", "arm"] as $ours | any(.[]; . as $arch | $ours | index($arch));
{
  defaultAction,
  defaultErrnoRet: 1,
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  syscalls: [
    .syscalls[]
    | select((.includes.caps // []) == [])
    | select(.includes.arches == null or (.includes.arches | is_ours))
    | {names, action}
      + (if (.args // []) == [] then {} else {args} end)
      + (if .errnoRet == null then {} else {errnoRet} end)
  ]
}
