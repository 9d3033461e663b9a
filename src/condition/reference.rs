//! The page of expressions, compared with the functions that there are.
//!
//! `UPDATE=1 cargo test --lib condition::reference` writes `docs/reference/expressions.md` anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::functions::forms;

const PAGE: &str = "docs/reference/expressions.md";

const HEAD: &str = "# Expressions (CEL)\n\n\
    Conditions (`when`), keys (`order_by`, `balance.key`), values (`transform.body`, `transform.set`, `event.type`, \
    `event.id`) and the filter `--where` are [CEL](https://cel.dev). Names and functions are checked when the file is \
    loaded, and the steps of an evaluation are bounded.\n\n\
    ## Variables\n\n\
    | Variable | Is |\n|---|---|\n\
    | `body` | the JSON body; an expression that reads it fails when the body is not JSON |\n\
    | `form` | the first value of each field of a form; empty where no form came |\n\
    | `form_all` | a list of all values of each field |\n\
    | `headers[\"x-name\"]` | a header, by its name in lower case |\n\
    | `event.type`, `event.id` | the event type; the provider's delivery id |\n\
    | `source` | the name of the source |\n\
    | `method`, `path`, `query` | of the request |\n\
    | `params` | [path parameters](../guides/sources.md#path-parameters) |\n\n\
    ## Missing members\n\n\
    An expression that reads a member which is not there fails, and the [route fails](../guides/routes.md#a-route-that-fails). \
    `has(body.x)`, `body.?x` and `body[?\"x\"]` ask without failing.\n\n\
    ## Numbers\n\n\
    An expression calculates with 64-bit integers and doubles, compares longer numbers exactly, and fails where it would \
    round one. `1 / 2` is an integer; write `double(x) / 2.0`.\n\n\
    ## Operators\n\n\
    `+ - * / %`, `== != < <= > >=`, `&& || !`, `in`, `x ? a : b`, `list[0]`, `map.key`, `map[\"key\"]`.\n\n\
    ## Functions\n\n\
    | Function | Called so | Gives |\n|---|---|---|\n";

/// The results of the functions.
const GIVES: [(&str, &str); 40] = [
    ("all", "whether the condition holds for every element"),
    ("bool", "a boolean, from the text `true` or `false`"),
    ("bytes", "the bytes of a text"),
    ("contains", "whether the text holds the other"),
    ("double", "a double, from a number or a text"),
    ("duration", "a duration"),
    ("dyn", "the value itself, of any type"),
    ("endsWith", "whether the text ends so"),
    ("exists", "whether the condition holds for an element"),
    ("exists_one", "whether the condition holds for exactly one element"),
    ("filter", "the elements for which the condition holds"),
    ("getDate", "the day of the month, from one"),
    ("getDayOfMonth", "the day of the month, from zero"),
    ("getDayOfWeek", "the day of the week, Sunday is zero"),
    ("getDayOfYear", "the day of the year, from zero"),
    ("getFullYear", "the year"),
    ("getHours", "the hour; of a duration all of its hours"),
    ("getMilliseconds", "the milliseconds of the second"),
    ("getMinutes", "the minute; of a duration all of its minutes"),
    ("getMonth", "the month, January is zero"),
    ("getSeconds", "the second; of a duration all of its seconds"),
    ("has", "whether the member is there"),
    ("hasValue", "whether the optional has a value"),
    ("int", "an integer, from a number, a text, or a timestamp (Unix seconds)"),
    ("map", "the list of the values"),
    ("matches", "whether the regular expression is found in the text, in linear time"),
    ("none", "an optional without a value"),
    ("of", "an optional with this value"),
    ("ofNonZeroValue", "an optional that is empty for `0`, `\"\"` and the like"),
    ("optFlatMap", "the optional that is made of the value, or an empty one"),
    ("optMap", "an optional of what is made of the value, or an empty one"),
    ("or", "the first optional that has a value"),
    ("orValue", "the value, or this one"),
    ("size", "the length of a text, a list or a map"),
    ("startsWith", "whether the text begins so"),
    ("string", "a text; numbers keep their digits"),
    ("timestamp", "a point in time; its methods answer in UTC unless a zone is named"),
    ("type", "the type of the value"),
    ("uint", "an unsigned integer"),
    ("value", "the value of the optional; fails when it has none"),
];

fn page() -> String {
    let mut page = HEAD.to_owned();
    for ((name, form), (explained, gives)) in forms().zip(GIVES) {
        assert_eq!(name, explained, "GIVES explains each function, sorted by name");
        writeln!(page, "| `{name}` | `{form}` | {gives} |").unwrap();
    }
    page
}

#[test]
fn the_page_of_expressions_lists_the_functions_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let current = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(current, page(), "{PAGE} is stale: UPDATE=1 cargo test --lib condition::reference");
}
