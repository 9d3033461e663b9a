//! The page of providers, from what the program says of each row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use super::{cell, hookgate, is_current, read};

const PAGE: &str = "docs/reference/providers.md";

/// Sources in one file; `check` shows at most a hundred problems.
const AT_ONCE: usize = 20;

const HEAD: &str = "# Providers\n\n\
    From the rows in `src/provider/rows/`, one file for each provider. `hookgate providers NAME` prints the same with the \
    source and month of each fact, `hookgate answers NAME` what the provider is answered.\n\n\
    **Proof** says how well the signature scheme is proven:\n\n\
    - `sdk`: the provider's own SDK agrees with it;\n\
    - `docs`: read in the provider's documentation, or in two implementations that quote it;\n\
    - `list`: one third-party table says so. Compare with the provider's page first;\n\
    - `memory`: nobody has read it anywhere. Compare with the provider's page first.\n\n\
    The secret is the one that the provider shows where you register the endpoint, unless the section says otherwise.\n";

fn text<'a>(facts: &'a Value, key: &str) -> &'a str {
    facts[key].as_str().unwrap_or_default()
}

fn texts(value: &Value, between: &str) -> String {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(between)
}

/// The keys that a source of a provider needs, found by asking `check` until it misses nothing.
#[derive(Default)]
struct Needs {
    secret: bool,
    public_url: bool,
    context: BTreeMap<String, String>,
    handshake: Option<&'static str>,
}

impl Needs {
    /// Returns the YAML to paste under `sources:`.
    fn yaml(&self, name: &str) -> String {
        let mut yaml = format!("  {name}:\n    path: /in/{name}\n    provider: {name}\n");
        if self.secret {
            let variable = name.to_uppercase().replace('-', "_");
            writeln!(yaml, "    secrets: [{{env: {variable}_WEBHOOK_SECRET}}]").unwrap();
        }
        if self.public_url {
            yaml.push_str("    public_url: https://hooks.example.com\n");
        }
        let context: Vec<String> = self.context.keys().map(|label| value(name, label)).collect();
        if !context.is_empty() {
            writeln!(yaml, "    context: {{{}}}", context.join(", ")).unwrap();
        }
        match self.handshake {
            Some(CAPTURED) => {
                let file = format!("secrets/{name}.key");
                writeln!(yaml, "    handshake: {{armed_until: \"{UNTIL}\", capture_to: {file}}}").unwrap();
            }
            Some(ARMED) => writeln!(yaml, "    handshake: {{armed_until: \"{UNTIL}\"}}").unwrap(),
            Some(_) | None => {}
        }
        yaml
    }

    /// Returns the text that says where the secret comes from.
    fn secret(&self) -> &'static str {
        match (self.secret, self.handshake) {
            (_, Some(CAPTURED)) => "comes with the provider's first request, while the source is armed",
            (true, _) => "shown by the provider where you register the endpoint",
            (false, _) => "none: the provider publishes its keys, and the gateway fetches them",
        }
    }

    /// Adds what the problem says is missing; returns whether it was such a problem.
    fn learn(&mut self, problem: &Value) -> bool {
        let message = text(problem, "message");
        match text(problem, "code") {
            "missing_secret" => !std::mem::replace(&mut self.secret, true),
            "missing_key" if message.contains("`public_url`") => !std::mem::replace(&mut self.public_url, true),
            "missing_key" if text(problem, "help").contains("`context: {") => {
                let label = message.split('`').nth(1).unwrap().to_owned();
                let because = message.split_once(": ").map_or("it is part of the proof", |(_, because)| because);
                self.context.insert(label, because.to_owned()).is_none()
            }
            _ => false,
        }
    }
}

/// The end of arming in the file that is checked; the page leaves it to the reader.
const UNTIL: &str = "2099-12-31T12:00:00Z";
const CAPTURED: &str = "captured";
const ARMED: &str = "armed";

/// A member of `context`; a secret stands at its place and not in the file.
fn value(name: &str, label: &str) -> String {
    if label.contains("secret") {
        let variable = format!("{name}_{label}").to_uppercase();
        return format!("{label}: {{env: {variable}}}");
    }
    format!("{label}: \"…\"")
}

/// Returns the row's text on handshakes that need arming.
fn handshake(name: &str) -> Option<&'static str> {
    let row: serde_yaml::Value = serde_yaml::from_str(&read(&format!("src/provider/rows/{name}.yaml"))).unwrap();
    let all = &row["handshake"];
    let all: Vec<&serde_yaml::Value> = all.as_sequence().map_or_else(|| vec![all], |all| all.iter().collect());
    if all.iter().any(|one| !one["capture"].is_null()) {
        return Some(CAPTURED);
    }
    all.iter().any(|one| one["armed"] == true).then_some(ARMED)
}

