//! Generates the list of provider rows from their folder, so that a new provider needs one new file only.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let folder = Path::new(&root).join("src/provider/rows");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the rows are there")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    let mut list = String::from("[\n");
    for name in names {
        let path = folder.join(format!("{name}.yaml"));
        let path = path.to_str().expect("the package lies under a path that is text");
        writeln!(list, "    ({name:?}, include_str!({path:?})),").expect("a text takes what is written to it");
    }
    list.push_str("]\n");
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says where to write")).join("rows.rs");
    fs::write(out, list).expect("the folder for generated files can be written");
}
