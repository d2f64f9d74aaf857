#!/usr/bin/env bash
# Runs deploy/slurm/braid.sbatch for real: Slurm's own daemons on loopback, two nodes, a merge by a fleet of them.
#
#   tests/deploy/slurm.sh BRAID      as root; needs Debian's slurm-wlm and munge. Everything lives in a temporary folder.
set -euo pipefail

braid=$(realpath "${1:?which braid}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
chmod 755 "$dir"
export SLURM_CONF=$dir/slurm.conf
pids=()

stop() {
    # The controller of $SLURM_CONF, which is ours; it may not have come up.
    if sinfo >/dev/null 2>&1; then scancel --full --user "$(id -un)"; fi
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        if kill -0 "${pids[i]}" 2>/dev/null; then kill "${pids[i]}"; fi
    done
    wait
    [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap stop EXIT

# A munged of our own, so that one of the machine's is left alone.
mkdir -p "$dir/munge" "$dir/ctld" "$dir/d1" "$dir/d2"
head -c 1024 /dev/urandom >"$dir/munge/key"
chmod 700 "$dir/munge"
chmod 400 "$dir/munge/key"
munged --foreground --force --socket="$dir/munge.socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
    --seed-file="$dir/munge/seed" --log-file="$dir/munge/log" &
pids+=($!)

cat >"$SLURM_CONF" <<CONF
ClusterName=braid-test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CryptoType=crypto/munge
SlurmctldPort=16817
StateSaveLocation=$dir/ctld
SlurmdSpoolDir=$dir/d%n
SlurmctldPidFile=$dir/ctld.pid
SlurmdPidFile=$dir/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerType=sched/backfill
ReturnToService=2
CommunicationParameters=NoInAddrAny
NodeName=n1 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16818 CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=16819 CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
CONF
slurmctld -D -c >"$dir/ctld.log" 2>&1 &
pids+=($!)
for n in 1 2; do
    mkdir -p "$dir/dn$n"
    slurmd -D -N "n$n" >"$dir/slurmd$n.log" 2>&1 &
    pids+=($!)
done
for _ in {1..100}; do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && break
    sleep 0.2
done
sinfo

export BRAID_BIN=$braid BRAID_STATE=$dir/state
cd "$here"
say() { printf '\n== %s\n' "$*"; }

say 'a merge in an allocation of two nodes'
job=$(sbatch --parsable --nodes=2 --output="$dir/merge.log" deploy/slurm/braid.sbatch \
    "$braid" merge examples/ties.yml "$dir/out")
for _ in {1..300}; do
    state=$(squeue -h -j "$job" -o %T 2>/dev/null || true)
    [ -n "$state" ] || break
    sleep 0.2
done
cat "$dir/merge.log"
scontrol show job "$job" | grep -E 'JobState|ExitCode'
scontrol show job "$job" | grep -q 'JobState=COMPLETED' || { tail -n 20 "$dir"/*.log; exit 1; }

say 'it has the bytes of a merge in one process'
"$braid" merge examples/ties.yml "$dir/alone" >/dev/null 2>&1
for file in "$dir"/alone/*.safetensors; do cmp "$file" "$dir/out/$(basename "$file")"; done

say 'the exit code of the command is the exit code of the job'
job=$(sbatch --parsable --nodes=1 --output="$dir/fail.log" deploy/slurm/braid.sbatch bash -c 'exit 7')
for _ in {1..300}; do
    [ -n "$(squeue -h -j "$job" -o %T 2>/dev/null || true)" ] || break
    sleep 0.2
done
scontrol show job "$job" | grep -q 'ExitCode=7:0' || { cat "$dir/fail.log"; scontrol show job "$job"; exit 1; }

say 'nothing is left running'
sleep 1
if pgrep -f "$dir/state" >/dev/null; then pgrep -af "$dir/state"; exit 1; fi
printf '\nslurm: ok\n'
