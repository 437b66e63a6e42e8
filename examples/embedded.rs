//! The database inside of one's own program, without a server:
//! `cargo run --release --example embedded`.

use tsdb_vector::base::{Deadline, LabelFilter, Labels, Points, Result, SeriesName, TimeRange, ValueType};
use tsdb_vector::engine::{Engine, Options, Query, Write};
use tsdb_vector::mp::{Selection, discords};

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("tsdb-embedded-{}", std::process::id()));
    let engine = Engine::open(Options::new(&dir))?;
    let series = SeriesName::new("pulse")?;
    engine.write(Write::Create {
        name: series.clone(),
        dimension: 1,
        value_type: ValueType::F64,
        if_not_exists: true,
    })?;

    // A second of a sine wave at 1 kHz, with a hiccup.
    let mut values: Vec<f64> = (0..1000).map(|at| (f64::from(at) / 20.0).sin()).collect();
    values[700..730].fill(0.0);
    let points = Points {
        dimension: 1,
        timestamps_ns: (0..1000).map(|at| at * 1_000_000).collect(),
        values,
        label_sets: vec![Labels::new([("sensor", "left")])?],
        ..Points::default()
    };
    let written = engine.write(Write::Insert { series: series.clone(), points })?;
    println!("on disk: {written:?}");

    let query = Query { series, range: TimeRange::ALL, labels: LabelFilter::any(), limit: usize::MAX };
    let page = engine.query(&query, &Deadline::none())?;
    let selection = Selection { values: &page.rows.values, dimension: 1, window: 60, normalize: true };
    for discord in discords(&selection, 1, &Deadline::none())? {
        println!(
            "most unusual: 60 points from {} ms on, {:.2} from its nearest neighbour",
            page.rows.timestamps_ns[discord.index] / 1_000_000,
            discord.score
        );
    }
    engine.close()?;
    if let Err(e) = std::fs::remove_dir_all(&dir) {
        eprintln!("{} was left behind: {e}", dir.display());
    }
    Ok(())
}
