//! Tests of scripts that do what they should, and of scripts that try what they should not.

use serde_json::json;

use super::sandbox::run;
use super::*;
use crate::clock::thread_cpu_time;

fn event() -> Value {
    json!({
        "body": {"customer": {"email": "ann@example.com", "name": "Ann"}, "total": 1250, "items": [{"sku": "a"}, {"sku": "b"}]},
        "headers": {"x-shop-topic": "orders/create"}, "type": "orders/create", "id": "e1", "source": "shop",
    })
}

fn compiled(source: &str) -> Script {
    Script::compile(source, "shop.js").unwrap_or_else(|problem| panic!("{source}: {problem}"))
}

/// Runs the body of a function over `event`.
fn on(body: &str, event: &Value) -> Result<Value, ScriptError> {
    compiled(&format!("export default (event) => {{\n{body}\n}}")).run(event, LossyNumbers::Exact)
}

fn made(body: &str) -> Result<Value, ScriptError> {
    on(body, &event())
}

#[test]
fn a_script_makes_json_of_json() {
    let body = event()["body"].clone();
    for (text, expected) in [
        ("return event", event()),
        ("return event.body", body),
        ("const {email, ...rest} = event.body.customer; return rest", json!({"name": "Ann"})),
        ("return {text: `${event.body.customer.name}: ${event.body.total / 100}`}", json!({"text": "Ann: 12.5"})),
        ("return event.body.items.map(i => i.sku).toSorted().reverse().join('')", json!("ba")),
        ("event.body.items.sort((a, b) => a.sku < b.sku ? 1 : -1); return event.body.items[0]", json!({"sku": "b"})),
        (
            "return {a: undefined, f() {}, when: new Date(0), none: null, bad: NaN}",
            json!({"when": "1970-01-01T00:00:00.000Z", "none": null, "bad": null}),
        ),
        (
            "return {n: Number.MAX_SAFE_INTEGER, x: -0.5, e: 1e21, t: true}",
            json!({"n": 9_007_199_254_740_991_u64, "x": -0.5, "e": 1e21, "t": true}),
        ),
        ("return 'ä€😀\\u0000\\n'", json!("ä€😀\u{0}\n")),
        ("return new Set([1, 2]).size + new Map([[1, 2]]).get(1)", json!(4)),
        ("return 'a-b'.replace(/-(.)/, (_, c) => c.toUpperCase())", json!("aB")),
        ("return JSON.parse('[1]')", json!([1])),
        ("return null", Value::Null),
        ("return {toJSON() { return 7 }}", json!(7)),
        ("JSON.stringify = () => '\"forged\"'; return 1", json!(1)),
        ("return {__proto__: null, a: 1}", json!({"a": 1})),
        ("return JSON.parse('{\"__proto__\": 1}')", json!({"__proto__": 1})),
    ] {
        assert_eq!(made(text), Ok(expected), "{text}");
    }
    let imported = compiled("const cents = (n) => n * 100;\nexport default function (event) { return cents(event.n) }");
    assert_eq!(imported.run(&json!({"n": 3}), LossyNumbers::Exact), Ok(json!(300)));
}

/// Builds an event with numbers that JavaScript cannot hold, and a few that it can.
fn long_event() -> Value {
    let event = br#"{"body": {"id": 9007199254740993, "exact": 9007199254740992, "price": 10.00, "rate": 0.12345678901234567890,
        "items": [{"sku": "a", "n": 123456789012345678901234}, {"sku": "b", "n": 123456789012345678901235}], "a/b": [1E400000]}}"#;
    let event = String::from_utf8_lossy(event).replace("1E400000", "1e300");
    crate::payload::Payload::parse(event.as_bytes()).unwrap().into_value()
}

