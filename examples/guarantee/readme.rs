//! The part of the README that is made here.

use std::{fs, io};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- made by `cargo run --release --example guarantee -- --write` -->\n";
const END: &str = "<!-- end -->";

pub(crate) fn write(tables: &str) -> io::Result<()> {
    let readme = fs::read_to_string(README)?;
    let (before, _, after) = parts(&readme)?;
    fs::write(README, format!("{before}{BEGIN}{tables}{END}{after}"))
}

pub(crate) fn agrees(tables: &str) -> io::Result<bool> {
    let readme = fs::read_to_string(README)?;
    Ok(parts(&readme)?.1 == tables)
}

fn parts(readme: &str) -> io::Result<(&str, &str, &str)> {
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(missing)?;
    let (tables, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok((before, tables, after))
}

fn missing() -> io::Error {
    io::Error::other("README.md has no place for the tables")
}
