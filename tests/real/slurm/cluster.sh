# shellcheck shell=bash
# cluster_start DIR NODES CPUS: a real Slurm cluster of one machine, each node a slurmd with a hostname of its own.
# Call it as root in PID, mount, network, IPC and UTS namespaces made for it (test.sh does): they end with their first
# process, and with them every daemon, job, port, shared-memory segment and file. DIR is an empty directory, its path
# short (sockets in it). Leaves SLURM_CONF exported. Returns non-zero when the nodes do not get ready. A requeued job may not
# begin until its old credentials have expired: after 5 s here, not Slurm's 120.

cluster_start() {
  local dir=$1 nodes=$2 cpus=$3 i munge=$1/munge
  hostname head
  # Loopback alone will not do: Open MPI does not take it for a way between hosts.
  ip link set lo up
  ip link add cluster0 type veth peer name cluster1
  ip addr add 10.77.0.254/24 dev cluster0
  ip link set cluster0 up
  ip link set cluster1 up

  mkdir -m 0755 "$dir/state" "$dir/spool" "$dir/tmp" "$dir/log" "$munge"
  (umask 077 && dd if=/dev/urandom of="$munge/key" bs=1024 count=1 status=none)
  cat >"$dir/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=head(10.77.0.254)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
TmpFS=$dir/tmp/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
InactiveLimit=0
Waittime=0
NodeName=DEFAULT CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN
CONF
  for i in $(seq "$nodes"); do
    mkdir -m 0755 "$dir/spool/n$i" "$dir/tmp/n$i" # each node's PMIx server keeps its sockets apart
    echo "NodeName=n$i NodeHostname=n$i NodeAddr=10.77.0.254 Port=$((16900 + i))"
  done >>"$dir/slurm.conf"
  echo "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP" >>"$dir/slurm.conf"

  export SLURM_CONF=$dir/slurm.conf
  munged --key-file="$munge/key" --socket="$munge/socket" --pid-file="$munge/pid" --log-file="$munge/log" \
    --seed-file="$munge/seed" --origin=10.77.0.254 --num-threads=2 || return 1
  slurmctld || return 1
  for i in $(seq "$nodes"); do
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --uts sh -c 'hostname "$1" && exec slurmd -N "$1"' sh "n$i" || return 1
  done
  for i in $(seq 600); do
    [ "$(sinfo -h -N -o %t 2>/dev/null | grep -cx idle)" = "$nodes" ] && return 0
    sleep 0.05
  done
  sinfo -N
  tail -n 5 "$dir"/log/*.log
  return 1
}
