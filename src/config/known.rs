//! Facts about keys beyond their types: the keys of the format that this version does not support, an example for each
//! key that people get wrong, and the nearest name to a misspelt one.

use super::spans::Seg;

/// Returns the name in `known` that is most like `name`, when one is like it at all.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let normal = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let name = normal(name);
    // A third of the letters may differ; with more differences it is another word.
    let allowed = name.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| {
            let other = normal(candidate);
            let distance = strsim::damerau_levenshtein(&name, &other);
            // `limit` for `rate_limit`, `directory` for `dir`, `retries` for `retry`: a part of the right word.
            let is_stem = name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count() >= 4;
            let is_part =
                is_stem || (name.len() >= 4 && other.contains(&name)) || (other.len() >= 3 && name.starts_with(&other));
            (if is_part { distance.min(allowed) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Keys of the format that this version does not support; `*` stands for any name.
const UNSUPPORTED: &[&[&str]] =
    &[&["buffer", "engine"], &["defaults", "destination", "balance"], &["defaults", "destination", "health"]];

/// Returns whether the key at `path` belongs to the format, but not yet to this version.
pub(super) fn is_unsupported(path: &[Seg<'_>]) -> bool {
    UNSUPPORTED.iter().any(|pattern| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(part, seg)| *part == "*" || *seg == Seg::Key(part))
    })
}

/// Examples of keys, by the key at the end of a path; `parent.key` where the key means another thing there.
const EXAMPLES: &[(&str, &str)] = &[
    ("version", "version: 1"),
    ("include", "include: [routes.d/*.yaml]"),
    ("address", "address: 0.0.0.0:8443"),
    ("listen", "listen: 127.0.0.1:8900"),
    ("threads", "threads: auto"),
    ("data_dir", "data_dir: /var/lib/hookgate"),
    ("trusted_proxies", "trusted_proxies: [10.0.0.0/8]"),
    ("log", "log: {format: json, level: info}"),
    ("tracing", "tracing: {otlp: \"http://otel-collector:4317\", sample: 5%}"),
    ("otlp", "otlp: \"http://otel-collector:4317\""),
    ("sample", "sample: 5%"),
    ("public_url", "public_url: https://hooks.example.com"),
    ("token", "token: {file: /run/secrets/admin-token}"),
    ("tls", "tls: {cert: {file: tls.crt}, key: {file: tls.key}}"),
    ("certificates", "certificates: [{cert: {file: tls.crt}, key: {file: tls.key}}]"),
    ("cert", "cert: {file: /etc/hookgate/tls/tls.crt}"),
    ("key", "key: {file: /etc/hookgate/tls/tls.key}"),
    ("min_version", "min_version: \"1.2\""),
    ("limits", "limits: {connections: 20000, body: 1MiB}"),
    ("connections", "connections: 20000"),
    ("header_fields", "header_fields: 100"),
    ("target", "target: 8KiB"),
    ("keep_alive", "keep_alive: 75s"),
    ("tls_handshake", "tls_handshake: 10s"),
    ("connections_per_ip", "connections_per_ip: 100"),
    ("file", "file: /path/to/the/file"),
    ("serve", "serve: [livez, readyz, metrics]"),
    ("path", "path: /in/stripe"),
    ("host", "host: hooks.example.com"),
    ("provider", "provider: stripe"),
    ("secrets", "secrets: [{env: STRIPE_SECRET}]"),
    ("body", "body: {form: payload}"),
    ("limits.body", "body: 1MiB"),
    ("body_max", "body_max: 1MiB"),
    ("methods", "methods: [POST]"),
    ("content_types", "content_types: [application/json]"),
    ("rate_limit", "rate_limit: {rate: 100/s, burst: 400, per: source}"),
    ("rate", "rate: 100/s"),
    ("burst", "burst: 400"),
    ("allow_ips", "allow_ips: [github, 10.0.0.0/8]"),
    ("schemas", "schemas: {dir: schemas/stripe}"),
    ("schemas.events", "events: {push: schemas/github/push.json}"),
    ("dir", "dir: schemas/stripe"),
    ("event", "event: {type: body.type, id: body.id}"),
    ("dedup", "dedup: {window: 24h}"),
    ("window", "window: 24h"),
    ("deadline", "deadline: 2500ms"),
    ("enforce", "enforce: false"),
    ("forward_secret", "forward_secret: false"),
    ("answers", "answers: {bad_signature: 401}"),
    ("from", "from: stripe"),
    ("events", "events: [invoice.*, charge.refunded]"),
    ("when", "when: body.livemode"),
    ("to", "to: billing"),
    ("order_by", "order_by: body.repository.full_name"),
    ("on_error", "on_error: quarantine"),
    ("transform", "transform: {set: {status: '\"new\"'}, remove: [/customer/email]}"),
    ("transform.body", "body: '{\"text\": body.name}'"),
    ("js", "js: transforms/order.js"),
    ("numbers", "numbers: lossy"),
    ("format", "format: cloudevents"),
    ("sign", "sign: {type: standard-webhooks, secrets: [{file: /run/secrets/internal-signing}]}"),
    ("url", "url: http://billing:8080/hooks"),
    ("targets", "targets: [{url: http://billing-0:8080/hooks}, {url: http://billing-1:8080/hooks}]"),
    ("weight", "weight: 2"),
    ("balance", "balance: {by: consistent_hash, key: body.customer}"),
    ("by", "by: round_robin"),
    ("health", "health: {path: /healthz, interval: 5s, timeout: 1s}"),
    ("health.path", "path: /healthz"),
    ("ca", "ca: {file: /etc/ssl/internal-ca.pem}"),
    ("client_cert", "client_cert: {file: /run/secrets/client.crt}"),
    ("client_key", "client_key: {file: /run/secrets/client.key}"),
    ("server_name", "server_name: billing.internal"),
    ("interval", "interval: 5s"),
    ("unhealthy_after", "unhealthy_after: 3"),
    ("healthy_after", "healthy_after: 2"),
    ("circuit_breaker", "circuit_breaker: {failures: 10, within: 30s, open_for: 20s}"),
    ("failures", "failures: 10"),
    ("within", "within: 30s"),
    ("open_for", "open_for: 20s"),
    ("timeout", "timeout: 10s"),
    ("connect_timeout", "connect_timeout: 2s"),
    ("retry", "retry: {max_attempts: 12, initial: 2s, max: 1h}"),
    ("max_attempts", "max_attempts: 12"),
    ("initial", "initial: 2s"),
    ("max", "max: 1h"),
    ("give_up_after", "give_up_after: 24h"),
    ("retry_on", "retry_on: [connect, timeout, 429, 5xx]"),
    ("respect_retry_after", "respect_retry_after: true"),
    ("dead_letter", "dead_letter: {keep: 14d}"),
    ("keep", "keep: 14d"),
    ("concurrency", "concurrency: 64"),
    ("headers", "headers: {Authorization: {file: /run/secrets/token, prefix: \"Bearer \"}}"),
    ("transform.headers", "headers: {set: {X-Team: billing}, remove: [X-Internal]}"),
    ("keep_answer", "keep_answer: 2KiB"),
    ("max_size", "max_size: 20GiB"),
    ("keep_delivered", "keep_delivered: 72h"),
];

/// Returns an example of `key`, or of its list for an element of one.
pub(super) fn example(key: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(known, _)| *known == key).map(|(_, example)| *example)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_was_probably_meant() {
        let known = ["rate_limit", "secrets", "path", "provider", "to"];
        for (written, meant) in [
            ("rate_limt", Some("rate_limit")),
            ("rate-limit", Some("rate_limit")),
            ("RateLimit", Some("rate_limit")),
            ("secret", Some("secrets")),
            ("pth", Some("path")),
            ("limit", Some("rate_limit")),
            ("provided_by", Some("provider")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }
}
