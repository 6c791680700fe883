//! Allocations of what `benches/codecs.rs` times: in a program of its own, because counting them costs time.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is a measurement"
)]

mod support;

use allocation_counter::measure;
use support::{Contest, Run, formats, messages};

fn main() {
    // `cargo test --benches` only wants to know whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    table("content formats", "value", formats::contests());
    table("message layer", "message", messages::contests());
}

fn table(title: &str, unit: &str, contests: Vec<Contest>) {
    println!(
        "\n| {title} | | allocations per {unit} | bytes | beside | theirs | bytes |\n|---|---|--:|--:|---|--:|--:|"
    );
    for contest in contests {
        let Contest {
            subject,
            work,
            units,
            mut ours,
            rivals,
        } = contest;
        let ours = count(&mut ours, units);
        if rivals.is_empty() {
            println!("| {subject} | {work} | {ours} | | | |");
        }
        for (name, mut rival) in rivals {
            let theirs = count(&mut rival, units);
            println!("| {subject} | {work} | {ours} | {name} | {theirs} |");
        }
    }
}

/// Allocations per unit and their bytes; growing one is an allocation.
fn count(run: &mut Run, units: u32) -> String {
    let mut runs = || (0..RUNS).for_each(|_| run());
    // What is made once and grows to its bound does not count.
    runs();
    let counted = measure(runs);
    let per_unit = |total: u64| total as f64 / f64::from(RUNS * units);
    format!(
        "{:.1} | {:.0}",
        per_unit(counted.count_total),
        per_unit(counted.bytes_total)
    )
}

const RUNS: u32 = 1000;
