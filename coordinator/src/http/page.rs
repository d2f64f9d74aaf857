//! The page for a browser: three files that are part of the program. It asks for `fleet.json` once a second; see [`fleet`](super::fleet).

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    response::IntoResponse,
    routing::get,
};

/// The page runs its own script and asks its own server; nothing that a label smuggles in can do more.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/`, and what it loads.
pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(async || asset("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/page.css", get(async || asset("text/css; charset=utf-8", include_str!("page/page.css"))))
        .route("/page.js", get(async || asset("text/javascript; charset=utf-8", include_str!("page/page.js"))))
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    // A newer program brings a newer page: it is asked for again each time.
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, text)
}
