//! `braid worker`: runs tasks for a coordinator until it is told to stop.

mod measuring;
mod membership;

use crate::{
    address::Addresses,
    console::Console,
    error::{Error, Result},
    exit::Exit,
    kinds, on_gpus,
    serving::HttpArgs,
    signals::Signals,
    trust::read_token,
    units,
};
use braid_proto::VERSION;
use braid_telemetry::metrics::WorkerMetrics;
use braid_worker::{
    ExchangeEnd, Gpus, Machine, NoGpus, NodeClaim, Options, SeenGpus, Worker, WorkerError, exchange::tcp::Listener,
};
use braid_workload::Roots;
use measuring::When;
use membership::{Applicant, Membership};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
};
use tokio::net::{UdpSocket, lookup_host};
use tokio_util::sync::CancellationToken;

/// Run tasks for a coordinator
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// Address of the coordinator; of several, all of them, separated by commas
    #[arg(long, value_name = "ADDR", env = "BRAID_COORDINATOR")]
    join: Addresses,
    /// Folder for the node's name and certificate; the same folder makes the same node
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The join token that `braid token create` printed; needed once. With --insecure: what the coordinator asks for
    #[arg(long, value_name = "T", env = "BRAID_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Where this worker's exchange listens for the other members of a gang; port 0 takes any, 0.0.0.0 every address of this machine
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = exchange)]
    exchange: SocketAddr,
    #[command(flatten)]
    offer: OfferArgs,
    #[command(flatten)]
    http: HttpArgs,
    /// A folder that jobs may read on this machine; may be given again [default: any]
    #[arg(long, value_name = "DIR")]
    allow_read: Vec<PathBuf>,
    /// A folder that jobs may write, and read, on this machine; may be given again [default: any]
    #[arg(long, value_name = "DIR")]
    allow_write: Vec<PathBuf>,
    /// A kind of job that may run here although nobody can tell which paths it uses, such as `command`
    #[arg(long, value_name = "KIND")]
    allow_unbounded: Vec<String>,
    /// When to measure how fast memory, disk and network are; it takes under a second, before any task
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    measure: When,
    /// Speak plaintext to the coordinator
    #[arg(long)]
    insecure: bool,
}

/// What a worker says of its node, beside threads and memory.
#[derive(Debug, Clone, clap::Args)]
struct OfferArgs {
    /// GPUs that tasks may have, as a number or with their kind: 8xH100 [default: those that the driver shows]
    #[arg(long, value_name = "N[xKIND]")]
    gpus: Option<Gpus>,
    /// What tasks may ask of a node by name, such as rack=7; may be given again
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = units::label)]
    labels: Vec<(String, String)>,
    /// Bytes per second to where the data is, such as 1.25GB
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    link: Option<u64>,
    /// Bytes per second of this node's disks, such as 3GB
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    disk: Option<u64>,
}

/// What tasks may use of a machine.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct LimitArgs {
    /// Compute threads [default: all that this process may use]
    #[arg(long, value_name = "N", value_parser = units::threads)]
    threads: Option<NonZeroUsize>,
    /// Memory that tasks may hold, such as 256MiB [default: three quarters of what there is]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    memory: Option<u64>,
}

impl LimitArgs {
    /// Whether any was given.
    pub(crate) fn is_given(&self) -> bool {
        self.threads.is_some() || self.memory.is_some()
    }

    /// Threads and bytes of memory, from the flags or else from the machine.
    pub(crate) fn resolve(&self) -> (NonZeroUsize, u64) {
        let machine = Machine::detect();
        (self.threads.unwrap_or(machine.threads), self.memory.unwrap_or_else(|| machine.memory_for_tasks()))
    }
}

pub(super) async fn run(args: WorkerArgs, console: &Console) -> Result {
    let mut signals = Signals::listen()?;
    let roots = args.roots()?;
    if let (false, Some(text)) = (args.insecure, &args.token) {
        // Before anything is made.
        read_token(text)?;
    }
    let claim = NodeClaim::take(&args.data_dir).map_err(worker_error)?;
    let cancel = CancellationToken::new();
    let membership = if args.insecure {
        Membership::Plaintext
    } else {
        let (coordinators, data_dir, token) = (&args.join, &*args.data_dir, args.token.as_deref());
        let applicant = Applicant { coordinators, data_dir, node: claim.id(), token };
        let identity = tokio::select! {
            identity = applicant.identity(console) => identity?,
            () = signals.next() => return Ok(()),
        };
        membership::keep(identity, args.data_dir.clone(), args.join.clone(), cancel.child_token())
    };
    let (threads, memory) = args.limits.resolve();
    let measured = args.measure.figures(&args.data_dir, (threads, memory), &args.join, &membership).await;
    let on_gpus = on_gpus::gpus()?;
    let listener = match &membership {
        Membership::Plaintext => Listener::bind(args.exchange),
        Membership::Node(identity) => Listener::bind_secure(args.exchange, identity.clone()),
    };
    let listener =
        listener.map_err(|error| Error::usage(format!("cannot listen on {} for the exchange: {error}", args.exchange)))?;
    let exchange = ExchangeEnd {
        address: reached(listener.address(), &args.join).await.to_string(),
        join: on_gpus::exchange(Arc::new(listener))?,
    };
    let http = args.http.bind(console).await?;
    let metrics = Arc::new(WorkerMetrics::new(VERSION, threads.get(), memory));
    let http = http.serve(braid_worker::http::router(Arc::clone(&metrics)), console)?;
    let seen_gpus = if args.offer.gpus.is_some() { SeenGpus::default() } else { see_gpus() };
    let options = Options {
        node: claim.id().clone(),
        threads,
        memory,
        token: args.token.filter(|_| args.insecure),
        roots,
        address: host_name(&claim),
        exchange: Some(exchange),
        gpus: args.offer.gpus.unwrap_or_else(|| seen_gpus.offer()),
        seen_gpus,
        labels: args.offer.labels.into_iter().collect(),
        link: args.offer.link.or_else(|| measured.and_then(|measured| measured.network)),
        disk: args.offer.disk.or_else(|| measured.and_then(|measured| measured.disk_read)),
        measured,
        data_dir: Some(args.data_dir.clone()),
        metrics,
    };
    console.note(&format!("worker {} joins {}", claim.id(), args.join));
    let connector = move || {
        let (coordinators, trust) = (args.join.clone(), membership.trust());
        async move { membership::dial(&coordinators, &trust).await }
    };
    let worker = Worker::run(options, connector, kinds::executors(on_gpus), cancel.clone());
    tokio::pin!(worker);
    tokio::select! {
        ended = &mut worker => return ended.map_err(worker_error),
        () = signals.next() => {}
    }
    console.note("stopping; what runs is handed back to the coordinator");
    signals.next_ends_the_process();
    cancel.cancel();
    let ended = worker.await.map_err(worker_error);
    http.stop().await;
    ended
}

