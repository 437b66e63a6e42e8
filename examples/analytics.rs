//! Analyses of a recording of a heart in the library, without a server:
//! `cargo run --release --example analytics`.
//!
//! Prints the most unusual beats, a motif with how often it comes, and how far the first half
//! is from the second.

use std::error::Error;

use tsdb_vector::base::Deadline;
use tsdb_vector::mp::{
    Computation, MPDIST_PART, Progress, Radius, Selection, discords_of, motifs_of, mpdist_of,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/ecg_mitbih_208.csv");
/// Samples a second.
const RATE: f64 = 360.0;
/// Half a second: a beat.
const WINDOW: usize = 180;

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(FILE)?;
    let millivolts: Vec<f64> =
        text.lines().skip(1).take(20_000).filter_map(|line| line.split(',').nth(1)?.parse().ok()).collect();
    let select = |values| Selection { values, dimension: 1, window: WINDOW, normalize: true };
    let deadline = Deadline::none();

    // The profile: for every window, how far its nearest neighbour is.
    let computation = Computation::self_join(&select(&millivolts))?;
    let outcome = computation.run(&deadline, &Progress::default());
    println!("{} pairs of windows compared", outcome.cells);
    for discord in discords_of(&outcome.profile, WINDOW, 3, |_| false) {
        let seconds = discord.index as f64 / RATE;
        println!("unusual: from {seconds:.2} s on, {:.2} from the window most like it", discord.score);
    }

    let (motifs, _) = motifs_of(&computation, &outcome.profile, 1, Some(Radius::TwiceThePair), &deadline);
    for motif in motifs {
        println!(
            "motif: from {:.2} s and {:.2} s on, {:.2} apart; {} windows are as alike",
            motif.a as f64 / RATE,
            motif.b as f64 / RATE,
            motif.distance,
            motif.occurrences.len()
        );
    }

    // Two series: every window of each, and the nearest in the other.
    let (first, second) = millivolts.split_at(millivolts.len() / 2);
    let [there, back] = [(first, second), (second, first)].map(|(one, other)| {
        let join = Computation::join(&select(one), &select(other))?;
        Ok::<_, Box<dyn Error>>(join.run(&deadline, &Progress::default()).profile)
    });
    let distance = mpdist_of([&there?, &back?], millivolts.len(), MPDIST_PART);
    println!("the halves are {:.2} from each other", distance.unwrap_or(f64::NAN));
    Ok(())
}
