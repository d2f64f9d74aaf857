//! The layer before all services: finds out who calls, looks the call up in the table, and refuses or passes it on with
//! the [`Caller`] attached. Keeps the audit log of what was refused and of the calls that the table says to keep.

use super::{
    Caller, Denied, Roster,
    audit::{Audit, Entry},
    calls::{self, Call},
};
use braid_proto::Secret;
use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        BoxFuture,
        http::{Extensions, HeaderMap, Request, Response, header::AUTHORIZATION},
    },
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};

/// Whom a server believes.
#[derive(Clone)]
pub(crate) enum Mode {
    /// It is at the other end of a pipe in this process.
    Inside,
    /// It was started with `--insecure`: everybody may do everything.
    Open,
    /// Tokens and certificates.
    Checked(Arc<Roster>),
}

/// The layer; see [`Coordinator::gate`](crate::Coordinator::gate).
#[derive(Clone)]
pub struct Gate {
    mode: Mode,
    audit: Audit,
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

/// What a call is about, for the audit log: the gate lays it out empty, the service that understands the call fills it.
#[derive(Debug, Clone, Default)]
pub(crate) struct About(Arc<OnceLock<String>>);

impl About {
    /// Notes on which object a call acts; the first note counts.
    pub(crate) fn note(extensions: &tonic::Extensions, object: impl FnOnce() -> String) {
        if let Some(about) = extensions.get::<Self>() {
            about.0.get_or_init(object);
        }
    }

    fn text(&self) -> String {
        self.0.get().cloned().unwrap_or_default()
    }
}

impl Gate {
    pub(crate) fn new(mode: Mode, audit: Audit) -> Self {
        Self { mode, audit }
    }

    /// Who calls, by certificate or token.
    fn identify(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Caller, Denied> {
        let roster = match &self.mode {
            Mode::Inside => return Ok(Caller::Inside),
            Mode::Open => return Ok(Caller::Anybody),
            Mode::Checked(roster) => roster,
        };
        if let Some(value) = headers.get(AUTHORIZATION) {
            let secret = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).and_then(Secret::from_hex);
            return roster.person(&secret.ok_or(Denied::BadToken)?);
        }
        let certificates = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().and_then(TlsConnectInfo::peer_certs);
        match certificates.as_ref().and_then(|chain| chain.first()) {
            Some(certificate) => roster.peer(certificate),
            None => Ok(Caller::Stranger),
        }
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<(Caller, &'static Call), (Caller, Denied)> {
        let caller = self.identify(request.headers(), request.extensions()).map_err(|denied| (Caller::Stranger, denied))?;
        match calls::decide(request.uri().path(), &caller) {
            Ok(call) => Ok((caller, call)),
            Err(denied) => Err((caller, denied)),
        }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

impl<S, B> Service<Request<B>> for Gated<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The clone that is ready is this one.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let audit = self.gate.audit.clone();
        let from = from(request.extensions());
        match self.gate.admit(&request) {
            Ok((caller, call)) => {
                let about = About::default();
                request.extensions_mut().insert(about.clone());
                request.extensions_mut().insert(caller.clone());
                Box::pin(async move {
                    let response = inner.call(request).await?;
                    if call.audited {
                        audit.write(Entry::now(&caller, from, call.path, about.text(), outcome(response.headers()))).await;
                    }
                    Ok(response)
                })
            }
            Err((caller, denied)) => {
                let path: String = request.uri().path().chars().take(128).collect();
                Box::pin(async move {
                    let status = refusal(&denied);
                    audit.refused(Entry::now(&caller, from, &path, String::new(), describe(&status))).await;
                    Ok(status.into_http())
                })
            }
        }
    }
}

/// A refusal as a client sees it.
fn refusal(denied: &Denied) -> Status {
    let text = denied.to_string();
    match denied {
        Denied::NoSuchCall(_) => Status::unimplemented(text),
        Denied::NoToken(_) | Denied::BadToken | Denied::NotANode => Status::unauthenticated(text),
        Denied::Role { .. } | Denied::Node(_) | Denied::Certificate { .. } => Status::permission_denied(text),
    }
}

/// Where a call comes from.
fn from(extensions: &Extensions) -> String {
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(|info| info.get_ref().remote_addr());
    let address = tls.or_else(|| extensions.get::<TcpConnectInfo>().map(TcpConnectInfo::remote_addr)).flatten();
    address.map_or_else(|| "this process".to_owned(), |address| address.to_string())
}

/// How a call ended, as its first headers tell: an answer that is a stream has begun well by then.
fn outcome(headers: &HeaderMap) -> String {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => describe(&status),
        _ => "OK".into(),
    }
}

fn describe(status: &Status) -> String {
    let message: String = status.message().chars().take(512).collect();
    format!("{:?}: {message}", status.code())
}