impl WorkerArgs {
    /// What the flags say that jobs may use.
    fn roots(&self) -> Result<Option<Roots>> {
        if self.allow_read.is_empty() && self.allow_write.is_empty() && self.allow_unbounded.is_empty() {
            return Ok(None);
        }
        let absolute = |paths: &[PathBuf]| paths.iter().map(|path| super::absolute(path)).collect::<Result<_>>();
        Ok(Some(Roots {
            read: absolute(&self.allow_read)?,
            write: absolute(&self.allow_write)?,
            unbounded: self.allow_unbounded.clone(),
            rule: "this worker (--allow-read, --allow-write)".into(),
        }))
    }
}

/// What the driver says; a machine without one has none.
fn see_gpus() -> SeenGpus {
    match SeenGpus::ask(std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()) {
        Ok(seen) => {
            let offered = seen.offer().count as usize;
            for (index, gpu) in seen.gpus.iter().enumerate() {
                tracing::info!(index, driver = seen.driver, offered = index < offered, "GPU: {gpu}");
            }
            seen
        }
        Err(none @ NoGpus::NoLibrary) => {
            tracing::info!("no GPUs: {none}");
            SeenGpus::default()
        }
        Err(none) => {
            tracing::warn!("no GPUs are offered: {none}; --gpus says what there is");
            SeenGpus::default()
        }
    }
}

/// Reads where an exchange listens.
fn exchange(text: &str) -> std::result::Result<SocketAddr, String> {
    text.parse().map_err(|_| "not an IP address of this machine and a port, such as 10.0.0.7:0".into())
}

/// Where the other members of a gang reach what listens there: of what listens everywhere, the address that this machine has on the way to
/// its coordinator.
async fn reached(listens: SocketAddr, coordinators: &Addresses) -> SocketAddr {
    if !listens.ip().is_unspecified() {
        return listens;
    }
    for coordinator in coordinators.iter() {
        let Ok(found) = lookup_host(coordinator.to_string()).await else { continue };
        for address in found.filter(|address| listens.is_ipv6() || address.is_ipv4()) {
            let any = if address.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
            // Connecting such a socket sends nothing; it asks the system for a route.
            let Ok(socket) = UdpSocket::bind((any, 0)).await else { continue };
            if let (Ok(()), Ok(own)) = (socket.connect(address).await, socket.local_addr()) {
                return SocketAddr::new(own.ip(), listens.port());
            }
        }
    }
    tracing::warn!(
        "the exchange listens on {listens}, where no other machine reaches it: give --exchange an address of this one"
    );
    listens
}

/// Where this worker is, for people.
fn host_name(claim: &NodeClaim) -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => claim.id().to_string(),
        name => name.to_owned(),
    }
}

/// Why a worker ended, for a person.
pub(crate) fn worker_error(error: WorkerError) -> Error {
    let exit = match error {
        WorkerError::Refused { .. } | WorkerError::BadName { .. } | WorkerError::Identity(_) => Exit::Usage,
        WorkerError::InUse { .. } => Exit::NotFoundOrConflict,
        WorkerError::Threads { .. } | WorkerError::Data { .. } => Exit::Unavailable,
    };
    Error { exit, message: error.to_string(), hint: error.hint().map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_listens_everywhere_is_reached_where_the_way_to_the_coordinator_begins() {
        let at = |listens: &str, coordinators: &str| {
            let (listens, coordinators) = (listens.parse().unwrap(), coordinators.parse().unwrap());
            async move { reached(listens, &coordinators).await.to_string() }
        };
        assert_eq!(at("0.0.0.0:7119", "127.0.0.1:7117").await, "127.0.0.1:7119");
        assert_eq!(at("[::]:7119", "127.0.0.1:7117").await, "127.0.0.1:7119");
        assert_eq!(at("0.0.0.0:7119", "[::1]:7117,127.0.0.9:7117").await, "127.0.0.1:7119");
        assert_eq!(at("10.0.0.7:7119", "127.0.0.1:7117").await, "10.0.0.7:7119");
    }
}
