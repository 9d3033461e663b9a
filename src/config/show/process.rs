//! The effective values of the process: server, admin, listeners, buffer.

use super::origin::Origin;
use super::tree::{FilledValue, Tree};
use super::words::{rate, size, word};
use crate::buffer::Fsync;
use crate::config::check::{DELIVERED_KEEP, usual_body};
use crate::config::raw;
use crate::ingress::ListenerParams;
use crate::limit::Rate;
use crate::patience::spelled;
use crate::server::{ADMIN, Setup};

pub(super) fn fill(tree: &mut Tree, setup: &Setup, raw: &raw::File) {
    server(tree, setup, raw);
    if let Some(admin) = setup.pages.get(ADMIN) {
        tree.fill(&["admin", "listen"], admin.address.to_string(), &Origin::Default);
    }
    let body = written_body(tree, raw);
    for params in &setup.listeners {
        if let Some(listener) = tree.entry("listeners").and_then(|listeners| listeners.entry(&params.name)) {
            fill_listener(listener, params);
            match body.clone() {
                Some(written) => listener.graft(&["limits", "body"], written),
                None => listener.fill(&["limits", "body"], size(usual_body(raw)), &Origin::Default),
            }
        }
    }
    tree.fill(&["buffer", "max_size"], size(setup.buffer.bytes_max), &Origin::Default);
    let fsync = match setup.buffer.fsync {
        Fsync::Group => "group",
        Fsync::Os => "os",
        Fsync::Memory => "memory",
    };
    tree.fill(&["buffer", "fsync"], fsync, &Origin::Default);
    tree.fill(&["capture", "bodies"], "redacted", &Origin::Default);
    tree.fill(&["capture", "max_events"], setup.live.capture.events_max, &Origin::Default);
    tree.fill(&["buffer", "keep_delivered"], spelled(DELIVERED_KEEP), &Origin::Default);
}

fn server(tree: &mut Tree, setup: &Setup, raw: &raw::File) {
    // The number of threads depends on the machine.
    tree.fill(&["server", "threads"], "auto", &Origin::Default);
    tree.fill(&["server", "shutdown_grace"], spelled(setup.process.shutdown_grace), &Origin::Default);
    tree.fill(&["server", "data_dir"], setup.process.data_dir.display().to_string(), &Origin::Default);
    if let Some(tracing) = &setup.process.tracing {
        tree.fill(&["server", "tracing", "sample"], tracing.sample.to_string(), &Origin::Default);
    }
    let log = raw.server.log.clone().unwrap_or_default();
    for (key, usual) in
        [("format", word(log.format.unwrap_or_default())), ("level", word(log.level.unwrap_or_default()))]
    {
        if let Some(usual) = usual {
            tree.fill(&["server", "log", key], usual, &Origin::Default);
        }
    }
    let (per_sender, total) = setup.live.rules.gatekeeper.rates();
    for (key, usual) in [("per_sender", per_sender), ("total", total)] {
        throughput(tree, &["server", "limits", key], usual);
    }
}

fn throughput(tree: &mut Tree, path: &[&str], in_force: Rate) {
    let Some(text) = rate(in_force) else { return };
    tree.fill(&[path, &["rate"]].concat(), text, &Origin::Default);
    tree.fill(&[path, &["burst"]].concat(), in_force.burst.get(), &Origin::Default);
}

/// Returns the largest body of a source that sets none, where a listener sets it: it applies at all listeners.
pub(super) fn written_body(tree: &Tree, raw: &raw::File) -> Option<Tree> {
    let mut listeners = raw.listeners.iter();
    let is_usual = |listener: &raw::Listener| {
        listener.limits.as_ref().and_then(|limits| limits.body).is_some_and(|body| body.0 == usual_body(raw))
    };
    let (name, _) = listeners.find(|(_, listener)| is_usual(listener))?;
    let written = tree.at(&["listeners", name.as_str(), "limits", "body"])?;
    Some(written.clone().taken_over_from("listeners"))
}

fn fill_listener(listener: &mut Tree, params: &ListenerParams) {
    let limits = &params.limits;
    for (key, count) in [("connections", limits.connections), ("connections_per_ip", limits.connections_per_ip)] {
        listener.fill(&["limits", key], count, &Origin::Default);
    }
    listener.fill(&["limits", "headers"], size(limits.header_bytes_max as u64), &Origin::Default);
    listener.fill(&["limits", "header_fields"], limits.header_fields_max, &Origin::Default);
    listener.fill(&["limits", "target"], size(limits.target_bytes_max as u64), &Origin::Default);
    let times = [
        ("header_timeout", limits.header_timeout),
        ("body_timeout", limits.body_timeout),
        ("keep_alive", limits.keep_alive),
    ];
    for (key, time) in times {
        listener.fill(&["limits", key], spelled(time), &Origin::Default);
    }
    if let Some(tls) = &params.tls {
        listener.fill(&["limits", "tls_handshake"], spelled(limits.tls_handshake), &Origin::Default);
        let version = if tls.only_tls13 { "1.3" } else { "1.2" };
        listener.fill(&["tls", "min_version"], FilledValue::Text(version.to_owned()), &Origin::Default);
    }
}
