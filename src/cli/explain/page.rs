//! An explanation for people, made of its JSON: the explanation of a gateway and one made here look the same.

use serde_json::Value;

use crate::cli::terminal;

/// The limit of lines of a shown body.
const BODY_LINES_MAX: usize = 40;

/// Returns the page of an explanation.
pub(super) fn page(told: &Value, color: bool) -> String {
    let mut page = Page { lines: Vec::new(), color };
    page.head(told);
    page.gates(told);
    page.routes(told);
    page.section("near misses", texts(told, "near_misses"));
    page.answer(told);
    page.outgoing(told);
    page.lines.join("\n")
}

struct Page {
    lines: Vec<String>,
    color: bool,
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    list(value, name).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Page {
    fn say(&mut self, line: impl AsRef<str>) {
        self.lines.push(terminal::harmless(line.as_ref()));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn section(&mut self, title: &str, lines: Vec<String>) {
        if !lines.is_empty() {
            self.lines.push(String::new());
            self.lines.push(title.to_owned());
            for line in lines {
                self.say(format!("  {line}"));
            }
        }
    }

    fn head(&mut self, told: &Value) {
        let outcome = text(told, "outcome");
        let is_good = matches!(outcome, "accepted" | "duplicate" | "handshake" | "filtered" | "quarantined");
        let what = [text(told, "source"), text(told, "event_type"), text(told, "delivery_id")];
        let what: Vec<&str> = what.into_iter().filter(|part| !part.is_empty()).collect();
        let head = format!("  {}  received {}", what.join(" "), text(told, "received_at"));
        let outcome = self.paint(if is_good { "32" } else { "31" }, outcome);
        self.lines.push(format!("{outcome}{}", terminal::harmless(&head)));
        if let Some(asked) = told.get("request") {
            let from = Some(text(asked, "sender")).filter(|sender| !sender.is_empty());
            let from = from.map_or_else(String::new, |sender| format!(" from {sender}"));
            self.say(format!(
                "  request    {} {}{}{from}",
                text(asked, "method"),
                text(asked, "host"),
                text(asked, "target")
            ));
        }
        // The decision at receipt, where it differs from the one now.
        if let Some(recorded) = told.get("recorded") {
            let now = told.get("verification").map(|says| text(says, "secret")).unwrap_or_default();
            let (outcome_then, by) = (text(recorded, "outcome"), text(recorded, "verified"));
            if !outcome_then.is_empty() && outcome_then != text(told, "outcome") {
                let status = recorded.get("status").and_then(Value::as_u64).unwrap_or_default();
                let why = Some(text(recorded, "why")).filter(|why| !why.is_empty());
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                self.say(format!("  recorded   {outcome_then} {status}{why}"));
            } else if !by.is_empty() && by != now {
                self.say(format!("  recorded   verified by the secret `{by}`"));
            }
        }
        if let Some(file) = told.get("under").and_then(Value::as_str) {
            self.say(format!("  under      {file}"));
        }
        if let Some(why) = told.get("why").and_then(Value::as_str) {
            self.say(format!("  why        {why}"));
        }
        for note in texts(told, "notes") {
            self.say(format!("  note       {note}"));
        }
    }

    fn gates(&mut self, told: &Value) {
        if let Some(says) = told.get("verification").filter(|says| !says.is_null()) {
            let by = match text(says, "secret") {
                "" => String::new(),
                secret => format!(" by the secret `{secret}`"),
            };
            let before = says.get("signed_before_secs").and_then(Value::as_u64);
            let before = before.map_or(String::new(), |secs| format!(", signed {secs} s before"));
            self.say(format!("  signature  {}{by}{before}", text(says, "verdict")));
            if let Some(url) = says.get("url").and_then(Value::as_str) {
                self.say(format!("             judged over the URL {url}"));
            }
        }
        if let Some(body) = told.get("body").and_then(Value::as_str) {
            self.say(format!("  body       {body}"));
        }
        match list(told, "problems") {
            [] => {}
            problems => {
                let schema = text(told, "schema");
                let of_routes = problems.iter().all(|problem| text(problem, "message").starts_with("route "));
                match (of_routes, schema) {
                    (true, _) => self.say("  kept back  no route takes it, and what failed may be mended"),
                    (false, "") => self.say("  payload    not as it should be"),
                    (false, schema) => self.say(format!("  payload    {schema}")),
                }
                for problem in problems {
                    let place = Some(text(problem, "pointer")).filter(|place| !place.is_empty());
                    let place = place.map_or(String::new(), |place| format!("{place}: "));
                    self.say(format!("               {place}{}", text(problem, "message")));
                }
            }
        }
        let limits: Vec<String> = list(told, "limits").iter().map(limit).collect();
        for (index, line) in limits.iter().enumerate() {
            self.say(format!("  {:9}  {line}", if index == 0 { "limits" } else { "" }));
        }
    }

    fn routes(&mut self, told: &Value) {
        let routes = list(told, "routes");
        let mut lines = Vec::new();
        for says in routes {
            let to: Vec<&str> = list(says, "to").iter().filter_map(Value::as_str).collect();
            let (name, to) = (text(says, "route"), to.join(", "));
            let wanted = texts(says, "events").join(", ");
            let line = match text(says, "verdict") {
                "matched" => format!("{name}: wants it, for {to}"),
                "other_type" => format!("{name}: wants other types ({wanted})"),
                "condition_false" => format!("{name}: its condition is false"),
                "not_judged" => format!(
                    "{name}: unknown, because the condition needs the body, which was not captured (would go to {to})"
                ),
                "key_failed" => format!("{name}: a key failed, so it takes nothing"),
                "event_failed" => format!("{name}: the event's type or id could not be read, so it takes nothing"),
                _ => format!("{name}: its condition failed, so it takes nothing"),
            };
            lines.push(line);
            lines.extend(says.get("error").and_then(Value::as_str).map(|error| format!("  {error}")));
            if text(says, "verdict") != "other_type" {
                lines.extend(says.get("when").filter(|when| !when.is_null()).map(condition).unwrap_or_default());
            }
        }
        if lines.is_empty() && !text(told, "source").is_empty() {
            lines.push("no route listens to this source".to_owned());
        }
        self.section("routes", lines);
    }

    fn answer(&mut self, told: &Value) {
        let Some(answer) = told.get("answer").filter(|answer| !answer.is_null()) else { return };
        let status = answer.get("status").and_then(Value::as_u64).unwrap_or_default();
        let mut lines = vec![format!("{status}, by {}", text(answer, "because"))];
        lines.extend(headers(answer));
        lines.extend(Some(text(answer, "body")).filter(|body| !body.is_empty()).map(str::to_owned));
        self.section("answer", lines);
    }

    fn outgoing(&mut self, told: &Value) {
        for sent in list(told, "outgoing") {
            let targets = texts(sent, "targets").join(" or ");
            let what = format!("{} {targets}{}", text(sent, "method"), text(sent, "path"));
            let mut lines = vec![format!("route {}{}", text(sent, "route"), key(sent))];
            if let Some(error) = sent.get("error").and_then(Value::as_str) {
                lines.push(format!("nothing is sent: {error}"));
            }
            let withheld = texts(sent, "withheld").join(", ");
            if !withheld.is_empty() {
                lines.push(format!("not forwarded: {withheld}"));
            }
            lines.extend(headers(sent));
            lines.push(String::new());
            lines.extend(body(sent.get("body")));
            self.section(&terminal::harmless(&format!("to {}: {what}", text(sent, "destination"))), lines);
        }
    }
}

/// Returns a line such as `each sender: 50/s, 1000 at once; 999 left`.
fn limit(limit: &Value) -> String {
    let of = match (text(limit, "of"), limit.get("per_ip").and_then(Value::as_bool)) {
        ("sender", _) => "each sender",
        ("total", _) => "all senders",
        (_, Some(true)) => "each sender to the source",
        _ => "the source",
    };
    let per_second = limit.get("per_second").and_then(Value::as_f64).unwrap_or_default();
    let rate = [(1.0, "s"), (60.0, "m"), (3600.0, "h")].map(|(secs, unit)| (per_second * secs, unit));
    let (count, unit) = rate.into_iter().find(|(count, _)| *count >= 1.0).unwrap_or((per_second * 3600.0, "h"));
    let burst = limit.get("burst").and_then(Value::as_u64).unwrap_or_default();
    let left = match limit.get("left").and_then(Value::as_u64) {
        Some(0) => "; none left now".to_owned(),
        Some(left) if left == burst => "; nothing spent now".to_owned(),
        Some(left) => format!("; {left} left now"),
        None => String::new(),
    };
    // Rates are whole numbers in a span: an almost whole count is a rounding error, others keep two digits.
    let count = if (count - count.round()).abs() < 1e-3 { format!("{count:.0}") } else { format!("{count:.2}") };
    format!("{of}: {count}/{unit}, {burst} at once{left}")
}

fn key(sent: &Value) -> String {
    sent.get("order_key").and_then(Value::as_str).map_or(String::new(), |key| format!(", in order by `{key}`"))
}

fn headers(value: &Value) -> Vec<String> {
    let pair = |pair: &Value| Some(format!("{}: {}", pair.get(0)?.as_str()?, pair.get(1)?.as_str()?));
    list(value, "headers").iter().filter_map(pair).collect()
}

fn body(body: Option<&Value>) -> Vec<String> {
    let Some(body) = body else { return Vec::new() };
    let shown = match (body.get("json"), body.get("text"), body.get("base64")) {
        (Some(json), _, _) => serde_json::to_string_pretty(json).unwrap_or_default(),
        (_, Some(text), _) => text.as_str().unwrap_or_default().to_owned(),
        (_, _, Some(encoded)) => format!("base64: {}", encoded.as_str().unwrap_or_default()),
        _ => String::new(),
    };
    let mut lines: Vec<String> = shown.lines().take(BODY_LINES_MAX).map(str::to_owned).collect();
    let more = shown.lines().count().saturating_sub(BODY_LINES_MAX);
    if more > 0 {
        lines.push(format!("… {more} lines more; --format json has all"));
    }
    lines
}

/// Returns the lines of a condition: each part with its result, the decisive ones marked, and the values that they saw.
fn condition(when: &Value) -> Vec<String> {
    let mut lines: Vec<String> =
        text_of(when, "error").map(|error| format!("    error: {error}")).into_iter().collect();
    for part in list(when, "parts") {
        let is_decisive = part.get("decisive").and_then(Value::as_bool).unwrap_or_default();
        let gave = text_of(part, "error").unwrap_or(match text(part, "gave") {
            "not_reached" => "not reached",
            gave => gave,
        });
        let written = text(part, "text").split_whitespace().collect::<Vec<_>>().join(" ");
        lines.push(format!("  {} {written}: {gave}", if is_decisive { '>' } else { ' ' }));
        let values = list(part, "values").iter();
        lines.extend(values.map(|seen| format!("        {} = {}", text(seen, "path"), text(seen, "value"))));
    }
    lines
}

fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}
