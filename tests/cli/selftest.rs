//! `hookgate selftest`: passes when no event is lost, and reports lost events.

use super::{end, hookgate, run};

fn entries(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn what_was_answered_is_kept_over_kills_and_the_folder_is_left_empty() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let ended = run(&["selftest", "--kill", "4", "--rate", "200", "--dir", dir, "--format", "json"]).with(0);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"));
    assert_eq!((number("lost"), number("changed"), number("kills")), (0, 0, 4));
    assert!(number("answered") > 20, "{report}");
    assert!(report["commits"]["count"].as_u64() > Some(0) && report["sync"]["samples"].as_u64() > Some(0), "{report}");
    assert_eq!(entries(folder.path()), 0);
}

#[test]
fn an_answer_before_the_write_loses_events_and_the_test_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let ended = run(&["selftest", "--kill", "10", "--fsync", "memory", "--dir", dir]).with(1);
    assert!(ended.stdout.contains("EVENTS WERE LOST"), "{}", ended.stdout);
    assert!(ended.stdout.contains("survives a clean stop only"), "{}", ended.stdout);
    assert_eq!(entries(folder.path()), 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let ended = run(&["selftest", "--dir", "/no/such/folder"]).with(1);
    assert!(ended.stderr.contains("cannot make a folder in /no/such/folder"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty());
    end(&mut hookgate(&["selftest", "--kill", "1001"])).with(2);
    end(&mut hookgate(&["selftest", "--rate", "0"])).with(2);
}
