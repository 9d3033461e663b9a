//! What each gate costs on its own: the parts of the sum that `benches/gateway` shows.
//!
//! Still to fill, each on the recorded deliveries of `tests/payloads/github` (1 KB, 7.7 KB, 23.6 KB), each with the
//! floor that no code of ours can undercut beside it:
//!
//! - **verify**: the whole gate on a GitHub push, from headers and body to a verdict, with one secret and with two
//!   (the second one right); a missing, a malformed and a wrong signature. Floor: HMAC-SHA-256 over the same bytes.
//! - **parse + schema**: body to checked event: hygiene, parse, the event's own schema. A body that breaks the schema,
//!   its report included: it must stay within 1.5 times a valid one. Floor: `serde_json` to `IgnoredAny`.
//! - **commit**: 1, 8 and 64 events of 7.7 KB appended and synced, time and events per second. Floor: one `write` and
//!   one `fdatasync` of the same bytes on the same disk.

use criterion::Criterion;

fn main() {
    Criterion::default().configure_from_args().final_summary();
}
