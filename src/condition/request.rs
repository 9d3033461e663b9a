//! The request that the tests of conditions share; each test brings the body.

use http::{HeaderMap, HeaderValue};
use serde_json::Value as Json;

use super::View;

/// Returns the result of `look` on the request with this body.
pub(super) fn over<T>(body: Option<&Json>, look: impl FnOnce(&View<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    headers.append("X-Shop-Topic", HeaderValue::from_static("orders/create"));
    headers.append("X-Shop-Topic", HeaderValue::from_static("second"));
    look(&View {
        body,
        received: &(),
        headers: &headers,
        event_type: "push",
        event_id: "e1",
        source: "github",
        method: "POST",
        path: "/in/github",
        query: "a=1",
        params: &[("tenant".to_owned(), "acme".to_owned())],
    })
}