/// A whole file with these sources, and the line at which each begins.
fn file(sources: &[(&str, Needs)]) -> (String, Vec<(usize, usize)>) {
    let mut text = "version: 1\nlisteners: {public: {address: \"127.0.0.1:0\"}}\nsources:\n".to_owned();
    let mut places = Vec::new();
    for (index, (name, needs)) in sources.iter().enumerate() {
        places.push((text.lines().count() + 1, index));
        text.push_str(&needs.yaml(name));
    }
    let names: Vec<&str> = sources.iter().map(|(name, _)| *name).collect();
    writeln!(text, "routes: {{all: {{from: [{}], to: app}}}}", names.join(", ")).unwrap();
    text.push_str("destinations: {app: {url: \"http://127.0.0.1:9/\"}}\n");
    (text, places)
}

/// Asks `check` what these sources must say; at the end the file has nothing wrong but its secrets, which are not here.
fn asked<'a>(names: &[&'a str]) -> Vec<(&'a str, Needs)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.yaml");
    let needs = |name| Needs { handshake: handshake(name), ..Needs::default() };
    let mut sources: Vec<(&str, Needs)> = names.iter().map(|name| (*name, needs(*name))).collect();
    loop {
        let (text, places) = file(&sources);
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        let output = command.env_clear().args(["check", "--format", "json"]).arg(&path).output().unwrap();
        let problems: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let mut has_learnt = false;
        for problem in &problems {
            let line = usize::try_from(problem["line"].as_u64().unwrap_or_default()).unwrap();
            let at = places.iter().rev().find(|(begin, _)| *begin <= line).map(|(_, index)| *index);
            has_learnt |= at.is_some_and(|index| sources[index].1.learn(problem));
        }
        if !has_learnt {
            hookgate(&["graph", path.to_str().unwrap()]);
            return sources;
        }
    }
}

fn section(page: &mut String, facts: &Value, needs: &Needs) {
    let name = text(facts, "name");
    let yaml = needs.yaml(name).replace(UNTIL, "YYYY-MM-DDThh:mm:ssZ");
    write!(page, "\n## {name}\n\n{}\n\n```yaml\n{}```\n\n", cell(text(facts, "title")), yaml).unwrap();
    let mut row = |label: &str, value: &str| {
        if !value.is_empty() {
            writeln!(page, "- **{label}:** {}", cell(value)).unwrap();
        }
    };
    row("Proof", text(facts, "proof"));
    row("Verified by", text(facts, "verified_by"));
    row("Secret", needs.secret());
    for (label, because) in &needs.context {
        row(&format!("`context.{label}`"), because);
    }
    row("Rotation", text(facts, "rotation"));
    let code = |texts: String| if texts.is_empty() { texts } else { format!("`{texts}`") };
    row("Event type", &code(texts(&facts["event"], "`, or `")));
    row("Delivery id", &code(texts(&facts["delivery"], "`, or `")));
    row("Sends again", text(facts, "retry"));
    for rule in facts["disable"].as_array().into_iter().flatten() {
        row("Stops", &format!("after {}: {}", text(rule, "rule"), text(rule, "then")));
    }
    row("Order", text(facts, "order"));
    row("Recovery", text(facts, "recovery"));
    row("Notes", text(facts, "notes"));
    row("Source", text(facts, "source"));
}

#[test]
fn the_page_of_providers_is_what_the_rows_say() {
    let all: Vec<Value> = serde_json::from_str(&hookgate(&["providers", "--format", "json"])).unwrap();
    assert!(all.len() > 240, "{}", all.len());
    let mut page = HEAD.to_owned();
    page.push_str("\n| Provider | Name | Proof | Verified by |\n|---|---|---|---|\n");
    for facts in &all {
        let (name, title, proof) = (text(facts, "name"), cell(text(facts, "title")), text(facts, "proof"));
        writeln!(page, "| {title} | [`{name}`](#{name}) | {proof} | {} |", cell(text(facts, "verified_by"))).unwrap();
    }
    for some in all.chunks(AT_ONCE) {
        let names: Vec<&str> = some.iter().map(|facts| text(facts, "name")).collect();
        for (facts, (_, needs)) in some.iter().zip(asked(&names)) {
            section(&mut page, facts, &needs);
        }
    }
    is_current(PAGE, &page);
}
