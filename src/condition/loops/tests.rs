//! Tests that compare our loops with cel's own, over the same request.

use serde_json::{Value as Json, json};

use super::super::budget::Budget;
use super::super::check::Names;
use super::super::prepare::{self, Program};
use super::super::problem::WRONG_TYPE;
use super::super::request::over;
use super::super::{ConditionError, Expression, STEPS_MAX, parsed};

/// The result of a text, and the steps that it took.
type Outcome = (Result<bool, ConditionError>, u32);

fn outcome(program: Program, text: &str, body: &Json) -> Outcome {
    let expression = Expression { text: text.to_owned(), program, names: Names::default(), masked: None };
    let budget = Budget::default();
    (over(Some(body), |view| expression.truth(view, &budget)).map_err(ConditionError::bare), budget.spent())
}

/// Evaluates a text by our loops.
fn ours(text: &str, body: &Json) -> Outcome {
    let (tree, places) = parsed(text).unwrap();
    outcome(prepare::prepared(tree, &places).unwrap(), text, body)
}

/// Evaluates a text by cel's loops with counted rounds: within a `map` they stay cel's.
fn counted(text: &str, body: &Json) -> Outcome {
    let (tree, places) = parsed(&format!("[0].map(one, {text})[0]")).unwrap();
    let program = prepare::prepared(tree, &places).unwrap();
    assert!(program.loops.is_empty(), "{text}");
    let (gave, steps) = outcome(program, text, body);
    (gave, steps - u32::from(steps <= STEPS_MAX))
}

/// Evaluates a text by cel alone.
fn plain(text: &str, body: &Json) -> Result<bool, ConditionError> {
    let (tree, _) = parsed(text).unwrap();
    outcome(Program { tree, patterns: Vec::new(), loops: Vec::new() }, text, body).0
}

fn body() -> Json {
    json!({
        "items": [
            {"ok": true, "n": 1, "name": "a", "tags": ["a", "b"], "type": "push", "subs": [{"ok": false, "n": 5}]},
            {"ok": false, "n": 0, "name": "b", "tags": [], "type": "pull", "subs": []},
            {"n": 2, "name": "c", "tags": "none", "subs": [{"ok": true}, {"n": 1}]},
        ],
        "good": [{"ok": true, "n": 1}, {"ok": true, "n": 2}], "flags": [false, true, true], "one": [false, true],
        "mixed": [1, "a", null, true, [1], {"ok": 1}], "none": [], "map": {"a": 1, "b": 2}, "empty": {},
        "text": "t", "nil": null, "name": "b", "n": 2,
    })
}

