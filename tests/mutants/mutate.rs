//! One mutant: a valid or forged request, changed in one to four places.
//!
//! Parts of valid requests move into others. Mutants are requests that a stranger can send: none needs a secret.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::edits;
use crate::oracle::Law;
use crate::request::Request;

/// Makes a mutant of the request at `base`, with parts of the others.
pub(crate) fn mutant(law: &dyn Law, pool: &[Request], base: usize, rng: &mut StdRng) -> Request {
    let mut request = pool[base].clone();
    let changes = [1, 1, 1, 2, 2, 3, 4].choose(rng).unwrap();
    for _ in 0..*changes {
        let other = pool.choose(rng).unwrap();
        match rng.random_range(0..20_u8) {
            0..=4 => body(&mut request, other, rng),
            5..=13 => header(law, &mut request, other, rng),
            14 => splice(law, &mut request, other, rng),
            15 => url(&mut request, other, rng),
            16 => law.change(&mut request, rng),
            17 | 18 => time(&mut request, other, rng),
            _ => request.method = (*["GET", "PUT", "post", "", "DELETE"].choose(rng).unwrap()).to_owned(),
        }
    }
    request
}

fn body(request: &mut Request, other: &Request, rng: &mut StdRng) {
    match rng.random_range(0..12_u8) {
        0 => request.body.clear(),
        1 => request.body.clone_from(&other.body),
        2 => request.body.extend_from_slice(&other.body),
        3 => edits::number(&mut request.body, rng),
        4 => fields(&mut request.body, rng),
        5 => {
            // Moves the border between time and body, where nothing separates them.
            let name = request.headers.choose(rng).map(|(name, _)| name.clone());
            let Some(at) = name.and_then(|name| request.position(&name)) else { return };
            if rng.random() && !request.body.is_empty() {
                let moved = request.body.remove(0);
                request.headers[at].1.push(moved);
            } else if let Some(moved) = request.headers[at].1.pop() {
                request.body.insert(0, moved);
            }
        }
        _ => edits::bytes(&mut request.body, rng),
    }
}

/// Changes the fields of a form or query.
fn fields(text: &mut Vec<u8>, rng: &mut StdRng) {
    let written = String::from_utf8_lossy(text).into_owned();
    let mut fields: Vec<String> = written.split('&').map(str::to_owned).collect();
    let at = rng.random_range(0..fields.len());
    match rng.random_range(0..8_u8) {
        0 => fields.shuffle(rng),
        1 => fields.push(fields[at].clone()),
        2 => drop(fields.remove(at)),
        3 => fields.insert(at, String::new()),
        4 => fields[at] = fields[at].replace('=', ""),
        5 => fields[at] = fields[at].replace('+', "%20").replace('a', "%61"),
        6 => fields.insert(at, "a=b".to_owned()),
        _ => fields[at] = fields[at].replace("%2B", "+"),
    }
    *text = fields.join("&").into_bytes();
}

/// Changes one header; nine times in ten one that the law consults.
fn header(law: &dyn Law, request: &mut Request, other: &Request, rng: &mut StdRng) {
    let consulted = (*law.headers().choose(rng).unwrap()).to_owned();
    let any = request.headers.choose(rng).map(|(name, _)| name.clone());
    let name = if rng.random_bool(0.9) { consulted } else { any.unwrap_or(consulted) };
    let theirs = other.position(&name).map(|at| other.headers[at].1.clone()).unwrap_or_default();
    let Some(at) = request.position(&name) else { return request.headers.push((name, theirs)) };
    let value = &mut request.headers[at].1;
    match rng.random_range(0..16_u8) {
        0 | 1 => edits::bytes(value, rng),
        2..=4 => edits::encoding(value, rng),
        5 | 6 => edits::list(value, &theirs, rng),
        7 | 8 => edits::number(value, rng),
        9 => prefix(value, rng),
        10 => *value = theirs,
        11 => value.clear(),
        12 => {
            let again = [value.clone(), theirs, Vec::new()].choose(rng).unwrap().clone();
            request.headers.insert(if rng.random() { at } else { request.headers.len() }, (name, again));
        }
        13 => rename(request, at, rng),
        14 => {
            if rng.random() {
                value.make_ascii_uppercase();
            } else {
                value.make_ascii_lowercase();
            }
        }
        _ => drop(request.headers.remove(at)),
    }
}

/// Changes the text before the signature.
fn prefix(value: &mut Vec<u8>, rng: &mut StdRng) {
    let text = String::from_utf8_lossy(value).into_owned();
    let bare = text.split_once('=').map_or(text.as_str(), |(_, bare)| bare);
    let before = ["", "sha256=", "sha1=", "SHA256=", "v0=", "v1=", "v1,", "=", "sha256= ", "t=1,", "Bearer ", "Basic "];
    *value = [before.choose(rng).unwrap(), bare].concat().into_bytes();
}

fn rename(request: &mut Request, at: usize, rng: &mut StdRng) {
    let to = rng.random_range(0..request.headers.len());
    let name = &mut request.headers[at].0;
    match rng.random_range(0..5_u8) {
        0 => name.push_str("-2"),
        1 => drop(name.pop()),
        2 => *name = name.replace('-', "_"),
        // Header names have no case, so the mutant stays authentic.
        3 => *name = name.to_uppercase(),
        _ => {
            let moved = std::mem::take(&mut request.headers[to].1);
            request.headers[to].1 = std::mem::replace(&mut request.headers[at].1, moved);
        }
    }
}

/// Takes one header of another request, or all but its body.
fn splice(law: &dyn Law, request: &mut Request, other: &Request, rng: &mut StdRng) {
    let names: Vec<_> = law.headers().iter().filter(|_| rng.random_bool(0.6)).collect();
    for name in names {
        match other.position(name) {
            Some(at) => request.set(name, other.headers[at].1.clone()),
            None => request.headers.retain(|(one, _)| one != name),
        }
    }
}

fn url(request: &mut Request, other: &Request, rng: &mut StdRng) {
    let url = request.url.clone();
    let (before, query) = url.split_once('?').unwrap_or((&url, ""));
    let mut query = query.as_bytes().to_vec();
    match rng.random_range(0..12_u8) {
        0 => request.url.clone_from(&other.url),
        1 => request.url.push('/'),
        2 => request.url.push_str("#x"),
        3 => request.url = url.replacen(":443", "", 1),
        4 => request.url = url.replacen(".com/", ".com:443/", 1),
        5 => request.url = url.replacen(".com", ".com:8443", 1),
        6 => request.url = url.replacen("https", "http", 1),
        7 => request.url = url.to_uppercase(),
        8 => before.clone_into(&mut request.url),
        9 => {
            fields(&mut query, rng);
            request.url = format!("{before}?{}", String::from_utf8_lossy(&query));
        }
        10 => request.url = format!("{url}&b=2"),
        _ => {
            let mut bytes = url.clone().into_bytes();
            edits::bytes(&mut bytes, rng);
            request.url = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// Changes the time of arrival: around the edges of windows, and far away.
fn time(request: &mut Request, other: &Request, rng: &mut StdRng) {
    let by = *[1, 999, 1000, 5000, 5001, 299_999, 300_000, 300_001, 86_400_000, 1 << 45].choose(rng).unwrap();
    request.now_ms = match rng.random_range(0..5_u8) {
        0 | 1 => request.now_ms.saturating_add(by),
        2 | 3 => request.now_ms.saturating_sub(by),
        _ => other.now_ms,
    };
}
