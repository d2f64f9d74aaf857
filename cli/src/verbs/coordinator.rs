//! `braid coordinator`: serves jobs to workers and clients until it is told to stop.

mod first_steps;
mod policy;

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
use braid_coordinator::{
    Coordinator, CoordinatorError, DEFAULT_LEASE, DEFAULT_NODE_LIFE, Options, Protection, StoreUrl, security::Roster,
    store::StoreError,
};
use braid_telemetry::metrics::counted;
use first_steps::Place;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming};

/// Certificates of nodes that are valid for a time outside of this are refused.
const LIVES: std::ops::RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(3650 * 24 * 3600);
/// A peer that begins TLS and does not go on is hung up on.
const HANDSHAKE: Duration = Duration::from_secs(10);
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
    /// A further name or address under which this coordinator is reached, for its certificate; may be given again
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// How long the certificate of a node is valid [default: 30d]
    #[arg(long, value_name = "D", value_parser = life)]
    certificate_life: Option<Duration>,
    /// A YAML file that says which folders jobs may use [default: any]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A file to write down each event and what is decided, for `braid sim replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// What workers must present to join, with --insecure
    #[arg(long, value_name = "T", requires = "insecure")]
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

fn life(text: &str) -> std::result::Result<Duration, String> {
    let life = units::duration(text)?;
    if LIVES.contains(&life) { Ok(life) } else { Err("a certificate is valid for 3s to 10 years".into()) }
}

pub(super) async fn run(args: CoordinatorArgs, console: &Console) -> Result {
    let policy = args.policy.as_deref().map(policy::read).transpose()?;
    if args.insecure && !args.listen.is_loopback() {
        console.warn(&format!("anyone who can reach {} may run jobs: traffic is plaintext and unchecked", args.listen));
    }
    let mut signals = Signals::listen()?;
    let listener = TcpListener::bind(args.listen.to_string()).await.map_err(|error| cannot_listen(&args.listen, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(&args.listen, &error))?;
    let http = args.http.bind(console).await?;
    let advertise = args.advertise.unwrap_or_else(|| there(&args.listen, address));
    let options = Options {
        store: args.store.unwrap_or_else(|| StoreUrl::Embedded(args.data_dir.clone())),
        data_dir: Some(args.data_dir.clone()),
        advertise: advertise.to_string(),
        token: args.token,
        protection: match args.insecure {
            true => Protection::Open,
            false => Protection::Checked { node_life: args.certificate_life.unwrap_or(DEFAULT_NODE_LIFE) },
        },
        policy,
        record: args.record,
        lease: args.lease.unwrap_or(DEFAULT_LEASE),
    };
    let coordinator = tokio::select! {
        started = Box::pin(Coordinator::start(options, kinds::workloads())) => started.map_err(start_error)?,
        () = signals.next() => return Ok(()),
    };
    // Planning is no job: it needs nothing of the coordinator but its address.
    let routes = coordinator.routes().add_service(planner_service::service());
    let routes = counted(routes, coordinator.metrics().rpc().clone());
    let serve = server(coordinator.roster().map(|roster| &**roster), &names(&args.listen, address, &advertise, &args.name))?
        .layer(coordinator.gate())
        .add_routes(routes)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    console.data(&format!("listening on {address}"))?;
    let http = http.serve(coordinator.http(), console)?;
    if let Some(roster) = coordinator.roster() {
        let place = Place { data_dir: &args.data_dir, here: here(address), there: advertise };
        first_steps::credentials(roster, &place, console).await?;
        if coordinator.is_new_fleet() {
            first_steps::invite(roster, &place, console).await?;
        }
    }
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

/// The serving end: with TLS where callers are told apart.
fn server(roster: Option<&Roster>, names: &[String]) -> Result<Server> {
    let Some(roster) = roster else { return Ok(wire::server()) };
    let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot set up TLS: {error}"));
    let serving = roster.serving(names).map_err(|error| broken(&error))?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(serving.chain, serving.key))
        .client_ca_root(Certificate::from_pem(serving.ca))
        // People have tokens, and machines that are yet to join have neither.
        .client_auth_optional(true)
        .timeout(HANDSHAKE);
    wire::server().tls_config(tls).map_err(|error| broken(&chain(&error)))
}

/// Names under which the coordinator may be reached, for its certificate.
fn names(listen: &Address, address: SocketAddr, advertise: &Address, more: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend([listen.host().to_owned(), advertise.host().to_owned(), host_name()]);
    names.extend((!address.ip().is_unspecified()).then(|| address.ip().to_string()));
    names.extend(more.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

/// Where this machine finds what listens at `address`.
fn here(address: SocketAddr) -> Address {
    let host = match address {
        SocketAddr::V4(_) => "127.0.0.1",
        SocketAddr::V6(_) => "[::1]",
    };
    if address.ip().is_unspecified() { Address::new(host, address.port()) } else { address.into() }
}

/// Where other machines find it: by the name of the machine when it listens everywhere.
fn there(listen: &Address, address: SocketAddr) -> Address {
    match host_name() {
        host if address.ip().is_unspecified() && !host.is_empty() => Address::new(&host, address.port()),
        _ => Address::new(&listen.bracketed_host(), address.port()),
    }
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
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