#[test]
fn numbers_that_a_script_leaves_in_their_objects_keep_their_digits() {
    for (text, expected) in [
        (
            "return event.body.items",
            r#"[{"n":123456789012345678901234,"sku":"a"},{"n":123456789012345678901235,"sku":"b"}]"#,
        ),
        ("return event.body.items.filter(i => i.sku === 'b')", r#"[{"n":123456789012345678901235,"sku":"b"}]"#),
        ("return event.body.items.reverse()[0]", r#"{"n":123456789012345678901235,"sku":"b"}"#),
        ("event.body.items[0].n = 7; return event.body.items[0]", r#"{"n":7,"sku":"a"}"#),
        ("delete event.body.id; return Object.keys(event.body).length", "5"),
        (
            "return {x: event.body.exact, y: event.body.price / 4, z: event.body['a/b'][0]}",
            r#"{"x":9007199254740992,"y":2.5,"z":1e+300}"#,
        ),
        (
            "return {body: {price: event.body.price, 'a/b': event.body['a/b']}}",
            r#"{"body":{"a/b":[1e300],"price":10.00}}"#,
        ),
        ("return {body: {price: event.body.price * 2, exact: 10}}", r#"{"body":{"exact":10,"price":20}}"#),
        ("return 'id' in event.body && typeof event.body.items[1]", r#""object""#),
        ("return {toJSON() { return event.body.items[1] }}", r#"{"n":123456789012345678901235,"sku":"b"}"#),
        (
            "event.body.items[1].toJSON = function () { return this }; return event.body.items[1]",
            r#"{"n":123456789012345678901235,"sku":"b"}"#,
        ),
        (
            "const i = event.body.items[1]; Object.defineProperty(i, 'a', {enumerable: true, get: () => 1}); return i",
            r#"{"a":1,"n":123456789012345678901235,"sku":"b"}"#,
        ),
        ("return Object.freeze(event.body.items[1])", r#"{"n":123456789012345678901235,"sku":"b"}"#),
        ("const i = Object.create(event.body.items[1]); i.n = 5; return [i, i.sku]", r#"[{"n":5},"b"]"#),
        (
            "Object.defineProperty(event.body.items[1], 'n', {value: 6}); return event.body.items[1]",
            r#"{"n":6,"sku":"b"}"#,
        ),
        ("return Object.getOwnPropertyDescriptor(event.body.items[1], 'sku').value", r#""b""#),
        ("return Reflect.ownKeys(event.body.items[1]).sort()", r#"["n","sku"]"#),
    ] {
        assert_eq!(on(text, &long_event()).unwrap().to_string(), expected, "{text}");
    }
}

#[test]
fn a_script_that_reads_a_number_that_it_cannot_hold_is_told_which() {
    for (text, pointer, line) in [
        ("return event.body.id", "/body/id", 2),
        ("const {price, ...rest} = event.body; return rest", "/body/id", 1),
        ("return {...event.body}", "/body/id", 2),
        ("\nreturn event.body.items.map(i => ({...i}))", "/body/items/0/n", 3),
        ("return event.body.items.find(i => i.n === 123456789012345678901235)", "/body/items/0/n", 2),
        ("return JSON.stringify(event.body.items[1])", "/body/items/1/n", 2),
        ("return `${event.body.rate}`", "/body/rate", 2),
        ("try { event.body.id } catch { return 'caught' }", "/body/id", 2),
        ("const made = {}; (async () => { made.id = event.body.id })(); return made", "/body/id", 2),
        ("return Object.assign({}, event.body.items[1])", "/body/items/1/n", 2),
        ("return Object.fromEntries(Object.entries(event.body.items[1]))", "/body/items/1/n", 2),
        ("return JSON.parse(JSON.stringify(event.body))", "/body/id", 2),
        ("return Object.getOwnPropertyDescriptor(event.body, 'id').value", "/body/id", 2),
        ("return Reflect.getOwnPropertyDescriptor(event.body, 'id')", "/body/id", 2),
        ("return Object.getOwnPropertyDescriptors(event.body.items[1]).n.value", "/body/items/1/n", 2),
        ("return Object.create(null, Object.getOwnPropertyDescriptors(event.body.items[1]))", "/body/items/1/n", 2),
        ("return Object.defineProperty({}, 'x', Object.getOwnPropertyDescriptor(event.body, 'id'))", "/body/id", 2),
        ("return {id: event.body.__lookupGetter__('id')}", "/body/id", 2),
        ("return {id: event.body.__lookupSetter__('id')}", "/body/id", 2),
        ("return Reflect.get(event.body, 'id')", "/body/id", 2),
        ("return {get id() { return event.body.id * 2 }}", "/body/id", 2),
        ("return {toJSON() { return `id-${event.body.id}` }}", "/body/id", 2),
        ("event.body.items[1].toJSON = function () { return {...this} }; return event", "/body/items/1/n", 2),
        (
            "Object.defineProperty(event.body, 'x', {enumerable: true, get() { return this.id }}); return event",
            "/body/id",
            2,
        ),
    ] {
        let error = on(text, &long_event()).unwrap_err();
        assert_eq!(error, ScriptError::LongNumber { pointer: pointer.to_owned(), line: Some(line) }, "{text}");
        assert!(error.to_string().contains("numbers: lossy"), "{error}");
    }
    // The script runs before the numbers are hidden; what it changes then is not used to hide them.
    let script = compiled(
        "Object.defineProperty = Reflect.apply = Array.prototype.forEach = Map.prototype.set = Map.prototype.get = () => {};
        export default (event) => event.body.id",
    );
    assert!(matches!(script.run(&long_event(), LossyNumbers::Exact), Err(ScriptError::LongNumber { .. })));
    let names = crate::payload::Payload::parse(b"{\"a/b~\\n\": [1e-400]}").unwrap().into_value();
    let expected = ScriptError::LongNumber { pointer: "/a~1b~0\u{fffd}/0".to_owned(), line: Some(2) };
    assert_eq!(on("return Object.values(event)[0][0]", &names), Err(expected));
    let many = Value::from(vec![long_event(); 1_001]);
    assert!(matches!(on("return 1", &many), Err(ScriptError::LongNumber { .. })));
}

#[test]
fn a_script_gets_rounded_numbers_where_its_route_says_so() {
    let script = compiled("export default (event) => event.body.id + 1");
    assert_eq!(script.run(&long_event(), LossyNumbers::Lossy), Ok(json!(9_007_199_254_740_992_u64)));
    let script = compiled("export default (event) => [event.body.items[1].n, event.body.price]");
    assert_eq!(script.run(&long_event(), LossyNumbers::Lossy).unwrap().to_string(), "[1.2345678901234569e+23,10]");
}

#[test]
fn nothing_stays_from_one_event_to_the_next() {
    let script =
        compiled("let seen = 0; export default () => [++seen, (globalThis.total = (globalThis.total ?? 0) + 1)]");
    for _ in 0..3 {
        assert_eq!(script.run(&event(), LossyNumbers::Exact), Ok(json!([1, 1])));
    }
}

#[test]
fn what_json_cannot_say_is_named() {
    for (text, expected) in [
        ("", "undefined"),
        ("return () => 1", "a function"),
        ("return class {}", "a function"),
        ("return Symbol('x')", "a symbol"),
        ("return 1n", "a BigInt"),
        ("return Promise.resolve(1)", "a promise"),
        ("return new Promise(() => {})", "a promise"),
        ("return (async () => 1)()", "a promise"),
        ("return {toJSON() {}}", "an object whose toJSON() gives nothing"),
        ("return '\\ud800'", "a text with half a character"),
    ] {
        assert_eq!(made(text), Err(ScriptError::NotJson { what: expected }), "{text}");
    }
}

#[test]
fn what_a_script_throws_is_told_with_its_line() {
    for (text, expected, line) in [
        ("return event.nope.x", "TypeError: cannot read property 'x' of undefined", Some(2)),
        ("\nthrow new Error('no customer')", "Error: no customer", Some(3)),
        ("const f = () => {\nthrow new RangeError('deep') };\nreturn f()", "RangeError: deep", Some(3)),
        ("throw 'a text'", "a text", None),
        ("throw {a: 1}", "object that is no error", None),
        ("throw undefined", "undefined that is no error", None),
        ("throw new Error('a\\nb')", "Error: a b", Some(2)),
        ("return {get a() { throw new Error('from a getter') }}", "Error: from a getter", Some(2)),
        ("return {toJSON() { throw new Error('from toJSON') }}", "Error: from toJSON", Some(2)),
        ("const a = []; a.push(a); return a", "TypeError: circular reference", None),
        ("return {n: 1n}", "TypeError: BigInt are forbidden in JSON.stringify", None),
        ("return new Proxy({}, {})", "ReferenceError: Proxy is not defined", Some(2)),
    ] {
        let expected = ScriptError::Threw { message: expected.to_owned(), line };
        assert_eq!(made(text), Err(expected), "{text}");
    }
    let Err(ScriptError::Threw { message, .. }) = made("throw new Error('x'.repeat(1e6))") else { panic!() };
    assert_eq!(message.len(), "Error: ".len() + 300);
    let forged = "const e = new Error(); Object.defineProperty(e, 'message', {get() { throw 1 }}); throw e";
    assert_eq!(made(forged), Err(ScriptError::Threw { message: "Error: ".to_owned(), line: Some(2) }));
}

#[test]
fn there_is_no_way_out_and_no_code_from_text() {
    for text in [
        "return eval('1')",
        "return (0, globalThis.eval)('1')",
        "return new Function('return 1')()",
        "return (() => {}).constructor('return 1')()",
        "return (function* () {}).constructor('yield 1')().next()",
        "return (async () => {}).constructor('return 1')()",
        "return Object.getPrototypeOf(class {}).constructor('return 1')()",
        "return event.constructor.constructor('return 1')()",
        "return require('fs')",
        "return fetch('http://localhost')",
        "return setTimeout(() => {}, 1)",
        "return console.log(1)",
        "return process.env",
        "return std.open('x')",
        "return new WeakRef({})",
        "return performance.now()",
        "return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
    ] {
        assert!(matches!(made(text), Err(ScriptError::Threw { .. })), "{text}: {:?}", made(text));
    }
    assert_eq!(made("return import('os')"), Err(ScriptError::NotJson { what: "a promise" }));
    assert_eq!(made("let n = 0; import('os').then(() => n++); return n"), Ok(json!(0)));
}

#[test]
fn what_takes_too_long_is_stopped() {
    for text in [
        "while (true) {}",
        "for (;;) try { for (;;); } catch {} finally { continue }",
        "return {toJSON() { for (;;); }}",
        "return {get a() { for (;;); }}",
        "const e = new Error(); Object.defineProperty(e, 'message', {get() { for (;;); }}); throw e",
        "return /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "return /(x+x+)+y/.exec('x'.repeat(5000))",
        "return 'a'.repeat(3e4).replace(/(a|aa)+$b/g, '')",
        "return event.body.items.sort(() => { for (;;); })",
        "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return a",
        "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return JSON.stringify(a)",
        "let n = 0; for (const x of new Array(4294967295)) n++; return n",
        "let n = 1n; for (;;) n = (n * 3n) % 1000000007n",
        "return new Array(4294967295).indexOf(1)",
        "return new Array(4294967295)",
        "return Array.prototype.every.call({length: 2 ** 53 - 1}, () => true)",
    ] {
        let began = thread_cpu_time();
        assert_eq!(made(text), Err(ScriptError::Timeout), "{text}");
        let spent = thread_cpu_time().saturating_sub(began);
        assert!(spent < CPU_TIME_MAX * 4, "{text}: {spent:?}");
    }
    let script = Script::compile("for (;;);\nexport default (event) => event", "shop.js");
    assert_eq!(script.unwrap_err(), ScriptProblem::Failed(ScriptError::Timeout));
    let script = Script::compile("const a = []; for (;;) a.push({});\nexport default (event) => event", "shop.js");
    assert_eq!(script.unwrap_err(), ScriptProblem::Failed(ScriptError::OutOfMemory));
}

#[test]
fn a_single_call_over_much_data_is_refused() {
    let body = json!({"hay": "a".repeat(500_000), "needle": "a".repeat(250_000) + "b", "many": vec![1; 200_000],
        "accents": "\u{323}\u{300}".repeat(100_000)});
    for text in [
        "return new Array(4294967295).sort()",
        "return new Array(4294967295).join('')",
        "return new Array(4294967295).reverse()",
        "return [].concat(new Array(4294967295))",
        "return Array.prototype.fill.call({length: 2 ** 53 - 1}, 1)",
        "return Array.prototype.unshift.call({length: 2 ** 53 - 2}, 1)",
        "return Array.prototype.copyWithin.call({length: 2 ** 53 - 1}, 1)",
        "return Array.prototype.splice.call({length: 2 ** 53 - 1}, 1)",
        "return event.hay.indexOf(event.needle)",
        "return event.hay.includes(event.needle)",
        "return event.hay.split(event.needle)",
        "return event.hay.replaceAll(event.needle, '')",
        "return event.accents.normalize()",
        "return event.accents.localeCompare('a')",
        "return event.many.sort()",
    ] {
        let began = thread_cpu_time();
        let Err(ScriptError::Threw { message, .. }) = on(text, &body) else { panic!("{text}") };
        assert!(message.ends_with("over so much data takes too long here"), "{text}: {message}");
        let spent = thread_cpu_time().saturating_sub(began);
        assert!(spent < CPU_TIME_MAX * 4, "{text}: {spent:?}");
    }
    assert_eq!(on("return event.hay.indexOf('b') + event.many.indexOf(2)", &body), Ok(json!(-2)));
}

#[test]
fn memory_stack_and_result_are_bounded() {
    for (text, expected) in [
        ("const a = []; for (;;) a.push(new Array(5000).fill(1))", ScriptError::OutOfMemory),
        ("return 'x'.repeat(2 ** 29)", ScriptError::OutOfMemory),
        ("let s = 'x'; for (;;) s += s", ScriptError::OutOfMemory),
        ("return new Uint8Array(2 ** 30)", ScriptError::OutOfMemory),
        ("return [...new Array(4294967295)]", ScriptError::OutOfMemory),
        ("const f = () => f() + 1; return f()", ScriptError::StackOverflow),
        ("return {toJSON() { return this.toJSON() }}", ScriptError::StackOverflow),
        ("let a = 1; for (let i = 0; i < 1e5; i++) a = [a]; return a", ScriptError::StackOverflow),
        ("let a = 1; for (let i = 0; i < 128; i++) a = [a]; return a", ScriptError::TooLarge),
        ("return 'x'.repeat(4 * 2 ** 20)", ScriptError::TooLarge),
    ] {
        assert_eq!(made(text), Err(expected), "{text}");
    }
    assert!(made("let a = 1; for (let i = 0; i < 127; i++) a = [a]; return a").is_ok());
    assert!(made("return 'x'.repeat(4 * 2 ** 20 - 2)").is_ok());
    assert_eq!(on("return 1", &json!({"text": "x".repeat(MEMORY_BYTES_MAX)})), Err(ScriptError::OutOfMemory));
}

/// Checks the engine's counting of values: an engine that loses count ends the process when it is freed.
#[test]
fn wherever_a_limit_strikes_the_engine_is_left_clean() {
    let source = "const cut = /(a+)+$/;
        export default (event) => {
            const rest = new Uint8Array(event.taken), seen = new Map();
            let all = [];
            for (const item of event.body.items.concat(Array.from({length: 50}, (_, n) => ({sku: 's' + n})))) {
                try {
                    seen.set(item.sku, {...item, f: () => all, cut: item.sku.replace(cut, (x) => x + x)});
                    all.push(seen);
                } catch (error) { all = [error, () => error] }
            }
            const o = {};
            o.self = [o, (async () => { await 1; return o })()];
            return JSON.parse(JSON.stringify({n: seen.size, s: [...seen.keys()].sort().join()}));
        }";
    let script = compiled(source);
    let mut event = event();
    event["taken"] = json!(0);
    let expected = script.run(&event, LossyNumbers::Exact);
    assert!(expected.is_ok(), "{expected:?}");
    for micros in (0..2_000).step_by(10) {
        let limits = Limits { cpu_time: Duration::from_micros(micros), memory_bytes: MEMORY_BYTES_MAX };
        let outcome = run(&script, &event, LossyNumbers::Exact, limits);
        assert!(outcome == expected || outcome == Err(ScriptError::Timeout), "{outcome:?}");
    }
    let (mut ended, mut stopped) = (0, 0);
    for step in 0..400_usize {
        event["taken"] = json!(MEMORY_BYTES_MAX - 60_000 - step * 499);
        let limits = Limits { cpu_time: CPU_TIME_MAX * 20, memory_bytes: MEMORY_BYTES_MAX };
        match run(&script, &event, LossyNumbers::Exact, limits) {
            Ok(value) => ended += usize::from(Ok(value) == expected),
            Err(error) => {
                assert_eq!(error, ScriptError::OutOfMemory);
                stopped += 1;
            }
        }
    }
    assert!(ended > 20 && stopped > 20, "{ended} {stopped}");
}

#[test]
fn a_script_that_cannot_be_used_says_why_and_where() {
    for (source, says) in [
        ("export default (event) => {\n  return event.\n}", "line 3, column 1: "),
        ("\n  let = ;", "line 2, column "),
        ("export default (event) => 'a", "line 1, column "),
        ("(event) => event", "it exports no function; write `export default (event) => event`"),
        ("export const f = (event) => event", "it exports no function"),
        ("export default {a: 1}", "it exports no function"),
        ("export default undefined", "it exports no function"),
        ("", "it exports no function"),
        ("export default async (event) => event", "remove `async` or `*`"),
        ("export default function* (event) {}", "remove `async` or `*`"),
        ("await new Promise(() => {}); export default (e) => e", "remove `await`"),
        ("import fs from 'fs'; export default (e) => e", "could not load module 'fs'"),
        ("throw new Error('early'); export default (e) => e", "threw in line 1: Error: early"),
        ("export default (e) => e; \0", "NUL"),
        ("module.exports = (event) => event", "module is not defined"),
    ] {
        let problem = Script::compile(source, "a b:c.js").unwrap_err();
        assert!(problem.to_string().contains(says), "{source}: {problem}");
    }
    let long = " ".repeat(SOURCE_BYTES_MAX + 1);
    assert_eq!(Script::compile(&long, "x").unwrap_err(), ScriptProblem::TooLong { bytes: SOURCE_BYTES_MAX + 1 });
}

#[test]
fn scripts_run_on_several_threads_at_once() {
    let script = compiled("export default (event) => event.n * 2");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let script = &script;
            scope.spawn(move || {
                (0..50).for_each(|_| assert_eq!(script.run(&json!({"n": n}), LossyNumbers::Exact), Ok(json!(n * 2))));
            });
        }
    });
}
