//! Tests of both ways in, which are run over every input and must agree.

use super::*;

/// Returns the result of both ways for `body`.
fn verdict(body: &[u8]) -> Result<Payload, Malformed> {
    let parsed = Payload::parse(body);
    let scanned = Payload::scan(body, &[]);
    assert_eq!(parsed.as_ref().err(), scanned.as_ref().err(), "{:?}", String::from_utf8_lossy(body));
    parsed
}

fn refused(body: impl AsRef<[u8]>) -> Malformed {
    verdict(body.as_ref()).unwrap_err()
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// Returns a value as serde_json writes it: each exponent in its own way.
fn as_serde_json_writes(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

#[test]
fn every_number_keeps_its_text() {
    let body = r#"{"b":[-0,0.10,1E5,1e5,1E+5,1e-05,-1.5E-3,123456789012345678901234,0.12345678901234567890,10.00,"7e7\\",18446744073709551616,{"c\"1e1":2e2}],"a":true,"d":9e9}"#;
    let tree = Payload::parse(body.as_bytes()).unwrap().into_value();
    let (list, _) = body.split_once(",\"a\"").unwrap();
    let sorted = list.replacen('{', "{\"a\":true,", 1) + ",\"d\":9e9}";
    assert_eq!(tree.to_string(), sorted);
    assert_eq!(Payload::lenient(b"{\"a\":1,\"a\":1E1}").unwrap().to_string(), "{\"a\":1E1}");
}

/// serde_json hands numbers out as a map with a key of its own, which a sender may write as well.
#[test]
fn a_key_of_serde_json_in_a_body_is_a_key_like_any_other() {
    for body in [
        r#"{"$serde_json::private::Number":"5"}"#,
        r#"{"a":{"\u0024serde_json::private::Number":"1e400"}}"#,
        r#"[{"$serde_json::private::Number":"x","b":1}]"#,
        r#"{"$serde_json::private::RawValue":"[1]"}"#,
    ] {
        let tree = verdict(body.as_bytes()).unwrap().into_value();
        assert_eq!(tree.to_string(), body.replace("\\u0024", "$"), "{body}");
    }
    let pointer = [Pointer::parse("/a").unwrap()];
    let scanned = Payload::scan(br#"{"a":{"$serde_json::private::Number":"5"}}"#, &pointer).unwrap();
    assert_eq!(scanned.text_at(&pointer[0]), None, "it is an object");
}

#[test]
fn sound_json_is_accepted_and_equals_what_serde_json_reads() {
    for body in [
        "null",
        " true ",
        "0",
        "-0",
        "-1.5e-3",
        "123456789012345678901",
        "18446744073709551615",
        "-9223372036854775808",
        "1e308",
        "1e-400",
        "\"\"",
        r#""\u00e9\ud83d\ude00\n\/""#,
        "[]",
        "{}",
        "[[],{}]",
        r#"{"a":1,"b":{"a":1}}"#,
        r#"[{"a":1},{"a":1}]"#,
        "\t\r\n{\"\":0}\n",
        r#"{"a":1,"A":2}"#,
        "\"\u{7f}\u{2028}\"",
        r#"{"a":"a"}"#,
    ] {
        let expected: Value = serde_json::from_str(body).unwrap();
        assert_eq!(as_serde_json_writes(verdict(body.as_bytes()).unwrap().value()), expected, "{body}");
    }
    assert!(verdict(nested(DEPTH_MAX).as_bytes()).is_ok());
}

/// Returns the name of the variant, without its fields.
fn kind(fault: &Malformed) -> String {
    format!("{fault:?}").split(' ').next().unwrap().to_owned()
}

#[test]
fn every_kind_of_fault_is_told_apart() {
    let (digits, longest) = ("1".repeat(310), format!("0.{}", "1".repeat(NUMBER_BYTES_MAX - 1)));
    let (deep, open, keys) = (nested(DEPTH_MAX + 1), "[".repeat(100_000), "{\"a\":".repeat(100_000));
    let table: [(&str, &[&str]); 6] = [
        ("Truncated", &["", " ", "[1", "{\"a\"", "{\"a\":", "\"abc", "tru", "-", "1e", "1.", "\"\\u12"]),
        (
            "Syntax",
            &[
                "[1,]",
                "{,}",
                "{\"a\":1,}",
                "{a:1}",
                "{1:1}",
                "'a'",
                "01",
                "+1",
                ".5",
                "1.x",
                "NaN",
                "Infinity",
                "[1 2]",
                "{\"a\" 1}",
                "\"\t\"",
                "\"\\x\"",
                "nul1",
                "// c\n1",
                "[,1]",
                "]",
                "\u{a0}1",
                "\"\\uZZZZ\"",
                "True",
                "--1",
            ],
        ),
        ("TooDeep", &[&deep, &open, &keys]),
        (
            "NumberOutOfRange",
            &["1e400", "[-1e999]", "{\"a\":1e400}", "1e-1000", "1E99999999999999999999", &digits, &longest],
        ),
        ("LoneSurrogate", &[r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#"{"\ud800":1}"#]),
        ("TrailingData", &["1 2", "{}x", "[]]", "null,", "0x1"]),
    ];
    for (expected, bodies) in table {
        for body in bodies {
            assert_eq!(kind(&refused(body)), expected, "{body}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_read_over_and_counted() {
    let body = b"\xef\xbb\xbf{\"n\":1}";
    assert_eq!(Payload::parse(body).unwrap().into_value(), serde_json::json!({"n": 1}));
    let pointers = [Pointer::parse("/n").unwrap()];
    assert_eq!(Payload::scan(body, &pointers).unwrap().text_at(&pointers[0]).as_deref(), Some("1"));
    assert_eq!(refused(b"\xef\xbb\xbf[1,]").at(), BodyPosition { byte: 6, line: 1, column: 7 });
    assert_eq!(refused(b"\xef\xbb\xbf\n[1,]").at(), BodyPosition { byte: 7, line: 2, column: 4 });
    assert_eq!(kind(&refused(b"\xef\xbb\xbf\xef\xbb\xbf{}")), "Syntax", "one is a mark, two are none");
    assert_eq!(kind(&refused(b"\xef\xbb\xbf")), "Truncated");
}

#[test]
fn what_is_not_utf8_is_refused_wherever_it_stands() {
    for (body, byte) in
        [(&b"\"\xff\""[..], 1), (b"\xff", 0), (b"[1] \xc3", 4), (b"\"\xed\xa0\x80\"", 1), (b"\"\xc0\xaf\"", 1)]
    {
        assert_eq!(refused(body), Malformed::NotUtf8 { at: BodyPosition { byte, line: 1, column: byte + 1 } });
    }
}

#[test]
fn a_duplicate_key_is_found_at_any_depth_with_its_pointer_and_place() {
    for (body, expected) in [
        (r#"{"a":1,"a":1}"#, "/a"),
        (r#"{"a":1,"\u0061":1}"#, "/a"),
        (r#"{"":1,"":1}"#, "/"),
        (r#"{"x/y":[0,{"m~n":{"k":1,"l":2,"k":3}}]}"#, "/x~1y/1/m~0n/k"),
    ] {
        assert!(matches!(refused(body), Malformed::DuplicateKey { pointer, .. } if pointer == expected), "{body}");
    }
    let fault = refused("{\"a\":1,\n \"a\":2}");
    assert_eq!(fault.at(), BodyPosition { byte: 11, line: 2, column: 4 });
    assert_eq!(fault.to_string(), "the key /a is there twice (byte 11, line 2, column 4)");
}

#[test]
fn a_duplicate_key_is_found_in_objects_of_any_size() {
    for size in [1, 2, 15, 16, 127, 128, 129, 130, 5_000] {
        for twin in [0, size / 2, size - 1] {
            let keys: Vec<_> = (0..size).chain([twin]).map(|n| format!("\"key{n}\":{{\"key0\":[]}}")).collect();
            assert!(verdict(format!("{{{}}}", keys[..size].join(",")).as_bytes()).is_ok());
            let fault = refused(format!("{{{}}}", keys.join(",")));
            assert!(matches!(fault, Malformed::DuplicateKey { pointer, .. } if pointer == format!("/key{twin}")));
        }
    }
}

#[test]
fn keys_with_the_same_ends_and_length_are_not_taken_for_duplicates() {
    let keys: Vec<_> = (100..300).map(|n| format!("\"12345678{n}12345678\":0")).collect();
    assert!(verdict(format!("{{{}}}", keys.join(",")).as_bytes()).is_ok());
}

#[test]
fn a_long_pointer_is_cut() {
    let key = "é".repeat(10_000);
    let fault = refused(format!("{{\"{key}\":1,\"{key}\":1}}"));
    assert!(matches!(fault, Malformed::DuplicateKey { pointer, .. } if pointer.len() < 264));
}

#[test]
fn both_find_the_same_scalars() {
    let body = br#"{"id":"e\u0076t_1","n":-7,"big":18446744073709551615,"f":1.50,"1e9":"\"2e9","e":2E+07,"long":123456789012345678901234,"zero":-0,"skipped":[3e1],"last":1e-7,"ok":true,"no":null,
        "data":{"type":"push","list":["a",{"b":false}]},"":"empty","s":"plain"}"#;
    let texts = [
        ("/id", Some("evt_1")),
        ("/n", Some("-7")),
        ("/big", Some("18446744073709551615")),
        ("/f", Some("1.50")),
        ("/e", Some("2E+07")),
        ("/long", Some("123456789012345678901234")),
        ("/zero", Some("-0")),
        ("/last", Some("1e-7")),
        ("/ok", Some("true")),
        ("/no", None),
        ("/data", None),
        ("/data/type", Some("push")),
        ("/data/list/0", Some("a")),
        ("/data/list/1/b", Some("false")),
        ("/data/list/01", None),
        ("/data/list/2", None),
        ("/", Some("empty")),
        ("", None),
        ("/s", Some("plain")),
        ("/s/x", None),
    ];
    let pointers: Vec<_> = texts.iter().map(|(text, _)| Pointer::parse(text).unwrap()).collect();
    let parsed = Payload::parse(body).unwrap();
    let scanned = Payload::scan(body, &pointers).unwrap();
    for (pointer, (_, expected)) in pointers.iter().zip(texts) {
        assert_eq!(parsed.text_at(pointer).as_deref(), expected, "{pointer}");
        assert_eq!(scanned.text_at(pointer).as_deref(), expected, "{pointer}");
    }
}

#[test]
fn both_agree_on_a_hundred_thousand_mutations() {
    let seed: &[u8] =
        br#"{"id":"e1","l":[1,2.5e3,-0,{"a":{"b":null},"c":"\ud83d\ude00\u0041"}],"t":true,"x":{"y":"z","y2":[[]]}}"#;
    let fragments: [&[u8]; 16] = [
        b"\"id\":1,",
        b"1e400",
        b"\\ud800",
        b"\xff",
        b"\xc3\xa9",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"\\",
        b"\"a\":0,",
        b"\0",
        b"1",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let mut accepted = 0;
    for _ in 0..100_000 {
        let mut body = seed.to_vec();
        for _ in 0..=next(3) {
            let place = next(body.len());
            match next(4) {
                0 => drop(body.remove(place)),
                1 => body[place] = u8::try_from(next(256)).unwrap(),
                2 => drop(body.splice(place..place, fragments[next(fragments.len())].iter().copied())),
                _ => body.swap(place, 0),
            }
        }
        let ours = verdict(&body);
        accepted += usize::from(ours.is_ok());
        let theirs = serde_json::from_slice::<Value>(&body).ok();
        match (ours, theirs) {
            (Ok(ours), theirs) => assert_eq!(Some(as_serde_json_writes(ours.value())), theirs),
            (
                Err(Malformed::DuplicateKey { .. } | Malformed::NotUtf8 { .. } | Malformed::NumberOutOfRange { .. }),
                _,
            )
            | (Err(_), None) => {}
            (Err(fault), Some(_)) => panic!("{fault}: {}", String::from_utf8_lossy(&body)),
        }
    }
    assert!(accepted > 1_000, "{accepted}");
}
