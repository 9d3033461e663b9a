//! Journals damaged and cut at every byte.

use std::collections::BTreeSet;
use std::fs;

use super::super::journal::{self, JournalFix};
use super::super::{frames, journals};
use super::{Template, event, flip, number_from};
use crate::buffer::record;

/// Makes a journal of four events, one batch each.
async fn small_journal() -> (Template, Vec<u8>) {
    let template = Template::new(&[200; 4], 0, false).await;
    let [path] = journals(template.folder.path()).unwrap().try_into().unwrap();
    let bytes = fs::read(path).unwrap();
    (template, bytes)
}

/// Returns the events that are in a repaired journal, or were saved from it.
fn events_after(bytes: &[u8], what: &str) -> BTreeSet<u32> {
    let mended = journal::mend(bytes, None);
    let content = match mended.change {
        JournalFix::Nothing => bytes.to_vec(),
        JournalFix::Cut(length) => bytes[..length].to_vec(),
        JournalFix::Write(content) => content,
    };
    let again = journal::mend(&content, None);
    assert!(matches!(again.change, JournalFix::Nothing), "{what}: what was mended is to be mended again");
    let kept = frames::find(&content).map(|frame| content[frame].to_vec());
    let all = kept.chain(mended.saved.into_iter().map(|event| event.record));
    all.map(|record| record::decode(&record).unwrap().delivery_id.unwrap().parse().unwrap()).collect()
}

/// Returns the events whose own record has the byte.
fn hit(bytes: &[u8], at: usize) -> BTreeSet<u32> {
    let hit = frames::find(bytes).filter(|frame| frame.contains(&at));
    hit.map(|frame| record::decode(&bytes[frame]).unwrap().delivery_id.unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_flipped_byte_of_a_journal_costs_no_record_but_its_own() {
    let (_template, bytes) = small_journal().await;
    let all = events_after(&bytes, "whole");
    assert_eq!(all.len(), 4);
    for at in 0..bytes.len() {
        let masks = if number_from("EVERY", 0) == 1 { vec![1, 0x80, 0xff] } else { vec![1 << (at % 8)] };
        for mask in masks {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            let what = format!("byte {at} ^ {mask}");
            let expected: BTreeSet<u32> = all.difference(&hit(&bytes, at)).copied().collect();
            assert!(events_after(&damaged, &what).is_superset(&expected), "{what}");
        }
    }
}

#[tokio::test]
async fn a_cut_journal_keeps_every_record_before_the_cut() {
    let (_template, bytes) = small_journal().await;
    let frames: Vec<_> = frames::find(&bytes).collect();
    for at in 0..bytes.len() {
        let before = frames.iter().filter(|frame| frame.end <= at).count();
        assert_eq!(events_after(&bytes[..at], &format!("cut at {at}")).len(), before, "cut at {at}");
        let out_of_it = [&bytes[..at], &bytes[(at + 40).min(bytes.len())..]].concat();
        let whole = frames.iter().filter(|frame| frame.end <= at || frame.start >= at + 40).count();
        assert!(events_after(&out_of_it, "").len() >= whole, "40 bytes from {at} on are gone");
    }
}

/// Builds a batch as the engine writes it; each item with its keyspace.
fn batch(seqno: u64, items: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (keyspace, key, value) in items {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        let head = [&[2, 0, 0, *keyspace, 0, 0, 0, 0, 0, 0, 0][..], &[u8::try_from(key.len()).unwrap(), 0]].concat();
        all.extend([&head[..], &length, &length, key, value].concat());
    }
    let start = [&[1, u8::try_from(items.len()).unwrap(), 0, 0, 0][..], &seqno.to_le_bytes()].concat();
    let checksum = twox_hash::XxHash3_64::oneshot(&all).to_le_bytes();
    [&start[..], &all, &[3], &checksum, b"FJL\x03"].concat()
}

#[test]
fn what_a_sender_writes_into_a_body_is_not_taken_for_a_batch() {
    let mut outer = event(1, 0);
    // A batch of its own making, with a sequence that would fit.
    outer.body = batch(9, &[(9, b"destination/evil", b"\0\0\0\x09")]).into();
    let record = record::encode(&outer).unwrap();
    let key = 1_u64.to_be_bytes();
    let mut bytes =
        [batch(7, &[(4, b"k", b"v")]), batch(8, &[(1, &key, &record)]), batch(9, &[(4, b"k", b"w")])].concat();
    let second = batch(7, &[(4, b"k", b"v")]).len();
    // The length of the item's value: where the batch ends is not known any more.
    bytes[second + 13 + 13] ^= 1;
    let mended = journal::mend(&bytes, None);
    assert_eq!(mended.saved.len(), 1);
    let JournalFix::Write(content) = mended.change else { panic!("nothing was mended") };
    assert_eq!(content, [batch(7, &[(4, b"k", b"v")]), batch(9, &[(4, b"k", b"w")])].concat());
}

#[tokio::test]
async fn a_sequence_that_the_engine_does_not_check_is_mended() {
    let (_template, bytes) = small_journal().await;
    let starts: Vec<_> = (0..bytes.len() - 13)
        .filter(|at| {
            bytes[*at] == 1
                && bytes[at + 7..at + 13] == [0; 6]
                && bytes[at + 2..at + 5] == [0; 3]
                && bytes[at + 13] == 2
        })
        .collect();
    assert!(starts.len() >= 4);
    for start in starts {
        for bit in 0..64 {
            let mut damaged = bytes.clone();
            damaged[start + 5 + bit / 8] ^= 1 << (bit % 8);
            let mended = journal::mend(&damaged, None);
            let content = if let JournalFix::Write(content) = mended.change { content } else { damaged };
            let mut last = 0;
            for at in (0..content.len() - 13).filter(|at| content[*at] == 1 && content[at + 13] == 2) {
                let seqno = u64::from_le_bytes(content[at + 5..at + 13].try_into().unwrap());
                if content[at + 2..at + 5] == [0; 3] && seqno < 1 << 40 {
                    assert!(seqno > last || at == 0, "bit {bit} of the sequence at {start}");
                    last = seqno;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_journal_opens_and_all_but_the_hit_event_are_delivered() {
    let (template, bytes) = small_journal().await;
    let stride = if number_from("EVERY", 0) == 1 { 1 } else { 61 };
    for at in (0..bytes.len()).step_by(stride) {
        let copy = template.copy();
        let [path] = journals(copy.path()).unwrap().try_into().unwrap();
        flip(&path, at, 4);
        let missing = template.missing(copy.path(), &format!("byte {at}")).await;
        assert!(missing.iter().all(|(number, _)| hit(&bytes, at).contains(number)), "byte {at}: {missing:?}");
    }
}
