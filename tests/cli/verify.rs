//! `hookgate verify`: a batch of cases, and one request by flags.

use serde_json::Value;

use super::{end, hookgate, root, run, run_with_input};

/// Cases that no verifier can tell apart: two forms with the same concatenation have the same signature at Twilio.
const UNDECIDABLE: [&str; 1] = ["param_boundary_shift"];

#[test]
fn every_vector_is_judged_rightly_and_printed_as_one_line() {
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("tests/vectors")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    // Handshakes have replies, not verdicts.
    files.retain(|file| !file.ends_with("handshakes.json"));
    files.sort();
    assert!(files.len() >= 12, "only {} files", files.len());
    let (mut judged, mut wrong) = (0, Vec::new());
    for file in files {
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let ended = end(hookgate(&["verify", "--batch"]).arg(&file)).with(0);
        let lines: Vec<&str> = ended.stdout.lines().collect();
        assert_eq!(lines.len(), cases.len(), "{}", file.display());
        for (case, line) in cases.iter().zip(lines) {
            let verdict: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| verdict[key].as_str().unwrap();
            let exact = format!(
                "{{\"provider\":{},\"case\":{},\"verdict\":\"{}\",\"reason\":\"{}\",\"secret\":{}}}",
                case["provider"],
                case["case"],
                text("verdict"),
                text("reason"),
                verdict["secret"]
            );
            assert_eq!(line, exact);
            let is_verified = text("verdict") == "verified";
            assert_eq!(is_verified, text("reason").is_empty(), "{line}");
            let skipped = case["neutral"] == true || case.get("limitation").is_some();
            // Published examples of providers that have no row yet.
            if !has_row(case["provider"].as_str().unwrap()) {
                assert_eq!(text("reason"), "unknown_provider", "{line}");
                continue;
            }
            if skipped || UNDECIDABLE.contains(&text("case")) {
                continue;
            }
            let expected = if case["gateway"].is_null() { &case["expect"] } else { &case["gateway"] };
            judged += 1;
            if is_verified != (expected == "valid") {
                wrong.push(format!("{}: {line}, expected {expected}", file.display()));
            }
        }
    }
    assert!(judged >= 240, "only {judged} cases were judged");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn has_row(provider: &str) -> bool {
    root().join("src/provider/rows").join(provider).with_extension("yaml").is_file()
}

#[test]
fn a_batch_comes_from_stdin_as_well_and_a_broken_one_fails() {
    let github = std::fs::read(root().join("tests/vectors/gitlab.json")).unwrap();
    assert_eq!(run_with_input(&["verify", "--batch", "-"], &github).with(0).stdout.lines().count(), 3);
    assert!(run_with_input(&["verify", "--batch", "-"], b"{}").with(1).stderr.contains("not a list of cases"));
    assert!(run(&["verify", "--batch", "no/such.json"]).with(1).stderr.contains("cannot read no/such.json"));
}

/// GitHub's own example: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>.
const SECRET: &str = "It's a Secret to Everybody";
const REQUEST: &str = "POST /in/github HTTP/1.1\r\nHost: h\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: \
                       sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\r\n\r\nHello, World!";

#[track_caller]
fn by_hand(secret: &str, request: &str, code: i32) -> (String, String) {
    let args = ["verify", "--provider", "github", "--secret", secret, "-"];
    let ended = run_with_input(&args, request.as_bytes()).with(code);
    (ended.stdout, ended.stderr)
}

#[test]
fn by_hand_says_whether_and_why() {
    assert_eq!(by_hand(SECRET, REQUEST, 0).0, "verified by secret 1\n");
    for (secret, request, why) in [
        ("another", REQUEST.to_owned(), "wrong_secret_or_body"),
        (SECRET, REQUEST.replace("Hello", "hello"), "wrong_secret_or_body"),
        (SECRET, REQUEST.replace("X-Hub-Signature-256", "X-Nothing"), "missing"),
        (SECRET, REQUEST.replace("sha256=", "sha257="), "malformed_header"),
    ] {
        let (stdout, _) = by_hand(secret, &request, 1);
        assert!(stdout.starts_with(&format!("failed: {why} (")), "{stdout}");
    }
}

#[test]
fn by_hand_takes_several_secrets_and_a_variable() {
    let args = ["verify", "--provider", "github", "--secret", "other", "--secret", SECRET, "-"];
    assert_eq!(run_with_input(&args, REQUEST.as_bytes()).with(0).stdout, "verified by secret 2\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), REQUEST).unwrap();
    let mut command = hookgate(&["verify", "--provider", "github"]);
    end(command.arg(file.path()).env("HOOKGATE_SECRET", SECRET)).with(0);
}

#[test]
fn by_hand_says_what_it_cannot_use() {
    let stderr = |args: &[&str], input: &str| run_with_input(args, input.as_bytes()).with(1).stderr;
    let near = stderr(&["verify", "--provider", "githb", "--secret", "s", "-"], REQUEST);
    assert!(near.contains("did you mean `github`?"), "{near}");
    assert!(
        stderr(&["verify", "--provider", "github", "--secret", "s", "-"], "no request").contains("no HTTP request")
    );
    assert!(stderr(&["verify", "--provider", "github", "-"], REQUEST).contains("no secret"));
    assert!(stderr(&["verify", "--provider", "svix", "--secret", "%%%", "-"], REQUEST).contains("base64"));
    assert!(stderr(&["verify", "--provider", "github", "--secret", "s", "no/such"], "").contains("cannot read"));
}

#[test]
fn by_hand_the_clock_can_be_set() {
    let cases: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(root().join("tests/vectors/slack.json")).unwrap()).unwrap();
    let case = cases.iter().find(|case| case["expect"] == "valid" && case["neutral"] != true).unwrap();
    let mut request = "POST /in/slack HTTP/1.1\r\n".to_owned();
    for header in case["headers"].as_array().unwrap() {
        request += &[header[0].as_str().unwrap(), ": ", header[1].as_str().unwrap(), "\r\n"].concat();
    }
    request += "\r\n";
    let body = data_encoding::BASE64.decode(case["body_base64"].as_str().unwrap().as_bytes()).unwrap();
    let request = [request.as_bytes(), &body].concat();
    let (now, secret) = (case["now_unix"].as_u64().unwrap(), case["secrets"][0]["value"].as_str().unwrap());
    let verify = |now: u64, code: i32| {
        let now = now.to_string();
        let args = ["verify", "--provider", "slack", "--secret", secret, "--now", &now, "-"];
        run_with_input(&args, &request).with(code).stdout
    };
    assert_eq!(verify(now, 0), "verified by secret 1\n");
    assert!(verify(now + 3600, 1).starts_with("failed: too_old ("));
    assert!(verify(now - 3600, 1).starts_with("failed: in_future ("));
}

#[test]
fn by_hand_says_what_a_secret_in_a_wrong_dress_would_be_right_without() {
    let encoded = data_encoding::BASE64.encode(SECRET.as_bytes());
    for (secret, near) in [
        (format!("\"{SECRET}\""), "right without the quotes"),
        (format!("\u{feff}{SECRET}"), "right without the byte order mark"),
        (format!("GITHUB_SECRET={SECRET}"), "right with NAME= removed"),
        (format!("export GITHUB_SECRET='{SECRET}'"), "right with NAME= removed, without the quotes"),
        (format!("{{\"secret\": \"{SECRET}\"}}"), "right as one text of the JSON document, without the rest"),
        (format!("{SECRET}\nfrom the settings"), "right as one of its lines, without the others"),
        (format!("{SECRET}\u{a0}"), "right without the invisible characters"),
        (encoded, "right base64-decoded"),
    ] {
        let (stdout, _) = by_hand(&secret, REQUEST, 1);
        assert!(stdout.contains(&format!("near miss: it is {near}")) && !stdout.contains("Everybody"), "{stdout}");
    }
}

#[test]
fn by_hand_a_line_feed_that_an_editor_added_is_told() {
    for (end, what) in [("\n", "a line feed"), ("\r\n", "CR and LF")] {
        let (stdout, _) = by_hand(SECRET, &format!("{REQUEST}{end}"), 1);
        assert!(stdout.contains(&format!("right without {what} at the end")), "{stdout}");
    }
}

#[test]
fn by_hand_a_key_that_cannot_be_read_says_what_it_looks_like() {
    let pem = "-----BEGIN PUBLIC KEY-----\\nMCow\\n-----END PUBLIC KEY-----";
    let args = ["verify", "--provider", "postal", &format!("--secret={pem}"), "-"];
    let ended = run_with_input(&args, REQUEST.as_bytes()).with(1);
    assert!(ended.stderr.contains("has `\\n` as two letters instead of line feeds"), "{}", ended.stderr);
}

#[test]
fn by_hand_the_url_that_was_judged_is_shown_and_the_one_that_would_be_right() {
    let cases: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(root().join("tests/vectors/square.json")).unwrap()).unwrap();
    let case = cases.iter().find(|case| case["expect"] == "valid" && case["neutral"] != true).unwrap();
    let mut request = "POST /in/square HTTP/1.1\r\n".to_owned();
    for header in case["headers"].as_array().unwrap() {
        request += &[header[0].as_str().unwrap(), ": ", header[1].as_str().unwrap(), "\r\n"].concat();
    }
    request += "\r\n";
    let body = data_encoding::BASE64.decode(case["body_base64"].as_str().unwrap().as_bytes()).unwrap();
    let request = [request.as_bytes(), &body].concat();
    let (url, secret) = (case["url"].as_str().unwrap(), case["secrets"][0]["value"].as_str().unwrap());
    let other = url.replacen("https://", "http://", 1);
    let args = ["verify", "--provider", "square", "--secret", secret, "--url", &other, "-"];
    let stdout = run_with_input(&args, &request).with(1).stdout;
    assert!(stdout.contains(&format!("judged over the URL {other}")), "{stdout}");
    assert!(stdout.contains(&format!("it is right for the URL {url} (https instead of http)")), "{stdout}");
}

