//! Thirty days of a hundred devices in virtual time: the machines of the server, simulated devices of every power mode, a
//! network that loses, repeats and reorders, and a platform that sends all it can.
//!
//! Everything follows from one seed. While it runs, a checker holds every event against the specifications: each command
//! ends in exactly one way (`rulings` 2.11), each reading that a device saw acknowledged is stored (delivery promise), a
//! device has one session at most, and each is closed once. At the end nothing may be left: no endpoint, key, command,
//! body or timer.
//!
//! `LIGHTSHIP_SOAK_SEEDS` says how many seeds are run, `LIGHTSHIP_SOAK_SEED` names one; `make soak` runs a thousand. A seed
//! that fails is run again with the history of the device at fault.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic here is a failed test, only some variants matter to it, and it says how far it has come"
)]

mod commands;
mod device;
mod dice;
mod history;
mod platform;
mod server;
mod world;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use history::Ends;
use world::{Figures, World};

#[test]
fn every_command_of_thirty_days_ends_in_one_way_and_nothing_is_left() {
    let seeds: Vec<u64> = match number("LIGHTSHIP_SOAK_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("LIGHTSHIP_SOAK_SEEDS").unwrap_or(20)).collect(),
    };
    let next = AtomicU64::new(0);
    let total = Mutex::new((Figures::default(), None));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            if total.lock().unwrap().1.is_some() {
                return;
            }
            let figures = run(*seed);
            let mut total = total.lock().unwrap();
            match figures {
                Some(figures) => total.0.add(&figures),
                None => total.1 = total.1.min(Some(*seed)).or(Some(*seed)),
            }
            if total.0.seeds % 50 == 0 {
                eprintln!("{} of {} seeds", total.0.seeds, seeds.len());
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(seeds.len()) {
            scope.spawn(work);
        }
    });
    let (figures, failed) = total.into_inner().unwrap();
    eprintln!("{figures}");
    if let Some(seed) = failed {
        panic!("seed {seed} failed: LIGHTSHIP_SOAK_SEED={seed} runs it alone");
    }
    assert_eq!(figures.seeds, seeds.len() as u64);
    // A run in which something never happens proves nothing of it.
    let Ends { counts, .. } = figures.ends;
    assert!(
        seeds.len() < 20 || counts.iter().all(|count| *count > 0),
        "{figures}"
    );
}

#[test]
fn a_seed_says_everything() {
    let run = || {
        let mut world = World::new(7, Duration::from_secs(3 * 24 * 3600), false);
        world.run();
        world.figures().to_string()
    };
    assert_eq!(run(), run());
}

/// Runs a seed; when that fails, runs it again to tell what happened.
fn run(seed: u64) -> Option<Figures> {
    let mut world = World::new(seed, DAYS, false);
    if catch_unwind(AssertUnwindSafe(|| world.run())).is_ok() {
        return Some(world.figures());
    }
    let mut world = World::new(seed, DAYS, true);
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(()) => eprintln!("seed {seed} failed once and did not fail again"),
        Err(_) => eprintln!("seed {seed} failed\n{}", world.report()),
    }
    None
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
    )
}

const DAYS: Duration = Duration::from_secs(30 * 24 * 3600);
