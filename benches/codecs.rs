//! Encoding and decoding of every content format, and the message layer, beside published crates of the same grammar.
//!
//! The contestants take turns in short rounds, and the best round of each counts: nothing makes work faster than it is,
//! and whatever else the machine does makes it slower.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "this is a measurement"
)]

mod support;

use std::time::{Duration, Instant};

use support::{Contest, Run, formats, messages};

fn main() {
    // `cargo test --benches` only wants to know whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    // Further arguments choose the subjects that contain one of them.
    let chosen: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut messages = messages::contests();
    let mut formats = formats::contests();
    for contests in [&mut formats, &mut messages] {
        contests.retain(|contest| {
            chosen.is_empty() || chosen.iter().any(|part| contest.subject.contains(part))
        });
    }
    table("content formats", "values", formats);
    table("message layer", "messages", messages);
}

fn table(title: &str, unit: &str, contests: Vec<Contest>) {
    println!("\n| {title} | | {unit} per second | beside | ratio |\n|---|---|--:|---|--:|");
    for contest in contests {
        let Contest {
            subject,
            work,
            units,
            ours,
            rivals,
        } = contest;
        let (names, rivals): (Vec<_>, Vec<_>) = rivals.into_iter().unzip();
        let (rate, ratios) = measure(ours, rivals);
        let rate = grouped((rate * f64::from(units)) as u64);
        if names.is_empty() {
            println!("| {subject} | {work} | {rate} | | |");
        }
        for (name, ratio) in names.iter().zip(ratios) {
            println!("| {subject} | {work} | {rate} | {name} | {ratio:.2} |");
        }
    }
}

/// Runs per second of the first contestant, and how often as fast as each of the others it is.
fn measure(ours: Run, rivals: Vec<Run>) -> (f64, Vec<f64>) {
    let mut contestants: Vec<_> = std::iter::once(ours)
        .chain(rivals)
        .map(|mut run| (runs_per_round(&mut run), 0.0_f64, run))
        .collect();
    for _ in 0..ROUNDS {
        for (runs, best, run) in &mut contestants {
            *best = best.max(rate(*runs, run));
        }
    }
    let (_, ours, _) = contestants.remove(0);
    let ratios = contestants.iter().map(|(_, theirs, _)| ours / theirs);
    (ours, ratios.collect())
}

/// How often a contestant runs in a round, found by doubling. One slow time says nothing: something else ran then.
fn runs_per_round(run: &mut Run) -> u32 {
    let mut runs = 1;
    while (0..3).any(|_| time(runs, run) < ROUND) {
        runs *= 2;
    }
    runs
}

/// Runs per second.
fn rate(runs: u32, run: &mut Run) -> f64 {
    f64::from(runs) / time(runs, run).as_secs_f64()
}

fn time(runs: u32, run: &mut Run) -> Duration {
    let start = Instant::now();
    for _ in 0..runs {
        run();
    }
    start.elapsed()
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b',')).into_owned()
}

const ROUNDS: usize = 101;
/// The least a round lasts: less than the slice of a scheduler, so that most rounds are not interrupted.
const ROUND: Duration = Duration::from_millis(1);