#[test]
fn supabase_takes_the_secret_as_its_page_shows_it() {
    let cases: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(root().join("tests/vectors/standardwebhooks.json")).unwrap())
            .unwrap();
    let case = cases.iter().find(|case| case["expect"] == "valid" && case["neutral"] != true).unwrap();
    let mut request = "POST /in/hook HTTP/1.1\r\n".to_owned();
    for header in case["headers"].as_array().unwrap() {
        request += &[header[0].as_str().unwrap(), ": ", header[1].as_str().unwrap(), "\r\n"].concat();
    }
    request += "\r\n";
    let body = data_encoding::BASE64.decode(case["body_base64"].as_str().unwrap().as_bytes()).unwrap();
    let request = [request.as_bytes(), &body].concat();
    let now = case["now_unix"].as_u64().unwrap().to_string();
    let bare = case["secrets"][0]["value"].as_str().unwrap().trim_start_matches("whsec_");
    for secret in
        [format!("v1,whsec_{bare}"), format!("whsec_{bare}"), bare.to_owned(), bare.trim_end_matches('=').to_owned()]
    {
        let args = ["verify", "--provider", "supabase_auth_hooks", "--secret", &secret, "--now", &now, "-"];
        assert_eq!(run_with_input(&args, &request).with(0).stdout, "verified by secret 1\n", "{secret}");
    }
}
