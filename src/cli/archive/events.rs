//! `hookgate events`: its subcommands, and the list of events.

use serde_json::Value;

use super::filter::{FilterArgs, Outcome};
use super::json::{DeliveryJson, EventJson, moment, or_dash, read};
use super::pages::{List, PageRange};
use super::table::{TableRow, table};
use super::{Asked, ended, replay, show};
use crate::cli::Exit;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List stored events, the newest first.
    List(EventsListArgs),
    /// Show one event (facts, headers, deliveries with their attempts, body), or the command that sends it again.
    Show(show::Args),
    /// Deliver one event again, or many.
    Replay(replay::Args),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate events list\n\
    \x20 hookgate events list --since 1h --outcome dead_lettered\n\
    \x20 hookgate events list --type 'invoice.*' --where 'body.data.object.amount_paid >= 100000'")]
pub(in crate::cli) struct EventsListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events with this outcome of a delivery. `any` lists what was not stored as well.
    #[arg(long, value_enum, env = "HOOKGATE_OUTCOME")]
    outcome: Option<Outcome>,
    #[command(flatten)]
    reach: PageRange,
    #[command(flatten)]
    asked: Asked,
}

pub(in crate::cli) const EVENTS: List = List { path: "/api/v1/events", member: "events", one: "event" };

pub(in crate::cli) fn run(command: &Command) -> Exit {
    ended(match command {
        Command::List(args) if args.outcome == Some(Outcome::Any) => {
            let of = |outcome| args.filter.wanted().outcome(outcome);
            let lists = [None, Some(Outcome::Filtered), Some(Outcome::Refused)].map(of);
            EVENTS.print_together(&args.asked, &lists, &args.reach, lines)
        }
        Command::List(args) => {
            let wanted = args.filter.wanted().outcome(args.outcome);
            EVENTS.print(&args.asked, &wanted, &args.reach, lines)
        }
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args),
    })
}

fn lines(events: &[Value]) -> Vec<String> {
    let rows: Vec<TableRow> = events.iter().filter_map(read::<EventJson>).map(|event| row(&event)).collect();
    let columns = [("TIME (UTC)", 14), ("ID", 36), ("SOURCE", 16), ("TYPE", 24), ("OUTCOME", 18)];
    table(&columns, "DELIVERIES", &rows)
}

fn row(event: &EventJson) -> TableRow {
    let cells = [
        moment(&event.received_at),
        or_dash(&event.id),
        or_dash(&event.source),
        or_dash(&event.r#type),
        or_dash(&event.outcome),
    ];
    TableRow { cells: cells.into(), pieces: event.deliveries.iter().map(DeliveryJson::short).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_of_events_fits_and_obeys_nobody() {
        let events = [
            json!({"id": "0199f3a1-0000-7000-8000-000000000001", "source": "github", "type": "push", "outcome": "delivered",
                "received_at": "2026-11-21T09:16:30.123Z", "deliveries": [
                    {"copy": 0, "destination": "ci", "outcome": "delivered", "attempts": 1, "next_at": null, "ended_at": "2026-11-21T09:16:30.200Z", "cause": null, "replays": 1}]}),
            json!({"id": "0199f3a1-0000-7000-8000-000000000002", "source": "stripe", "type": "invoice.paid\u{1b}[2J", "outcome": "queued",
                "received_at": "2026-11-20T23:59:59.000Z", "deliveries": [
                    {"destination": "billing", "outcome": "dead_lettered", "attempts": 5, "cause": "attempts_exhausted", "ended_at": "2026-11-21T00:00:01.000Z"},
                    {"destination": "ci", "outcome": "queued", "attempts": 3, "next_at": "2026-11-21T14:02:11.500Z"}]}),
            json!({"id": "0199f3a1-0000-7000-8000-000000000003", "source": null, "type": null, "outcome": "unreadable", "received_at": null, "deliveries": []}),
        ];
        let wanted = "\
TIME (UTC)      ID                                    SOURCE  TYPE              OUTCOME     DELIVERIES
11-21 09:16:30  0199f3a1-0000-7000-8000-000000000001  github  push              delivered   ci:delivered(1, replay 1)
11-20 23:59:59  0199f3a1-0000-7000-8000-000000000002  stripe  invoice.paid\u{fffd}[2J  queued
                billing:dead_lettered(5, attempts_exhausted) ci:queued(3, next 14:02:11)
                0199f3a1-0000-7000-8000-000000000003  -       -                 unreadable";
        assert_eq!(lines(&events).join("\n"), wanted);
    }
}
