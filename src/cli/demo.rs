//! `hookgate demo`: a demonstration of the gateway's main job.
//!
//! A gateway runs on the project's own routes.yaml, with a receiver of its own. Real signed events go through the real
//! listener and the real buffer: good, tampered, stale, replayed, against the schema, and one whose receiver fails
//! twice. Each event gets a line, a table follows, and the gateway stays up for inspection. All files are in a folder
//! that is removed at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::demo_script::{self, Played};
use super::receiver::{ReceivedEvent, Receiver};
use super::{Exit, check, load, log, terminal};
use crate::server::{Server, Setup, Surroundings};
use crate::telemetry::Telemetry;

/// The limit of time for deliveries, after which the table is printed without them.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate demo\n\
    \x20 hookgate demo --once --listen 127.0.0.1:0")]
pub(crate) struct Args {
    /// The address and port on which the demo's gateway listens.
    #[arg(long, default_value = "127.0.0.1:8080", env = "HOOKGATE_LISTEN")]
    listen: String,
    /// Exit after the table instead of staying up.
    #[arg(long, env = "HOOKGATE_ONCE")]
    once: bool,
}

/// The files of the demo, as they are in the project.
const FILES: [(&str, &str); 5] = [
    ("routes.yaml", include_str!("../../routes.yaml")),
    ("schemas/github/push.json", include_str!("../../schemas/github/push.json")),
    ("schemas/github/pull_request.json", include_str!("../../schemas/github/pull_request.json")),
    ("schemas/github/issues.json", include_str!("../../schemas/github/issues.json")),
    ("schemas/stripe/invoice.paid.json", include_str!("../../schemas/stripe/invoice.paid.json")),
];

pub(crate) fn run(args: &Args) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (Ok(runtime), Ok(folder)) = (runtime, tempfile::tempdir()) else {
        terminal::tell("hookgate: cannot start: no threads or no temporary folder");
        return Exit::Failed;
    };
    let exit = runtime.block_on(demo(args, &folder));
    drop(runtime);
    exit
}

async fn demo(args: &Args, folder: &TempDir) -> Exit {
    let telemetry = Telemetry::new();
    // The demo prints its own lines; only errors are logged.
    let quiet = crate::config::raw::Log {
        format: Some(crate::config::raw::LogFormat::Human),
        level: Some(crate::config::raw::LogLevel::Error),
    };
    let _logging = log::start(Some(&quiet), &telemetry);
    let receiver = match Receiver::start().await {
        Ok(receiver) => receiver,
        Err(error) => {
            terminal::tell(format!("hookgate: the receiver cannot listen: {error}"));
            return Exit::Failed;
        }
    };
    let Some(setup) = setup(args, folder.path(), receiver.address()) else { return Exit::Config };
    // The second reading of the file is for signing: the first one belongs to the gateway.
    let Some(signing) = self::setup(args, folder.path(), receiver.address()) else { return Exit::Config };
    let server = match Server::start(setup, telemetry, Surroundings::default()).await {
        Ok(server) => server,
        Err(error) => {
            terminal::tell(format!("hookgate: {error}\nAnother program may listen there; try --listen 127.0.0.1:0"));
            return Exit::Failed;
        }
    };
    let Some(address) = server.addresses().get("public").copied() else { return Exit::Failed };
    terminal::say(format!(
        "gateway on http://{address}, services on http://{}, rules: routes.yaml\n",
        receiver.address()
    ));
    let played = demo_script::play(&signing.live.rules.lanes, address).await;
    let seen = receiver.settle(&demo_script::expected(&played), PATIENCE).await;
    print(&played, &seen);
    let all_right = demo_script::is_as_told(&played, &seen);
    if !args.once {
        invite(&server, address).await;
    }
    server.stop().await;
    if all_right { Exit::Ok } else { Exit::Failed }
}

/// Reads the project's routes.yaml in a folder of its own, with secrets and addresses of the demo.
fn setup(args: &Args, folder: &Path, services: std::net::SocketAddr) -> Option<Setup> {
    for (name, text) in FILES {
        let path = folder.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        if let Err(error) = made {
            terminal::tell(format!("hookgate: cannot write {}: {error}", path.display()));
            return None;
        }
    }
    let services = format!("http://{services}");
    let data = folder.join("data").display().to_string();
    let env = |name: &str| match name {
        "HOOKGATE_LISTEN" => Some(args.listen.clone()),
        "HOOKGATE_ADMIN" => Some("127.0.0.1:0".to_owned()),
        "HOOKGATE_DATA" => Some(data.clone()),
        "SERVICES" => Some(services.clone()),
        "GITHUB_WEBHOOK_SECRET" => Some("demo-github-secret".to_owned()),
        "STRIPE_WEBHOOK_SECRET" => Some("whsec_demo_stripe_secret".to_owned()),
        "SHOP_WEBHOOK_SECRET" => Some("demo-shop-secret".to_owned()),
        _ => None,
    };
    let mut checked = load::load_with(&folder.join("routes.yaml"), &env).ok()?;
    let setup = checked.setup.take();
    if setup.is_none() {
        check::report(&checked);
    }
    setup
}

fn print(played: &[Played], seen: &BTreeMap<String, Vec<ReceivedEvent>>) {
    let empty = Vec::new();
    for one in played {
        let arrived = one.event_id.as_ref().and_then(|id| seen.get(id)).unwrap_or(&empty);
        let arrows: Vec<String> = arrived.iter().map(ReceivedEvent::told).collect();
        let arrows = if arrows.is_empty() { one.remark.to_owned() } else { format!("→ {}", arrows.join(", ")) };
        terminal::say(format!(
            "{:<7} {:<29} {:<22} {:<24} {arrows}",
            one.provider,
            one.event,
            one.told,
            one.answered()
        ));
    }
    let mut table: BTreeMap<String, u32> = BTreeMap::new();
    for one in played {
        *table.entry(one.answered()).or_default() += 1;
    }
    terminal::say(format!("\n{:<28} events", "answer"));
    for (answer, events) in table {
        terminal::say(format!("{answer:<28} {events:>6}"));
    }
    let delivered = seen.values().flatten().filter(|one| one.delivered).count();
    let tries: u32 = seen.values().flatten().map(|one| one.tries).sum();
    terminal::say(format!(
        "\n{delivered} deliveries in {tries} attempts; every body byte-exact, every answer given after the event was on disk"
    ));
}

async fn invite(server: &Server, address: std::net::SocketAddr) {
    let admin = server.addresses().get(crate::server::ADMIN).map(ToString::to_string).unwrap_or_default();
    terminal::say(format!("\nThe gateway stays up; Ctrl-C ends it. Try:\n\n  curl http://{admin}/metrics"));
    terminal::say(demo_script::curl(address));
    if let Err(error) = tokio::signal::ctrl_c().await {
        terminal::tell(format!("hookgate: cannot wait for Ctrl-C: {error}"));
    }
}
