//! The rows that ship: each says where its facts were read, loses nothing by its answers, and verifies what it signs.

use std::collections::BTreeMap;

use super::laws::{NOW, headers, message, secret};
use crate::provider::{FactName, Row, SignRequest, Verifier, builtin};

#[test]
fn every_shipped_row_that_can_be_signed_verifies_what_it_signs() {
    let (mut signed, mut wrong) = (0, Vec::new());
    for row in builtin().rows() {
        let text = match row.id() {
            // Keys in hexadecimal.
            "adyen" | "adyen_platform" | "onfleet" | "squarespace" | "authorize_net" => "30313233343536373839",
            _ => "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3A=",
        };
        let Ok(verifier) = Verifier::new(row.scheme().clone(), vec![secret("a", text)], BTreeMap::new()) else {
            continue;
        };
        let form = headers(&[("content-type", "application/x-www-form-urlencoded")]);
        // Its forms have one name only.
        let body = if row.id() == "mandrill" { "mandrill_events=%5B%5D" } else { "a=1&b=2" }.as_bytes();
        let request = SignRequest { message: message(&form, body), id: "msg_1", now: NOW };
        // Signatures in the body, and private keys, are the providers'.
        let Ok(made) = verifier.sign(&request) else { continue };
        let mut headers = form.clone();
        headers.extend(made);
        signed += 1;
        if let Err(failure) = verifier.verify(&message(&headers, body), NOW) {
            wrong.push(format!("{}: {failure}", row.id()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(signed > 170, "only {signed} rows could be signed");
}

#[test]
fn every_shipped_row_says_where_its_facts_come_from() {
    let mut faults = Vec::new();
    let dated = |text: &str| text.contains("2026-1");
    for row in builtin().rows() {
        if !dated(row.source()) {
            faults.push(format!("{}: its source has no date", row.id()));
        }
        for (fact, _) in facts(row).iter().filter(|(_, is_there)| *is_there) {
            match row.sources().get(fact) {
                None => faults.push(format!("{}: {fact:?} has no source", row.id())),
                Some(source) if source.from.is_empty() => {
                    faults.push(format!("{}: the source of {fact:?} has no place", row.id()));
                }
                Some(_) => {}
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(builtin().get("github").and_then(Row::body_bytes_max), Some(25 * 1024 * 1024));
    assert!(builtin().get("githup").is_none());
}

/// Returns the facts that need a source of their own, each with whether the row has it.
fn facts(row: &Row) -> [(FactName, bool); 11] {
    [
        (FactName::Budget, row.budget().is_some()),
        (FactName::Retry, row.retry().is_some()),
        (FactName::Success, !row.success().is_empty()),
        (FactName::Final, !row.is_final().is_empty()),
        (FactName::Disable, !row.disable().is_empty()),
        (FactName::Ips, row.ips().is_some()),
        (FactName::BodyMax, row.body_bytes_max().is_some()),
        (FactName::Answers, row.answers().iter().next().is_some()),
        (FactName::Order, row.order().is_some()),
        (FactName::Recovery, row.recovery().is_some()),
        (FactName::Handshake, !row.handshakes().is_empty()),
    ]
}

/// A 2xx for what was not stored would lose it; anything else for what was stored makes the sender repeat it.
#[test]
fn no_row_loses_events_by_its_answers() {
    for row in builtin().rows() {
        for (outcome, answer) in row.answers().iter() {
            let is_stored = !matches!(outcome, crate::refusal::RequestOutcome::Refused(_));
            assert_eq!(is_stored, row.is_success(answer.status), "{} {outcome:?}", row.id());
            assert!(answer.because.is_some(), "{} {outcome:?}: why?", row.id());
        }
    }
}