#[test]
fn a_loop_gives_what_cels_own_gives() {
    for (text, expected) in [
        ("body.items.exists(i, i.name == 'c')", Ok(true)),
        ("body.items.exists(i, i.ok)", Ok(true)),
        ("body.items.exists(i, i.tags.exists(t, t == 'b'))", Ok(true)),
        ("body.items.all(i, i.ok)", Ok(false)),
        ("body.items.exists(i, i.n == 9)", Ok(false)),
        // An error that no other round outweighs; of several the last.
        ("body.items.all(i, i.ok || i.n == 0)", Err(ConditionError::MissingKey { name: Some("ok".to_owned()) })),
        ("body.items.exists(i, 1 / i.n == 9)", Err(ConditionError::Arithmetic)),
        (
            "body.items.exists(i, i.n == 0 ? 1 / 0 == 1 : i.subs[0].x)",
            Err(ConditionError::MissingKey { name: Some("x".to_owned()) }),
        ),
        ("body.items.exists(i, i.n)", Err(WRONG_TYPE)),
        ("body.flags.exists_one(f, f)", Ok(false)),
        ("body.one.exists_one(f, f)", Ok(true)),
        ("body.mixed.exists_one(m, m == 1)", Ok(true)),
        ("body.mixed.exists_one(m, m)", Err(WRONG_TYPE)),
        ("body.none.exists(i, i.nope) || body.none.exists_one(i, i.nope) || !body.none.all(i, i.nope)", Ok(false)),
        ("body.map.exists(k, body.map[k] == 2)", Ok(true)),
        ("headers.all(h, h == 'x-shop-topic')", Ok(true)),
        ("body.text.exists(c, true)", Err(WRONG_TYPE)),
        ("body.nil.all(c, true)", Err(WRONG_TYPE)),
        ("body.?items.all(c, true)", Err(WRONG_TYPE)),
        ("body.nope.all(c, true)", Err(ConditionError::MissingKey { name: Some("nope".to_owned()) })),
        ("body.nope.all(c, true) || true", Ok(true)),
        ("[optional.of(1), optional.none()].exists(o, !o.hasValue())", Ok(true)),
        // The variable of a loop hides outer ones, also under a name with a dot.
        ("body.items.exists(event, event.type == 'pull') && event.type == 'push'", Ok(true)),
        ("body.items.exists(body, body.name == 'b' && !body.ok)", Ok(true)),
        ("body.items.exists(i, i.subs.exists(i, i.n == 5) && i.n == 1)", Ok(true)),
        ("body.items.exists(i, body.good.exists(g, g.n == i.n && i.name == 'c'))", Ok(true)),
        ("[1].exists(int, int == 1) && type(1) == int", Ok(true)),
        ("[{'protobuf': {'Duration': 1}}].all(google, google.protobuf.Duration == 1)", Ok(true)),
        ("body.items.exists(i, i.name == 'c') == body.items.filter(i, i.n == 2).exists(j, j.name == 'c')", Ok(true)),
        // Fields of a value that is no JSON, of variables that hide the body, and of no body.
        ("[body.?map, body.?nope].all(o, o.a == optional.of(1) || o.a == optional.none())", Ok(true)),
        (
            "[optional.of(1)].all(o, o.a == optional.none())",
            Err(ConditionError::MissingKey { name: Some("a".to_owned()) }),
        ),
        ("body.good.exists(o, [optional.of(o)].exists(o, o.n == optional.of(2)))", Ok(true)),
        ("body.good.map(body, [optional.of(body)].map(body, body.n.orValue(0))[0]) == [1, 2]", Ok(true)),
        ("body.?good.optMap(body, body.exists(g, has(g.n) && g.n == 2)).orValue(false)", Ok(true)),
        ("body.text.a.b == 1", Err(WRONG_TYPE)),
        ("body.items.a == 1", Err(WRONG_TYPE)),
        ("has(body.items[0].n) && !has(body.map.c) && has(body.map.a)", Ok(true)),
        // Variables of cel's loops, outside and inside.
        ("body.good.map(g, body.items.exists(i, i.n == g.n)) == [true, true]", Ok(true)),
        ("body.items.exists(i, body.good.map(g, g.n + i.n) == [3, 4])", Ok(true)),
        ("body.?name.optMap(v, body.items.exists(i, i.name == v)).orValue(false)", Ok(true)),
    ] {
        let body = body();
        let (gave, steps) = ours(text, &body);
        assert_eq!(gave, expected, "{text}");
        // A list on the left is a case that `prepare` solves and cel alone does not.
        let plain = if text.contains(") == [") { expected } else { plain(text, &body) };
        assert_eq!((gave.clone(), (gave, steps)), (plain, counted(text, &body)), "{text}");
    }
}

#[test]
fn a_loop_is_taken_out_unless_cels_variables_are_around() {
    for (text, taken) in [
        ("body.x.exists(i, i) && body.x.all(i, i) || body.x.exists_one(i, i)", 3),
        ("body.x.exists(i, i.all(j, j))", 2),
        ("body.x.map(i, i.y).exists(j, j)", 1),
        ("body.x.exists(i, i.map(j, j.all(k, k)) == [])", 1),
        ("body.x.map(i, i.all(j, j)) == []", 0),
        ("body.x.filter(i, i.all(j, j)) == []", 0),
        ("optional.of(1).optMap(i, [i].all(j, j == 1)).orValue(false)", 0),
        ("body.x.map(i, i.y, i) == []", 0),
    ] {
        let (tree, places) = parsed(text).unwrap();
        assert_eq!(prepare::prepared(tree, &places).unwrap().loops.len(), taken, "{text}");
    }
}

