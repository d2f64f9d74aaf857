//! How a worker reaches the coordinator: the one thing that differs between a fleet and a single process.

use std::{error::Error, future::Future};
use tonic::transport::Channel;

/// Why the coordinator could not be reached. The worker tries again, whatever it is.
pub type ConnectError = Box<dyn Error + Send + Sync>;

/// Makes a fresh channel to the coordinator whenever the worker has lost it.
///
/// Any closure that returns such a future is one. Two duties come with it:
/// * a channel over a network has HTTP/2 keep-alive on, also while idle (`http2_keep_alive_interval`,
///   `keep_alive_timeout`, `keep_alive_while_idle`): without it a silently cut link is never noticed;
/// * what cannot mend (a certificate that cannot be read) is found before the worker starts, not here.
pub trait Connector: Send + Sync + 'static {
    /// Connects once. The worker gives up on it after ten seconds.
    fn connect(&self) -> impl Future<Output = Result<Channel, ConnectError>> + Send;
}

impl<F, R> Connector for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<Channel, ConnectError>> + Send,
{
    fn connect(&self) -> impl Future<Output = Result<Channel, ConnectError>> + Send {
        self()
    }
}
