//! A whole fleet inside this process: a coordinator with its store and one worker, joined by pipes in memory. Client,
//! wire and services are those of a real fleet; only the transport differs, and no port is open.

use crate::{
    client::Client,
    error::{Error, Result},
    kinds, on_gpus,
    trust::Trust,
    verbs::{start_error, worker_error},
    wire,
};
use braid_coordinator::{Coordinator, DEFAULT_LEASE, Protection, StoreUrl};
use braid_proto::VERSION;
use braid_telemetry::metrics::WorkerMetrics;
use braid_worker::{ConnectError, ExchangeEnd, Gpus, Meeting, SeenGpus, Worker, WorkerError};
use braid_workload::NodeId;
use std::{collections::BTreeMap, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often a fleet that starts is asked whether it is there; starting takes milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What the worker may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) threads: NonZeroUsize,
    /// Bytes that tasks may hold.
    pub(crate) memory: u64,
    pub(crate) gpus: u32,
}

/// A fleet of one.
pub(crate) struct Local {
    coordinator: Coordinator,
    client: Client,
    server: JoinHandle<()>,
    worker: JoinHandle<std::result::Result<(), WorkerError>>,
    cancel: CancellationToken,
}

impl Local {
    /// Starts it, with its state in `folder`.
    pub(crate) async fn start(folder: &Path, limits: Limits) -> Result<Self> {
        let options = braid_coordinator::Options {
            store: StoreUrl::Embedded(folder.to_owned()),
            data_dir: Some(folder.to_owned()),
            advertise: String::new(),
            token: None,
            protection: Protection::Inside,
            policy: None,
            record: None,
            lease: DEFAULT_LEASE,
        };
        let coordinator = Box::pin(Coordinator::start(options, kinds::workloads())).await.map_err(start_error)?;
        let (incoming, endpoint) = wire::pipe();
        let serve = wire::server().layer(coordinator.gate()).add_routes(coordinator.routes()).serve_with_incoming(incoming);
        let server = tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the coordinator inside this process no longer answers");
            }
        });
        let options = braid_worker::Options {
            node: NodeId("local".into()),
            threads: limits.threads,
            memory: limits.memory,
            token: None,
            roots: None,
            address: "in process".into(),
            exchange: Some(ExchangeEnd { address: "in process".into(), join: Arc::new(Meeting::default()) }),
            gpus: Gpus { count: limits.gpus, ..Gpus::default() },
            labels: BTreeMap::new(),
            seen_gpus: SeenGpus::default(),
            link: None,
            disk: None,
            measured: None,
            data_dir: Some(folder.to_owned()),
            metrics: Arc::new(WorkerMetrics::new(VERSION, limits.threads.get(), limits.memory)),
        };
        let client = Client::new(wire::wire(endpoint.channel(), &Trust::Plaintext), "this process".into());
        let connector = move || {
            let channel = endpoint.channel();
            async move { Ok::<_, ConnectError>(channel) }
        };
        let cancel = CancellationToken::new();
        let worker = tokio::spawn(Worker::run(options, connector, kinds::executors(on_gpus::gpus()?), cancel.clone()));
        let mut local = Self { coordinator, client, server, worker, cancel };
        local.joined().await?;
        Ok(local)
    }

    /// Until the worker has joined: no job is ever seen waiting for one that only needs a moment.
    async fn joined(&mut self) -> Result {
        let client = self.client.clone();
        let seen = async move {
            while client.list_nodes().await?.is_empty() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        tokio::select! {
            seen = seen => seen,
            error = self.broken() => Err(error),
        }
    }

    /// Speaks to its coordinator.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Resolves only when it cannot go on.
    pub(crate) async fn broken(&mut self) -> Error {
        tokio::select! {
            stopped = self.coordinator.stopped() => Error::unavailable(stopped.to_string()),
            worker = &mut self.worker => match worker {
                Ok(Err(error)) => worker_error(error),
                Ok(Ok(())) => Error::unavailable("the worker inside this process ended"),
                Err(error) => Error::unavailable(format!("the worker inside this process ended: {error}")),
            },
        }
    }

    /// Stops the worker, then the coordinator: whatever the worker hands over is still written.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        if !self.worker.is_finished() {
            // Why it ended no longer matters.
            let _ = self.worker.await;
        }
        self.coordinator.shutdown().await;
        self.server.abort();
    }
}
