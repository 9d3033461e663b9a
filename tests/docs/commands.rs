//! The pages of commands and of variables, from the help of the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{cell, hookgate, is_current, read};

const COMMANDS: &str = "docs/reference/commands.md";
const ENVIRONMENT: &str = "docs/reference/environment.md";

/// The name of each command (`events list`) with its help, in the order of the help.
fn helps() -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&[], &mut found);
    found
}

fn collect(path: &[&str], found: &mut Vec<(String, String)>) {
    let help = hookgate(&[path, &["--help"]].concat());
    if !path.is_empty() {
        found.push((path.join(" "), help.clone()));
    }
    for name in subcommands(&help) {
        collect(&[path, &[name]].concat(), found);
    }
}

/// The names in the list of commands of a help.
fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help")
}

/// Returns the first paragraph of a command's help.
fn says(help: &str) -> String {
    cell(help.split("\n\n").next().unwrap_or_default()).trim_end_matches('.').to_owned()
}

#[test]
fn the_page_of_commands_is_what_the_program_says() {
    let mut page = "# Commands\n\n\
        Data goes to stdout, messages to stderr. `-` is stdin. Every flag has a variable: [exit codes and \
        environment](environment.md).\n\n| Command | Does |\n|---|---|\n"
        .to_owned();
    let helps = helps();
    for (name, help) in &helps {
        writeln!(page, "| [`{name}`](#hookgate-{}) | {} |", name.replace(' ', "-"), says(help)).unwrap();
    }
    for (name, help) in &helps {
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(page, "\n## hookgate {name}\n\n```text\n{}\n```\n", help.join("\n").trim()).unwrap();
    }
    is_current(COMMANDS, &page);
}

/// The variables of a help, each with its flag.
fn variables(help: &str) -> Vec<(String, String)> {
    let mut flag = "";
    let mut found = Vec::new();
    for line in help.lines().map(str::trim) {
        let is_note = ["- ", "[env", "[default", "[possible"].iter().any(|start| line.starts_with(start));
        if line.starts_with(['-', '[', '<']) && !is_note {
            flag = line.split("  ").next().unwrap_or_default();
        }
        if let Some((_, rest)) = line.split_once("[env: ") {
            let name = rest.split(['=', ']']).next().unwrap_or_default();
            found.push((name.to_owned(), flag.split("[env").next().unwrap_or_default().trim().to_owned()));
        }
    }
    found
}

#[test]
fn the_page_of_variables_is_what_the_program_says() {
    let mut page = "# Exit codes and environment\n\n## Exit codes\n\n| Code | Means |\n|---|---|\n".to_owned();
    let source = read("src/cli/mod.rs");
    for (name, meaning) in EXITS {
        let code = source.split_once(&format!("Exit::{name} => ")).unwrap_or_else(|| panic!("no exit {name}")).1;
        writeln!(page, "| {} | {meaning} |", code.split(',').next().unwrap()).unwrap();
    }
    let exits = source.split_once("match exit {").unwrap().1.split('}').next().unwrap().matches("Exit::").count();
    assert_eq!(exits, EXITS.len(), "each exit code stands on the page");

    page.push_str(
        "\n## Environment\n\nA flag on the command line stands over its variable.\n\
         `${VAR}` in `routes.yaml` reads any variable, and `{env: NAME}` names the variable of a secret: see \
         [Configuration files](../guides/configuration.md) and [Secrets](../guides/secrets.md).\n\
         `HOOKGATE_LOG` is a filter of log lines, such as `hookgate::access=off`.\n\
         `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_RESOURCE_ATTRIBUTES` are read for [traces](../operate/monitoring.md#traces).\n\n\
         | Variable | Flag or argument | Commands |\n|---|---|---|\n",
    );
    let mut uses: BTreeMap<String, (BTreeSet<String>, Vec<String>)> = BTreeMap::new();
    for (command, help) in helps() {
        for (variable, flag) in variables(&help) {
            let (flags, commands) = uses.entry(variable).or_default();
            flags.insert(format!("`{flag}`"));
            commands.push(format!("`{command}`"));
        }
    }
    for (variable, (flags, commands)) in uses {
        let flags: Vec<String> = flags.into_iter().map(|flag| cell(&flag)).collect();
        writeln!(page, "| `{variable}` | {} | {} |", flags.join(", "), commands.join(", ")).unwrap();
    }
    is_current(ENVIRONMENT, &page);
}

/// The exit codes by their name in the code.
const EXITS: [(&str, &str); 6] = [
    ("Ok", "done"),
    ("Failed", "it did not work; stderr says why"),
    ("Usage", "the command cannot be run as it was written"),
    (
        "Findings",
        "findings: a warning under `check --deny-warnings`, a failed case of `test`, a difference of `diff`, a secret in `secrets` that ends soon and is used",
    ),
    ("Unreachable", "no gateway answers"),
    ("Config", "the configuration is invalid"),
];