#[test]
fn a_loop_that_asks_for_too_much_ends_where_cels_own_ends() {
    let body = json!({"many": (0..300).collect::<Vec<_>>()});
    for text in [
        "body.many.all(x, body.many.all(y, true))",
        "body.many.exists(x, body.many.exists(y, false) || 1 / 0 == 1)",
        "body.many.exists_one(x, body.many.exists_one(y, false)) || true",
        "body.many.exists(x, body.many.all(y, x > 290 || y < 200))",
    ] {
        let (gave, steps) = ours(text, &body);
        assert_eq!(gave, Err(ConditionError::TooLarge), "{text}");
        assert_eq!((gave, steps), counted(text, &body), "{text}");
    }
}

const RANGES: [&str; 14] = [
    "body.items",
    "body.items",
    "body.good",
    "body.mixed",
    "body.flags",
    "body.none",
    "body.map",
    "body.text",
    "body.nope",
    "[1, 2, 0]",
    "headers",
    "[optional.of(1), optional.none()]",
    "body.items.filter(f, f.n > 0)",
    "params",
];
const NAMES: [&str; 6] = ["x", "y", "event", "body", "int", "google"];
/// The predicates; `$` is the variable of the loop.
const PREDICATES: [&str; 20] = [
    "$.ok",
    "$.n > 1",
    "$.nope == 1",
    "$",
    "$ == 'a'",
    "$ == 1",
    "1 / $.n == 1",
    "1",
    "true",
    "false",
    "$.type == 'push'",
    "event.type == 'push'",
    "body.name == $.name",
    "type($) == int",
    "has($.ok)",
    "$.?ok.orValue(true)",
    "$.tags.size() > 0",
    "x.n > body.n",
    "y.ok || x.ok",
    "google.protobuf.Duration == 1",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// Returns a loop whose predicate may hold `deeper` more levels; `around` is the variable of the outer loop.
    fn any_loop(&mut self, around: Option<&str>, deeper: usize) -> String {
        let range = match around {
            Some(around) if self.below(3) == 0 => format!("{around}.{}", self.one_of(&["subs", "tags", "nope"])),
            _ => self.one_of(&RANGES).to_owned(),
        };
        let kind = self.one_of(&["exists", "all", "exists_one"]);
        let variable = self.one_of(&NAMES);
        let mut predicate = self.one_of(&PREDICATES).replace('$', variable);
        for _ in 0..self.below(3) {
            let more = match self.below(3) {
                0 if deeper > 0 => self.any_loop(Some(variable), deeper - 1),
                _ => self.one_of(&PREDICATES).replace('$', variable),
            };
            let joint = self.one_of(&["&&", "||", "!=", "? false :"]);
            predicate = format!("({predicate}) {joint} ({more})");
        }
        format!("{range}.{kind}({variable}, {predicate})")
    }
}

#[test]
fn loops_at_random_give_what_cels_own_give() {
    let (mut random, body) = (Random(5), body());
    let (mut held, mut failed, mut nested) = (0, 0, 0);
    let rounds: usize = option_env!("FUZZ_ROUNDS").map_or(3_000, |rounds| rounds.parse().unwrap());
    for _ in 0..rounds {
        let mut text = random.any_loop(None, 2);
        if random.below(4) == 0 {
            text = format!("{text} {} {}", random.one_of(&["&&", "||"]), random.any_loop(None, 1));
        }
        let (gave, steps) = ours(&text, &body);
        assert_eq!(gave, plain(&text, &body), "{text}");
        assert_eq!((gave.clone(), steps), counted(&text, &body), "{text}");
        held += usize::from(gave == Ok(true));
        failed += usize::from(gave.is_err());
        nested += usize::from(text.matches(", ").count() > 1);
    }
    assert!(held.min(failed).min(nested) > rounds / 10, "{held} {failed} {nested}");
}
