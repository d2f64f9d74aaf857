//! `braid coordinator`: serves jobs to workers and clients until it is told to stop.

use crate::{
    address::Address,
    console::Console,
    error::{Error, Result, chain},
    exit::Exit,
    kinds, planner_service,
    serving::HttpArgs,
    signals::Signals,
    units, wire,
};
use braid_coordinator::{Coordinator, CoordinatorError, DEFAULT_LEASE, Options, StoreUrl, store::StoreError};
use braid_telemetry::metrics::counted;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// Leases outside of this are refused: shorter ones end by accident, longer ones leave dead workers unnoticed.
const LEASES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

/// Serve jobs to workers and clients
#[derive(Debug, clap::Args)]
pub(crate) struct CoordinatorArgs {
    /// Address to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR")]
    listen: Address,
    /// Where workers and clients find this coordinator while it leads [default: where it listens]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<Address>,
    /// Folder for state and logs
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the state lives: a folder, or etcd://HOST:PORT[,…] [default: the data folder]
    #[arg(long, value_name = "STORE", value_parser = store)]
    store: Option<StoreUrl>,
    /// What workers must present to join
    #[arg(long, value_name = "T", env = "BRAID_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How long a worker may be silent before its tasks go elsewhere [default: 15s]
    #[arg(long, value_name = "D", value_parser = lease)]
    lease: Option<Duration>,
    #[command(flatten)]
    http: HttpArgs,
    /// Serve plaintext to anyone who can reach the address
    #[arg(long)]
    insecure: bool,
}

fn store(text: &str) -> std::result::Result<StoreUrl, String> {
    text.parse().map_err(|error: StoreError| match error {
        StoreError::Url { reason, .. } => reason,
        other => other.to_string(),
    })
}

fn lease(text: &str) -> std::result::Result<Duration, String> {
    let lease = units::duration(text)?;
    if LEASES.contains(&lease) { Ok(lease) } else { Err("a lease lasts from 1s to 2m".into()) }
}

pub(super) async fn run(args: CoordinatorArgs, console: &Console) -> Result {
    if !args.insecure {
        return Err(Error::usage(format!("refusing to listen on {} without TLS, which is not built yet", args.listen))
            .with_hint("--insecure allows plaintext; use it on loopback or a network that you trust"));
    }
    if !args.listen.is_loopback() {
        console.warn(&format!("anyone who can reach {} may run jobs: traffic is plaintext and unchecked", args.listen));
    }
    let mut signals = Signals::listen()?;
    let listener = TcpListener::bind(args.listen.to_string()).await.map_err(|error| cannot_listen(&args.listen, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(&args.listen, &error))?;
    let http = args.http.bind(console).await?;
    let options = Options {
        store: args.store.unwrap_or_else(|| StoreUrl::Embedded(args.data_dir.clone())),
        data_dir: Some(args.data_dir),
        advertise: args.advertise.map_or_else(|| advertised(address), |advertise| advertise.to_string()),
        token: args.token,
        lease: args.lease.unwrap_or(DEFAULT_LEASE),
    };
    let coordinator = tokio::select! {
        started = Coordinator::start(options, kinds::workloads()) => started.map_err(start_error)?,
        () = signals.next() => return Ok(()),
    };
    // Planning is no job: it needs nothing of the coordinator but its address.
    let routes = coordinator.routes().add_service(planner_service::service());
    let routes = counted(routes, coordinator.metrics().rpc().clone());
    let serve = wire::server().add_routes(routes).serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    console.data(&format!("listening on {address}"))?;
    let http = http.serve(coordinator.http(), console)?;
    let ended = tokio::select! {
        served = serve => {
            let why = served.err().map_or_else(|| "it ended".to_owned(), |error| chain(&error));
            Err(Error::unavailable(format!("cannot serve {address} any longer: {why}")))
        }
        stopped = coordinator.stopped() => Err(Error::unavailable(stopped.to_string())),
        () = signals.next() => {
            console.note("stopping; workers go on and join the next coordinator");
            Ok(())
        }
    };
    signals.next_ends_the_process();
    coordinator.shutdown().await;
    http.stop().await;
    ended
}

/// Where others find what listens here: by the name of the machine when it listens everywhere.
fn advertised(address: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        host if address.ip().is_unspecified() && !host.is_empty() => format!("{host}:{}", address.port()),
        _ => address.to_string(),
    }
}

fn cannot_listen(address: &Address, error: &std::io::Error) -> Error {
    Error::unavailable(format!("cannot listen on {address}: {error}"))
}

/// Why a coordinator did not start, for a person.
pub(crate) fn start_error(error: CoordinatorError) -> Error {
    let exit = match &error {
        CoordinatorError::Store(StoreError::InUse { .. } | StoreError::Fenced { .. } | StoreError::Conflict { .. }) => {
            Exit::NotFoundOrConflict
        }
        CoordinatorError::Store(StoreError::NoEtcd(_) | StoreError::Url { .. }) => Exit::Usage,
        _ => Exit::Unavailable,
    };
    Error { exit, message: format!("the coordinator cannot start: {}", chain(&error)), hint: error.hint() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_neither_too_short_nor_too_long() {
        assert_eq!(lease("2s"), Ok(Duration::from_secs(2)));
        for text in ["0s", "999ms", "121s", "soon"] {
            assert!(lease(text).is_err(), "{text}");
        }
    }
}
