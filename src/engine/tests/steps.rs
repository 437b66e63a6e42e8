//! What a client does, on the engine and in thought, so that a test can tell what it
//! may find after some of it failed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Points by series, timestamp and label; values as whole numbers.
type Series = BTreeMap<(i64, &'static str), i64>;

/// What a client may find, in one of the ways that things can have gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct World {
    series: BTreeMap<&'static str, Series>,
    saved: BTreeMap<&'static str, BTreeMap<&'static str, Series>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Create(&'static str),
    /// Points from a timestamp on, one a nanosecond, with values that count up.
    Batch {
        series: &'static str,
        start: i64,
        rows: i64,
        value: i64,
        label: &'static str,
    },
    Delete {
        series: &'static str,
        start: i64,
        end: i64,
    },
    Drop(&'static str),
    Flush,
    Compact,
    Save(&'static str),
    Load(&'static str),
    /// Writes that wait together for one commit of their group.
    Together(&'static [Step]),
}

/// Runs a step and notes what a client was told; the first failure that was no refusal.
pub(super) fn run_and_tell(step: Step, engine: &Engine, worlds: &mut Worlds) -> Result<()> {
    let Step::Together(steps) = step else {
        let outcome = step.run(engine);
        worlds.told(step, &outcome);
        return outcome.or_else(|e| if is_refusal(e.code()) { Ok(()) } else { Err(e) });
    };
    let outcomes = together(engine, steps);
    let mut first = Ok(());
    for (step, outcome) in steps.iter().zip(outcomes) {
        worlds.told(*step, &outcome);
        first = first.and(outcome.or_else(|e| if is_refusal(e.code()) { Ok(()) } else { Err(e) }));
    }
    first
}

/// Has writes wait in their shards until all are there, and commits them.
fn together(engine: &Engine, steps: &[Step]) -> Vec<Result<()>> {
    let mut generation = engine.inner.generation.write();
    if generation.groups.is_empty() {
        generation.start_groups();
    }
    let answers: Vec<_> = steps
        .iter()
        .map(|step| {
            let write = step.write().expect("only writes wait together");
            let (sender, receiver) = std::sync::mpsc::channel();
            let done = move |result: Result<Written>| sender.send(result.map(drop)).unwrap();
            generation.shard(write.series()).submit(write, Box::new(done));
            receiver
        })
        .collect();
    generation.groups.iter().for_each(|group| while group.commit_ready() {});
    answers.into_iter().map(|answer| answer.recv().unwrap()).collect()
}

impl Step {
    /// The write of a step that is one.
    pub fn write(self) -> Option<Write> {
        Some(match self {
            Self::Create(series) => {
                let (dimension, value_type) = (1, ValueType::F64);
                Write::Create { name: name(series), dimension, value_type, if_not_exists: false }
            }
            Self::Batch { series, start, rows, value, label } => {
                let points = Points {
                    dimension: 1,
                    timestamps_ns: (start..start + rows).collect(),
                    values: (value..value + rows).map(|value| value as f64).collect(),
                    label_ids: vec![0; rows as usize],
                    label_sets: vec![set(label)],
                    ..Points::default()
                };
                Write::Insert { series: name(series), points }
            }
            Self::Delete { series, start, end } => {
                let range = TimeRange { start_ns: start, end_ns: end };
                Write::DeleteRange { series: name(series), range, labels: LabelFilter::any() }
            }
            Self::Drop(series) => Write::Drop { name: name(series) },
            _ => return None,
        })
    }

    pub fn run(self, engine: &Engine) -> Result<()> {
        if let Some(write) = self.write() {
            return engine.write(write).map(drop);
        }
        match self {
            Self::Together(steps) => together(engine, steps).into_iter().collect(),
            Self::Flush => engine.flush().map(drop),
            Self::Compact => engine.compact().map(drop),
            Self::Save(file) => engine.save(file, &Deadline::none()).map(drop),
            Self::Load(file) => engine.load(file, &Deadline::none()).map(drop),
            _ => unreachable!("a write, see above"),
        }
    }

    /// What the step makes of a world; `None` where it must be refused there.
    fn apply(self, world: &World) -> Option<World> {
        let mut world = world.clone();
        match self {
            Self::Create(series) => {
                if world.series.insert(series, Series::new()).is_some() {
                    return None;
                }
            }
            Self::Batch { series, start, rows, value, label } => {
                let points = world.series.get_mut(series)?;
                points.extend((0..rows).map(|at| ((start + at, label), value + at)));
            }
            Self::Delete { series, start, end } => {
                world.series.get_mut(series)?.retain(|(at, _), _| !(start..=end).contains(at));
            }
            Self::Drop(series) => drop(world.series.remove(series)?),
            Self::Flush | Self::Compact => {}
            Self::Save(file) => drop(world.saved.insert(file, world.series.clone())),
            Self::Load(file) => world.series = world.saved.get(file)?.clone(),
            Self::Together(_) => unreachable!("each of its writes is told of by itself"),
        }
        Some(world)
    }
}

/// Whether an error says that the request itself was at fault, so that it did nothing.
pub(super) fn is_refusal(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::SeriesExists | ErrorCode::SeriesNotFound | ErrorCode::FileNotFound)
}

/// All worlds that agree with what a client was told.
#[derive(Debug, Clone)]
pub(super) struct Worlds(BTreeSet<World>);

impl Worlds {
    pub fn new() -> Self {
        Self(BTreeSet::from([World::default()]))
    }

    /// Snapshots that may be there.
    pub fn snapshots(&self) -> BTreeSet<&'static str> {
        self.0.iter().flat_map(|world| world.saved.keys().copied()).collect()
    }

    /// A client was told this of a step.
    pub fn told(&mut self, step: Step, outcome: &Result<()>) {
        self.0 = match outcome {
            Ok(()) => self.0.iter().filter_map(|world| step.apply(world)).collect(),
            Err(e) if is_refusal(e.code()) => {
                self.0.iter().filter(|world| step.apply(world).is_none()).cloned().collect()
            }
            // It may have happened, or not.
            Err(_) => {
                self.0.iter().flat_map(|world| [Some(world.clone()), step.apply(world)]).flatten().collect()
            }
        };
        assert!(!self.0.is_empty(), "{step:?} can't have ended with {outcome:?}");
    }

    /// Keeps the worlds that look like what was found, of which there must be one.
    pub fn found(&mut self, content: &Content, when: &str) {
        let all = self.0.clone();
        self.0.retain(|world| looks_like(world, content));
        assert!(
            !self.0.is_empty(),
            "{when}: found {content:?}; possible was {:?}",
            all.iter().map(|world| &world.series).collect::<Vec<_>>()
        );
    }
}

fn looks_like(world: &World, content: &Content) -> bool {
    world.series.len() == content.len()
        && world.series.iter().all(|(series, points)| {
            content.get(*series).is_some_and(|found| {
                found.len() == points.len()
                    && points.iter().all(|((at, label), value)| {
                        let value = *value as f64;
                        found.get(&(*at, set(label))).is_some_and(|found| found.to_bits() == value.to_bits())
                    })
            })
        })
}

/// A scenario in which every part of the engine has something to do.
const SCENARIOS: &[(&str, &[Step])] = &[
    (
        "flush and compaction",
        &[
            Step::Create("s"),
            Step::Batch { series: "s", start: 0, rows: 30, value: 100, label: "" },
            Step::Batch { series: "s", start: 20, rows: 50, value: 200, label: "" },
            Step::Delete { series: "s", start: 10, end: 40 },
            Step::Flush,
            Step::Batch { series: "s", start: 35, rows: 70, value: 300, label: "x" },
            Step::Batch { series: "s", start: 200, rows: 70, value: 400, label: "" },
            Step::Flush,
            Step::Batch { series: "s", start: 0, rows: 70, value: 500, label: "" },
            Step::Compact,
            Step::Batch { series: "s", start: 7, rows: 3, value: 600, label: "" },
        ],
    ),
    (
        "drop and create anew",
        &[
            Step::Create("s"),
            Step::Batch { series: "s", start: 0, rows: 10, value: 0, label: "" },
            Step::Drop("s"),
            Step::Create("s"),
            Step::Batch { series: "s", start: 5, rows: 70, value: 50, label: "" },
            Step::Drop("s"),
            Step::Flush,
            Step::Create("s"),
            Step::Batch { series: "s", start: 7, rows: 3, value: 90, label: "" },
            Step::Flush,
            Step::Compact,
        ],
    ),
    (
        "several shards",
        &[
            Step::Create("a"),
            Step::Create("b"),
            Step::Create("c"),
            Step::Create("d"),
            Step::Batch { series: "a", start: 0, rows: 61, value: 1, label: "" },
            Step::Batch { series: "b", start: 0, rows: 20, value: 2, label: "x" },
            Step::Batch { series: "c", start: 0, rows: 61, value: 3, label: "" },
            Step::Batch { series: "d", start: 0, rows: 61, value: 4, label: "y" },
            Step::Delete { series: "a", start: 0, end: 1000 },
            Step::Flush,
            Step::Batch { series: "b", start: 10, rows: 20, value: 5, label: "x" },
            Step::Drop("c"),
            Step::Flush,
        ],
    ),
    (
        "several shards together",
        &[
            Step::Together(&[Step::Create("a"), Step::Create("b"), Step::Create("c"), Step::Create("d")]),
            Step::Together(&[
                Step::Batch { series: "a", start: 0, rows: 3, value: 1, label: "" },
                Step::Batch { series: "b", start: 0, rows: 4, value: 2, label: "x" },
                Step::Batch { series: "c", start: 0, rows: 5, value: 3, label: "" },
            ]),
            // Behind what only the journal has, and alone.
            Step::Batch { series: "a", start: 10, rows: 2, value: 10, label: "" },
            Step::Together(&[
                Step::Delete { series: "b", start: 1, end: 2 },
                Step::Batch { series: "a", start: 1, rows: 20, value: 30, label: "" },
                Step::Drop("d"),
            ]),
            // The journal is full by now.
            Step::Together(&[
                Step::Batch { series: "b", start: 2, rows: 30, value: 50, label: "x" },
                Step::Batch { series: "c", start: 2, rows: 30, value: 90, label: "" },
            ]),
            Step::Together(&[
                Step::Batch { series: "b", start: 40, rows: 2, value: 70, label: "" },
                Step::Batch { series: "c", start: 40, rows: 2, value: 80, label: "" },
            ]),
            Step::Flush,
            Step::Together(&[
                Step::Batch { series: "a", start: 5, rows: 2, value: 700, label: "" },
                Step::Batch { series: "c", start: 5, rows: 2, value: 800, label: "" },
            ]),
        ],
    ),
    (
        "deletes and overwrites of what is in segments",
        &[
            Step::Create("s"),
            Step::Batch { series: "s", start: 0, rows: 60, value: 0, label: "x" },
            Step::Flush,
            Step::Delete { series: "s", start: 0, end: 29 },
            Step::Batch { series: "s", start: 25, rows: 5, value: 1000, label: "x" },
            Step::Flush,
            Step::Batch { series: "s", start: 28, rows: 40, value: 2000, label: "x" },
            Step::Flush,
            Step::Compact,
            Step::Delete { series: "s", start: 60, end: 70 },
            Step::Flush,
            Step::Compact,
        ],
    ),
    (
        "save and load",
        &[
            Step::Create("s"),
            Step::Batch { series: "s", start: 0, rows: 30, value: 0, label: "" },
            Step::Save("one"),
            Step::Batch { series: "s", start: 100, rows: 5, value: 50, label: "" },
            Step::Load("one"),
            Step::Batch { series: "s", start: 200, rows: 5, value: 60, label: "" },
            Step::Save("one"),
            Step::Create("t"),
            Step::Load("one"),
        ],
    ),
    (
        "save and load as JSON",
        &[
            Step::Create("s"),
            Step::Create("t"),
            Step::Batch { series: "s", start: 0, rows: 70, value: 0, label: "x" },
            Step::Save("one.json"),
            Step::Drop("t"),
            Step::Load("one.json"),
            Step::Batch { series: "t", start: 0, rows: 5, value: 60, label: "y" },
            Step::Flush,
        ],
    ),
];

/// All scenarios, and a random one of each seed, with their names.
pub(super) fn all_steps(seeds: std::ops::Range<u64>) -> Vec<(String, Vec<Step>)> {
    let told = SCENARIOS.iter().map(|(name, steps)| ((*name).to_owned(), steps.to_vec()));
    told.chain(seeds.map(|seed| (format!("seed {seed}"), random(seed, 12)))).collect()
}

/// A scenario of random steps.
fn random(seed: u64, length: usize) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let mut steps = vec![Step::Create("a"), Step::Create("b")];
    for at in 0..length {
        let series = ["a", "b", "c"][rng.below(3) as usize];
        let label = ["", "x"][rng.below(2) as usize];
        let start = rng.below(100) as i64;
        steps.push(match rng.below(20) {
            0 => Step::Create(series),
            1..10 => {
                Step::Batch { series, start, rows: 1 + rng.below(60) as i64, value: 1000 * at as i64, label }
            }
            10..13 => Step::Delete { series, start, end: start + rng.below(60) as i64 },
            13 => Step::Drop(series),
            14..16 => Step::Flush,
            16..18 => Step::Compact,
            18 => Step::Save("r"),
            _ => Step::Load("r"),
        });
    }
    steps
}
