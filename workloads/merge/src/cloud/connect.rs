//! From an URL to the place that is asked for it: a bucket, a web server, a repository of the hub at a commit.

use super::{fault::Fault, hub};
use object_store::{
    ClientOptions, GetOptions, GetResult, ObjectStore, RetryConfig,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpConnector},
    gcp::GoogleCloudStorageBuilder,
    http::HttpBuilder,
    multipart::MultipartStore,
    path::Path,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::{fmt, sync::Arc, time::Duration};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may fall silent.
const SILENCE: Duration = Duration::from_secs(30);

/// One place that objects are asked for.
pub(super) struct Shelf {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, where objects are written in parts.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    /// What is in it never changes.
    pub(super) pinned: bool,
    /// A number for its state, where that never changes.
    pub(super) state: Option<String>,
    /// All names in it, where they are known.
    pub(super) names: Option<Vec<String>>,
    /// Whether the store lists what is in a folder.
    pub(super) lists: bool,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Shelf {
    pub(super) async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult, Fault> {
        Ok(self.store.get_opts(path, options).await?)
    }
}

/// An URL in two: what names the place, and the path of an object there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    /// `s3://bucket`, `https://host:port`, `hf://organisation/name@revision`.
    pub(super) place: String,
    /// `model/config.json`.
    pub(super) path: Path,
}

impl Located {
    /// Splits an URL.
    pub(super) fn of(url: &str) -> Result<Self, Fault> {
        let wrong = |problem: &str| Fault::Lasting(problem.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it is no URL"))?;
        let parts = if scheme == "hf" { 2 } else { 1 };
        let end = rest.match_indices('/').nth(parts - 1).map_or(rest.len(), |(at, _)| at);
        let (place, path) = rest.split_at(end);
        if place.is_empty() || place.starts_with('/') {
            return Err(wrong("it names no bucket or server"));
        }
        // As written, but for what an URL must write otherwise.
        let path = Path::from_url_path(path).or_else(|_| Path::parse(path.trim_matches('/')));
        let path = path.map_err(|error| Fault::Lasting(error.to_string()))?;
        Ok(Self { place: format!("{scheme}://{place}"), path })
    }
}

/// What the environment says beside what the stores' own libraries look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// Where the hub is.
    pub(super) hub: Option<String>,
    /// The bearer token of its user.
    pub(super) token: Option<String>,
    /// What is asked in place of S3.
    #[cfg(test)]
    pub(super) bucket: Option<super::bucket::Bucket>,
}

/// As this process finds it.
pub(super) fn environment() -> Environment {
    let set = |name: &str| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    Environment {
        hub: set("HF_ENDPOINT"),
        token: set("HF_TOKEN"),
        #[cfg(test)]
        bucket: None,
    }
}

/// What a client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Asking for bytes, which keep coming.
    Reading,
    /// Sending bytes, while which the server is silent.
    Writing,
}

/// The client of all requests of a kind. Its certificates are those of the machine, checked with the same library as everywhere in
/// Braid.
pub(super) fn client(purpose: Purpose, token: Option<&str>) -> Result<reqwest::Client, Fault> {
    let failed = |what: String| Fault::Lasting(format!("cannot set up HTTPS: {what}"));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| failed("the token is no header".into()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("braid/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(CONNECT);
    let builder = match purpose {
        Purpose::Reading => builder.read_timeout(SILENCE),
        Purpose::Writing => builder,
    };
    builder.build().map_err(|error| failed(error.to_string()))
}

/// Gives every store the same client.
#[derive(Debug, Clone)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A bucket, of which nothing is known.
fn bucket(store: Arc<impl ObjectStore + MultipartStore>) -> Shelf {
    let parts: Arc<dyn MultipartStore> = Arc::clone(&store) as Arc<dyn MultipartStore>;
    Shelf { store, parts: Some(parts), pinned: false, state: None, names: None, lists: true }
}

/// Comes to know a place. Nothing is asked of it yet, but for the commit of a repository.
pub(super) async fn shelf(place: &str, client: &reqwest::Client, environment: &Environment) -> Result<Shelf, Fault> {
    let connector = Connector(client.clone());
    // Tried again is here, and with a deadline, where a whole range is what is wanted.
    let once = || RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let scheme = place.split_once("://").map_or("", |(scheme, _)| scheme);
    #[cfg(test)]
    if let (Some(own), "s3") = (&environment.bucket, scheme) {
        return Ok(bucket(Arc::new(own.clone())));
    }
    Ok(match scheme {
        "s3" | "s3a" => bucket(Arc::new(
            AmazonS3Builder::from_env().with_url(place).with_http_connector(connector).with_retry(once()).build()?,
        )),
        "gs" => bucket(Arc::new(
            GoogleCloudStorageBuilder::from_env().with_url(place).with_http_connector(connector).with_retry(once()).build()?,
        )),
        "az" | "azure" | "abfs" | "abfss" | "adl" => bucket(Arc::new(
            MicrosoftAzureBuilder::from_env().with_url(place).with_http_connector(connector).with_retry(once()).build()?,
        )),
        "http" | "https" => {
            let store = HttpBuilder::new().with_url(place).with_http_connector(connector).with_retry(once()).build()?;
            Shelf { store: Arc::new(store), parts: None, pinned: false, state: None, names: None, lists: false }
        }
        "hf" => {
            let client = self::client(Purpose::Reading, environment.token.as_deref())?;
            let found = hub::find(place, &client, environment.hub.as_deref()).await?;
            let connector = Connector(client);
            let store = HttpBuilder::new().with_url(found.files).with_http_connector(connector).with_retry(once()).build()?;
            let (state, names) = (Some(found.commit), Some(found.names));
            Shelf { store: Arc::new(store), parts: None, pinned: true, state, names, lists: false }
        }
        other => {
            return Err(Fault::Lasting(format!("`{other}://` is none of s3://, gs://, az://, http://, https:// and hf://")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_place_and_a_path_there() {
        for (url, place, path) in [
            ("s3://bucket/a/config.json", "s3://bucket", "a/config.json"),
            ("s3://bucket", "s3://bucket", ""),
            ("https://host:81/a/b", "https://host:81", "a/b"),
            ("hf://org/name@main/config.json", "hf://org/name@main", "config.json"),
            ("hf://org/name@refs%2Fpr%2F1/x/y", "hf://org/name@refs%2Fpr%2F1", "x/y"),
        ] {
            let found = Located::of(url).unwrap();
            assert_eq!((found.place.as_str(), found.path.as_ref()), (place, path), "{url}");
        }
        for url in ["s3:///x", "/a/b"] {
            assert!(Located::of(url).is_err(), "{url}");
        }
    }
}
